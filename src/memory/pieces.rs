//! Room for what a large file comes to, which goes back to the system when it is freed.

/// How room is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// As usual.
    #[default]
    Plain,
    /// In pieces of which each is large enough to be a mapping of its own. glibc keeps what is freed of smaller ones for later, and a file of
    /// a million lines that was read a few times then holds three times its memory. What is not touched of a piece takes addresses, not
    /// memory.
    Mapped,
}

/// Above glibc's largest threshold for mappings (`DEFAULT_MMAP_THRESHOLD_MAX`, mallopt(3)), bytes.
const MAPPED_LEN_MIN: usize = (32 << 20) + 4096;

/// From so many names on the pieces are [`Memory::Mapped`].
const MAPPED_NAMES_MIN: usize = 100_000;

impl Memory {
    /// What suits so many names.
    pub const fn suiting(names: usize) -> Self {
        if names < MAPPED_NAMES_MIN { Self::Plain } else { Self::Mapped }
    }

    /// An empty vector with room for `len`.
    pub fn vec<T>(self, len: usize) -> Vec<T> {
        Vec::with_capacity(match self {
            Self::Plain => len,
            Self::Mapped => len.max(MAPPED_LEN_MIN / size_of::<T>().max(1)),
        })
    }

    /// A vector of `len` zeros.
    pub fn zeroed<T: Clone + Default>(self, len: usize) -> Vec<T> {
        let mut zeros = self.vec(len);
        zeros.resize(len, T::default());
        zeros
    }

    /// Gives back room that is not used; of a mapping, what was never touched is none.
    pub fn shrink<T>(self, vec: &mut Vec<T>) {
        if self == Self::Plain {
            vec.shrink_to_fit();
        }
    }
}

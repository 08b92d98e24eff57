//! Reading `resolv.conf(5)`: which name servers this machine asks, and how it completes names.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// Bytes read of a file at most; no such file is longer.
const FILE_LEN_MAX: u64 = 1 << 20;

/// What a `resolv.conf` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// The first word of each `nameserver` line, as it stands there.
    pub servers: Vec<String>,
    /// Suffixes for names that are not complete, from the last `search` or `domain` line.
    pub search: Vec<String>,
    /// A name with so many dots is tried as it is first; 0 to 15.
    pub ndots: usize,
    /// How long to wait for a server.
    pub timeout: Duration,
    /// How often to ask the servers in all.
    pub attempts: u32,
}

impl Default for ResolvConf {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        }
    }
}

impl ResolvConf {
    /// Reads the file at `path`. A directory, as CoreDNS has it, is a file without lines.
    ///
    /// # Errors
    /// The kernel's: there is no such file, it may not be read; [`io::ErrorKind::InvalidInput`] if it is no file.
    pub fn read(path: &Path) -> io::Result<Self> {
        let Some(file) = open(path)? else { return Ok(Self::default()) };
        let mut bytes = Vec::new();
        file.take(FILE_LEN_MAX).read_to_end(&mut bytes)?;
        Ok(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    /// Reads the text of such a file. Lines it does not know are skipped.
    pub fn parse(text: &str) -> Self {
        let mut this = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => this.servers.extend(words.next().map(str::to_owned)),
                Some("domain") => this.search = words.take(1).map(str::to_owned).collect(),
                Some("search") => this.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| this.set_option(option)),
                _ => {}
            }
        }
        this
    }

    fn set_option(&mut self, option: &str) {
        let Some((name, value)) = option.split_once(':') else { return };
        // What is no number counts as zero, as in Go and in C.
        let value = value.parse::<u32>().unwrap_or(0);
        match name {
            "ndots" => self.ndots = value.min(15) as usize,
            "timeout" => self.timeout = Duration::from_secs(u64::from(value.clamp(1, 30))),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// The addresses of the servers, their zones cut off, and the words that are no addresses.
    pub fn addresses(&self) -> (Vec<IpAddr>, Vec<&str>) {
        let mut others = Vec::new();
        let addresses = self.servers.iter().filter_map(|server| {
            let bare = server.split_once('%').map_or(server.as_str(), |(address, _)| address);
            let address = bare.parse().ok();
            if address.is_none() {
                others.push(server.as_str());
            }
            address
        });
        (addresses.collect(), others)
    }

    /// The names to try for `name`, in order, each with a dot at its end.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let absolute = format!("{name}.");
        let suffixed = self.search.iter().map(|suffix| {
            let suffix = suffix.trim_matches('.');
            if suffix.is_empty() { absolute.clone() } else { format!("{name}.{suffix}.") }
        });
        let has_dots = name.matches('.').count() >= self.ndots;
        let first = has_dots.then(|| absolute.clone());
        let last = (!has_dots).then(|| absolute.clone());
        first.into_iter().chain(suffixed).chain(last).collect()
    }
}

/// Opens a file to be read; `None` for a directory and `/dev/null`.
///
/// # Errors
/// The kernel's; [`io::ErrorKind::InvalidInput`] for a pipe or a device, which may never have anything to say, or never an end.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    // Without O_NONBLOCK, opening a pipe waits for its writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(Some(file));
    }
    if metadata.is_dir() || metadata.file_type().is_char_device() && metadata.rdev() == DEV_NULL {
        return Ok(None);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe, a socket or a device"))
}

/// Device number of `/dev/null`, which people name when they want no file.
const DEV_NULL: u64 = 1 << 8 | 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_count_are_read() {
        let conf = ResolvConf::parse(
            "# comment\nnameserver 192.0.2.1 ignored\n  nameserver\t2001:db8::1\nnameserver\n\
             nameserver fe80::1%eth0\nnameserver example\ndomain old.example\nsearch a.example b.example\n\
             options ndots:99 timeout:2 attempts:x rotate\nsortlist 1\nnameservers 3.3.3.3\n",
        );
        assert_eq!(conf.servers, ["192.0.2.1", "2001:db8::1", "fe80::1%eth0", "example"]);
        let (addresses, others) = conf.addresses();
        let want: Vec<IpAddr> = ["192.0.2.1", "2001:db8::1", "fe80::1"].map(|a| a.parse().unwrap()).into();
        assert_eq!((addresses, others), (want, vec!["example"]));
        assert_eq!(conf.search, ["a.example", "b.example"]);
        assert_eq!((conf.ndots, conf.timeout.as_secs(), conf.attempts), (15, 2, 1));
    }

    #[test]
    fn odd_text_is_survived() {
        for text in ["", "\n\n", "\0\0\0", "nameserver", "options ndots", "options :", "search"] {
            assert!(ResolvConf::parse(text).servers.is_empty(), "{text:?}");
        }
        assert_eq!(ResolvConf::parse(&"x".repeat(70_000)), ResolvConf::default());
    }

    #[test]
    fn what_is_no_file_is_told_from_what_is_none() {
        assert_eq!(ResolvConf::read(Path::new("/")).unwrap(), ResolvConf::default());
        let missing = ResolvConf::read(Path::new("/nonexistent/resolv.conf")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(ResolvConf::read(Path::new("/dev/null")).unwrap(), ResolvConf::default());
        let endless = ResolvConf::read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn names_are_completed_as_the_search_list_says() {
        let conf = ResolvConf::parse("search a.example. b.example\noptions ndots:2\n");
        assert_eq!(conf.candidates("x."), ["x."]);
        assert_eq!(conf.candidates("x.y"), ["x.y.a.example.", "x.y.b.example.", "x.y."]);
        assert_eq!(conf.candidates("x.y.z"), ["x.y.z.", "x.y.z.a.example.", "x.y.z.b.example."]);
        assert_eq!(ResolvConf::default().candidates("x"), ["x."]);
    }
}

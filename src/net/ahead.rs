//! Asking for memory before it is needed.
#![allow(unsafe_code, reason = "an instruction that std offers by raw pointer alone, argued where it stands")]

/// Bytes of a cache line, as far as asking for memory goes.
const LINE_BYTES: usize = 64;

/// Asks the processor to have the cache lines of `memory` at hand, without waiting for them. Where the processor has no such request, nothing
/// happens.
#[inline]
pub fn fetch<T>(memory: &[T]) {
    let start = memory.as_ptr().cast::<u8>();
    for offset in (0..size_of_val(memory)).step_by(LINE_BYTES) {
        fetch_line(start.wrapping_add(offset));
    }
}

#[inline]
fn fetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is a hint: it reads nothing that the program could see, and faults on no address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

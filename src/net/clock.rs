//! The kernel's clock that goes on while the machine sleeps; the standard library has only the one that stops.
#![allow(unsafe_code, reason = "a system call that std does not have, argued where it stands")]

/// Nanoseconds since the machine was started, time asleep included (`CLOCK_BOOTTIME`). Never set, never going back.
pub fn since_boot() -> u64 {
    read(libc::CLOCK_BOOTTIME)
}

/// Nanoseconds by the clock that stops while the machine sleeps (`CLOCK_MONOTONIC`), as a service manager wants to be told.
pub fn awake() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, into one that lives during the call. It cannot fail: both clocks are there since Linux 2.6.39.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    // Neither is negative, and the sum fits for 584 years.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_goes_forward() {
        let earlier = super::since_boot();
        assert!(earlier > 0 && super::since_boot() >= earlier);
        assert!(super::awake() <= super::since_boot());
    }
}

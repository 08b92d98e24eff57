//! The name of this machine.

use std::fs;

/// Where Linux says it: the kernel first; then, where `/proc` is not to be seen, what it was told when the machine started.
const PLACES: [&str; 2] = ["/proc/sys/kernel/hostname", "/etc/hostname"];

/// The name of this machine, or of the container the process is in; `localhost` if nothing says it.
pub fn name() -> String {
    PLACES.iter().find_map(|place| read(place)).unwrap_or_else(|| "localhost".to_owned())
}

/// The first line of a file, if there is something in it.
fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let name = text.lines().next()?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_a_name() {
        let name = name();
        assert!(!name.is_empty() && !name.contains(char::is_whitespace), "{name:?}");
    }

    #[test]
    fn a_file_that_says_nothing_is_passed_over() {
        assert_eq!(read("/dev/null"), None);
        assert_eq!(read("/proc/nothing"), None);
        assert_eq!(read("/proc/sys/kernel/ostype").as_deref(), Some("Linux"));
    }
}

//! What is printed at start: each zone and where it is served, then who serves it.

use super::build::Plan;
use crate::log;

/// Prints the lines of `plan`, as CoreDNS's users and their scripts know them.
pub(super) fn print(plan: &Plan) {
    for line in &plan.banner {
        log::plain(line);
    }
    log::plain(&format!("waypost-{}", env!("CARGO_PKG_VERSION")));
    log::plain(&platform());
}

/// `linux/amd64, rust…`: what it runs on, in the words Go has for it.
pub fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{arch}, {}", std::env::consts::OS, crate::VERSION_DETAIL)
}

/// True for names of letters, digits and hyphens in labels that start with a letter (RFC 1035 2.3.1); the root and reverse zones need
/// not.
pub(super) fn is_preferred_syntax(zone: &str) -> bool {
    let Some(name) = zone.strip_suffix('.') else { return false };
    if name.is_empty() || zone.ends_with("in-addr.arpa.") || zone.ends_with("ip6.arpa.") {
        return true;
    }
    name.split('.').all(|label| {
        label.starts_with(|c: char| c.is_ascii_alphabetic())
            && label.ends_with(|c: char| c.is_ascii_alphanumeric())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    })
}

#[cfg(test)]
mod tests {
    use super::is_preferred_syntax;

    #[test]
    fn names_of_hosts_are_told_from_others() {
        for (zone, preferred) in [
            (".", true),
            ("example.org.", true),
            ("a-b.c1.", true),
            ("10.in-addr.arpa.", true),
            ("_tcp.x.", false),
            ("123.x.", false),
            ("a-.x.", false),
        ] {
            assert_eq!(is_preferred_syntax(zone), preferred, "{zone}");
        }
    }
}

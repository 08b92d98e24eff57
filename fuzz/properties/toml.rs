//! What holds of any bytes that may be a configuration in TOML, and of the files that it imports.

use waypost::config;

use super::corefile;

/// As of a Corefile.
pub(super) fn hold(bytes: &[u8]) {
    corefile::read(bytes, "waypost.toml", config::parse_toml);
}

//! What holds of any bytes that may be a certificate.

use waypost::tls::san;

/// The names that are read of it are made of its bytes: an address of four has fifteen letters at most.
pub(super) fn hold(bytes: &[u8]) {
    let names = san::names(bytes);
    let letters: usize = names.iter().map(String::len).sum();
    assert!(letters <= 4 * bytes.len());
}

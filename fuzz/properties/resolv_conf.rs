//! What holds of any bytes that may be a `resolv.conf`.

use waypost::upstream::resolv_conf::ResolvConf;

/// Its numbers are within their bounds, and the names that it makes of one are absolute.
pub(super) fn hold(bytes: &[u8]) {
    let conf = ResolvConf::parse(&String::from_utf8_lossy(bytes));
    assert!(conf.ndots <= 15);
    assert!((1..=30).contains(&conf.timeout.as_secs()));
    assert!((1..=5).contains(&conf.attempts));
    let (addresses, others) = conf.addresses();
    assert_eq!(addresses.len() + others.len(), conf.servers.len());
    for name in ["host", "host.example", "host.example."] {
        let candidates = conf.candidates(name);
        assert!(candidates.len() <= conf.search.len() + 1);
        assert!(candidates.iter().all(|candidate| candidate.starts_with("host") && candidate.ends_with('.')));
    }
}

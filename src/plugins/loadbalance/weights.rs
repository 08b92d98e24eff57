//! The file of weights: a domain, then its addresses with their weights, a line each.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use tracing::{error, info, warn};

use crate::config::{GoDuration, read_bounded, system_error};
use crate::wire::Name;

/// What addresses weigh that are not in the file.
pub(super) const WEIGHT: u8 = 1;

/// The weights of a file, by domain. Of an address that stands twice the first counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Weights(HashMap<Name, Vec<(IpAddr, u8)>>);

impl Weights {
    /// Reads `text`, the file `path`.
    pub(super) fn parse(text: &str, path: &str) -> Result<Self, String> {
        let mut weights = Self::default();
        let mut domain: Option<Name> = None;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let fields: Vec<&str> = line.split_whitespace().take(3).collect();
            match fields[..] {
                [name] => {
                    let is_address = name.parse::<IpAddr>().is_ok();
                    let read = if is_address { None } else { Name::from_text(name).ok() };
                    let Some(read) = read else {
                        let hint = if is_address { " (Maybe a missing weight value?)" } else { "" };
                        return Err(format!("wrong domain name:\"{name}\" in weight file {path}.{hint}"));
                    };
                    weights.0.entry(read.clone()).or_default();
                    domain = Some(read);
                }
                [address, weight] => {
                    let Ok(ip) = address.parse::<IpAddr>() else {
                        return Err(format!("wrong IP address:\"{address}\" in weight file {path}"));
                    };
                    let is_number = weight.bytes().all(|byte| byte.is_ascii_digit());
                    let Some(value) = weight.parse().ok().filter(|value| is_number && *value > 0) else {
                        return Err(format!("wrong weight value:\"{weight}\" in weight file {path}"));
                    };
                    let Some(domain) = &domain else {
                        return Err(format!("missing domain name in weight file {path}"));
                    };
                    weights.0.entry(domain.clone()).or_default().push((ip.to_canonical(), value));
                }
                _ => return Err(format!("could not parse weight line:\"{line}\" in weight file {path}")),
            }
        }
        Ok(weights)
    }

    /// What `address` weighs as one of `owner`'s.
    pub(super) fn of(&self, owner: &Name, address: IpAddr) -> u8 {
        let addresses = self.0.get(owner).map_or(&[][..], Vec::as_slice);
        addresses.iter().find(|(ip, _)| *ip == address).map_or(WEIGHT, |(_, weight)| *weight)
    }
}

/// A file of weights and what it said last.
pub(super) struct WeightFile {
    path: PathBuf,
    weights: ArcSwap<Weights>,
    /// The digest of what was read last, whether it was understood or not.
    seen: Mutex<Option<[u8; 32]>>,
}

/// Why a file of weights is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It cannot be opened.
    Closed,
    /// It cannot be read, or says what no such file says.
    Bad(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "weight file open error",
            Self::Bad(why) => why,
        })
    }
}

impl WeightFile {
    /// The file at `path`, not read yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, weights: ArcSwap::default(), seen: Mutex::default() }
    }

    /// What it said when it was read last and understood.
    pub(super) fn weights(&self) -> arc_swap::Guard<Arc<Weights>> {
        self.weights.load()
    }

    /// Reads it for the first time; `interval` is that of the looks to come. That it is not there is no error if there will be more looks.
    pub(super) fn first_read(&self, interval: GoDuration) -> Result<(), String> {
        match self.refresh() {
            Err(refusal @ Refusal::Closed) if interval.nanoseconds != 0 => {
                warn!(
                    target: "plugin/loadbalance",
                    "Failed to open weight file:{refusal}. Will try again in {interval}"
                );
                Ok(())
            }
            Err(refusal) => Err(format!("plugin/loadbalance: {refusal}")),
            Ok(()) => Ok(()),
        }
    }

    /// Looks at it every `interval`.
    pub(super) async fn keep_fresh(self: Arc<Self>, interval: Duration) {
        loop {
            tokio::time::sleep(interval.max(INTERVAL_MIN)).await;
            let file = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || file.refresh()).await {
                Ok(Ok(())) => {}
                Ok(Err(refusal)) => error!(target: "plugin/loadbalance", "{refusal}"),
                Err(panic) => error!(target: "plugin/loadbalance", "reading the weight file failed: {panic}"),
            }
        }
    }

    /// Reads it, and takes over what it says if that has changed and nobody is writing it. What is not understood is refused once; the old
    /// weights stay. Waits for the disk and for who writes.
    #[allow(clippy::disallowed_methods, reason = "called at the start and on threads that may wait")]
    pub(super) fn refresh(&self) -> Result<(), Refusal> {
        let path = self.path.to_string_lossy();
        let mut bytes = self.read(&path)?;
        let mut digest = digest(&bytes);
        if *self.seen() == Some(digest) {
            return Ok(());
        }
        for _ in 0..QUIET_WAITS_MAX {
            std::thread::sleep(QUIET);
            bytes = self.read(&path)?;
            let now = self::digest(&bytes);
            if std::mem::replace(&mut digest, now) == now {
                break;
            }
        }
        *self.seen() = Some(digest);
        let weights = Weights::parse(&String::from_utf8_lossy(&bytes), &path).map_err(Refusal::Bad)?;
        self.weights.store(Arc::new(weights));
        info!(target: "plugin/loadbalance", "Successfully reloaded weight file {path}");
        Ok(())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, Refusal> {
        // Opening a pipe would wait for its writer.
        let bytes = match std::fs::metadata(&self.path) {
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if found.is_file() => read_bounded(&self.path),
            Ok(_) | Err(_) => return Err(Refusal::Closed),
        };
        bytes.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Refusal::Closed,
            _ => Refusal::Bad(system_error("read", path, &error)),
        })
    }

    fn seen(&self) -> MutexGuard<'_, Option<[u8; 32]>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// How long a file that has changed must have been the same before it counts, so that its writer can finish.
const QUIET: Duration = Duration::from_millis(20);

/// How often that is waited for before it counts all the same.
const QUIET_WAITS_MAX: u32 = 50;

/// Shortest time between two looks; a shorter `reload` counts as this.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
        # two domains
        w1.example.org
        192.0.2.15   10
        192.0.2.14   20
        192.0.2.14   30

        W2.example.org.
        2001:db8::1 255
        ::ffff:192.0.2.1 7
        w1.example.org
        192.0.2.13 3
";

    #[test]
    fn weights_are_read() {
        let weights = Weights::parse(FILE, "w").unwrap();
        let check = |owner: &str, address: &str, want: u8| {
            let owner = Name::from_text(owner).unwrap();
            assert_eq!(weights.of(&owner, address.parse().unwrap()), want, "{owner} {address}");
        };
        check("w1.example.org", "192.0.2.15", 10);
        check("W1.Example.org", "192.0.2.14", 20);
        check("w1.example.org", "192.0.2.13", 3);
        check("w2.example.org", "2001:db8::1", 255);
        check("w2.example.org", "192.0.2.1", 7);
        check("w2.example.org", "192.0.2.15", 1);
        check("w3.example.org", "192.0.2.15", 1);
        assert_eq!(Weights::parse("# nothing\n\n", "w"), Ok(Weights::default()));
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, want: &str| {
            assert_eq!(Weights::parse(text, "w"), Err(want.to_owned()), "{text}");
        };
        let hint = "(Maybe a missing weight value?)";
        check("a\n192.0.2.1\n", &format!("wrong domain name:\"192.0.2.1\" in weight file w. {hint}"));
        check("a..b\n", "wrong domain name:\"a..b\" in weight file w.");
        check("192.0.2.1 10\na\n", "missing domain name in weight file w");
        check("a\n192.0.2.300 10\n", "wrong IP address:\"192.0.2.300\" in weight file w");
        for weight in ["300", "0", "-1", "+1", "x"] {
            let want = format!("wrong weight value:\"{weight}\" in weight file w");
            check(&format!("a\n192.0.2.1 {weight}"), &want);
        }
        check("a\n 192.0.2.1  1 x\n", "could not parse weight line:\"192.0.2.1  1 x\" in weight file w");
    }

    #[test]
    fn a_changed_file_is_taken_over_and_a_bad_one_refused_once() {
        let path = std::env::temp_dir().join(format!("waypost-weights-{}", std::process::id()));
        let file = WeightFile::new(path.clone());
        let owner = Name::from_text("a").unwrap();
        let weight = || file.weights().of(&owner, "192.0.2.1".parse().unwrap());
        assert_eq!(file.refresh(), Err(Refusal::Closed));
        std::fs::write(&path, "a\n192.0.2.1 5\n").unwrap();
        assert_eq!((file.refresh(), weight()), (Ok(()), 5));
        std::fs::write(&path, "a\n192.0.2.1\n").unwrap();
        assert!(matches!(file.refresh(), Err(Refusal::Bad(_))));
        assert_eq!((file.refresh(), weight()), (Ok(()), 5), "what is known to be bad is not told again");
        std::fs::write(&path, "a\n192.0.2.1 6\n").unwrap();
        assert_eq!((file.refresh(), weight()), (Ok(()), 6));
        std::fs::remove_file(&path).unwrap();
        assert_eq!((file.refresh(), weight()), (Err(Refusal::Closed), 6));
        let directory = WeightFile::new(std::env::temp_dir());
        let Err(Refusal::Bad(why)) = directory.refresh() else { panic!("no file") };
        assert!(why.starts_with("read ") && why.ends_with(": is a directory"), "{why}");
    }

    #[test]
    fn a_file_that_is_not_there_may_come_if_it_is_looked_for() {
        let file = WeightFile::new("/nonexistent/weights".into());
        let seconds = |text| GoDuration::parse(text).unwrap();
        assert_eq!(file.first_read(seconds("30s")), Ok(()));
        let want = "plugin/loadbalance: weight file open error";
        assert_eq!(file.first_read(seconds("0s")), Err(want.to_owned()));
    }
}

//! Who may ask: names and passwords as HTTP's basic scheme brings them (RFC 7617), against hashes by bcrypt.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::control::http::PATIENCE;

/// Passwords that were right and are known again without computing; a few scrapers have one each.
const REMEMBERED_MAX: usize = 100;

/// The hash that unknown users are measured by, so that the time tells nobody who is one: of bytes that nobody has kept, at the usual cost.
const NOBODY: &str = "$2b$10$iqxcfU8aZN9zTHmeWrD2gOLl0lS3Rr6fxYd3JFJ8wUKoUiykXsrvK";

/// Names and their hashes.
pub(super) type Users = BTreeMap<String, String>;

/// What comes of a name and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// They belong together.
    Right,
    /// They do not, or are not there.
    Wrong,
    /// Too many others wait to be told; nobody has looked.
    Busy,
}

/// Looks passwords up, one at a time: each takes a core for a tenth of a second, and whoever sends wrong ones shall not have them all.
pub(super) struct Passwords {
    turn: Arc<Semaphore>,
    /// Digests of what was right. What was wrong is forgotten, so that nobody drives out what was right.
    right: Mutex<HashSet<[u8; 32]>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), right: Mutex::default() }
    }
}

impl Passwords {
    /// Whether a request with this field `Authorization` is that of one of `users`. Waits for its turn for as long as a client may take.
    pub(super) async fn check(&self, users: &Users, authorization: Option<&[u8]>) -> Answer {
        let Some((user, password)) = authorization.and_then(credentials) else { return Answer::Wrong };
        let known = std::str::from_utf8(&user).ok().and_then(|user| users.get(user));
        let hash = known.map_or(NOBODY, String::as_str).to_owned();
        let digest = digest(&[&user, hash.as_bytes(), &password]);
        let is_known = known.is_some();
        if is_known && self.right().contains(&digest) {
            return Answer::Right;
        }
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turn).acquire_owned());
        let Ok(Ok(turn)) = turn.await else { return Answer::Busy };
        // Somebody who asked the same may have had the turn before.
        if is_known && self.right().contains(&digest) {
            return Answer::Right;
        }
        let computing = tokio::task::spawn_blocking(move || {
            let is_right = bcrypt::verify(&password, &hash).unwrap_or(false);
            // A turn ends with the computing, even if nobody waits for it any more.
            drop(turn);
            is_right
        });
        if !(computing.await.unwrap_or(false) && is_known) {
            return Answer::Wrong;
        }
        let mut right = self.right();
        if right.len() >= REMEMBERED_MAX {
            right.clear();
        }
        right.insert(digest);
        Answer::Right
    }

    /// Takes the turn, as somebody whose password is computed.
    #[cfg(test)]
    pub(super) fn hold(&self) -> tokio::sync::OwnedSemaphorePermit {
        Arc::clone(&self.turn).try_acquire_owned().unwrap()
    }

    fn right(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name and password in a field `Authorization`.
pub(super) fn credentials(field: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, coded) = field.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let mut user = STANDARD.decode(coded).ok()?;
    let colon = user.iter().position(|byte| *byte == b':')?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    Some((user, password))
}

const SCHEME: &[u8] = b"Basic ";

#[cfg(test)]
#[test]
fn nobody_has_a_hash_like_others() {
    assert_eq!(NOBODY.parse::<bcrypt::HashParts>().unwrap().get_cost(), 10);
}

/// A digest of several texts that no other texts have.
fn digest(texts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update(text.len().to_be_bytes());
        digest.update(text);
    }
    digest.finalize().into()
}

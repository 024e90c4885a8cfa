//! Checking a password in clear: PBKDF2 on a blocking thread, few at a time, and remembered for clients that sign in
//! with PLAIN again and again.

use std::{fmt, num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use parking_lot::Mutex;
use ring::hmac;
use tokio::sync::Semaphore;

use super::Lookup;
use crate::{
    Secret,
    credentials::{Credentials, PasswordId},
    hash::Hash,
    password,
    verifier::{Decoy, Params},
};

/// Work for another thread: does this password belong to the account?
pub struct PasswordCheck {
    who: Who,
    password: Secret,
}

enum Who {
    Account(Arc<str>, Arc<Credentials>),
    /// Nobody; the same work is done so that the time tells nothing.
    Nobody(Params),
}

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is this one.
    Matches(PasswordId),
    /// It is none of the account's, or there is no account.
    No,
    /// Too many checks are waiting; the client may try again.
    Overloaded,
}

impl PasswordCheck {
    pub(super) fn new(lookup: &Lookup, password: Secret, decoy: &Decoy) -> Self {
        let who = match lookup {
            Lookup::Found(found) => {
                Who::Account(Arc::clone(&found.account), Arc::clone(&found.credentials))
            }
            Lookup::Nobody { canonical } => Who::Nobody(decoy.params(Hash::Sha256, canonical)),
        };
        Self { who, password }
    }

    /// Does it, here and now: one PBKDF2 run, milliseconds of CPU.
    pub fn run(&self) -> Checked {
        match &self.who {
            Who::Account(_, credentials) => credentials
                .matching_password(&self.password)
                .map_or(Checked::No, Checked::Matches),
            Who::Nobody(params) => {
                if let Ok(prepared) = password::prepare(&self.password) {
                    std::hint::black_box(params.verifier(Hash::Sha256, &prepared));
                }
                Checked::No
            }
        }
    }
}

impl fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordCheck(…)")
    }
}

/// Runs checks for the whole node.
///
/// It remembers passwords that matched as an HMAC under a key that lives as long as the process, over account,
/// credentials' stamp and password: a changed or revoked password makes a new stamp, so what is remembered dies with
/// it. Wrong passwords are never remembered.
pub struct PasswordChecker {
    key: hmac::Key,
    matched: Mutex<LruCache<[u8; 32], PasswordId>>,
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

impl PasswordChecker {
    /// `key` is random per process, `remembered` how many passwords to remember, `at_once` how many PBKDF2 runs may
    /// take a core each, `waiting` how many more may queue before clients are told to come back.
    pub fn new(
        key: [u8; 32],
        remembered: NonZeroUsize,
        at_once: NonZeroUsize,
        waiting: usize,
    ) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            matched: Mutex::new(LruCache::new(remembered)),
            running: Arc::new(Semaphore::new(at_once.get())),
            waiting: Semaphore::new(at_once.get() + waiting),
        }
    }

    /// Checks on tokio's blocking threads, or from memory.
    pub async fn check(&self, check: PasswordCheck) -> Checked {
        let tag = self.tag(&check);
        if let Some(id) = tag.and_then(|tag| self.matched.lock().get(&tag).copied()) {
            return Checked::Matches(id);
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            return Checked::Overloaded;
        };
        let Ok(permit) = Arc::clone(&self.running).acquire_owned().await else {
            return Checked::Overloaded;
        };
        let work = tokio::task::spawn_blocking(move || {
            let checked = check.run();
            drop(permit); // With the work, not with this future, which may be dropped before.
            checked
        });
        let Ok(checked) = work.await else {
            return Checked::Overloaded;
        };
        if let (Checked::Matches(id), Some(tag)) = (checked, tag) {
            self.matched.lock().put(tag, id);
        }
        checked
    }

    fn tag(&self, check: &PasswordCheck) -> Option<[u8; 32]> {
        let Who::Account(account, credentials) = &check.who else {
            return None;
        };
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&credentials.stamp().to_be_bytes());
        context.update(&(account.len() as u64).to_be_bytes());
        context.update(account.as_bytes());
        context.update(check.password.expose().as_bytes());
        context.sign().as_ref().try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Iterations;
    use rand::{SeedableRng, rngs::StdRng};

    fn checker(waiting: usize) -> PasswordChecker {
        let one = NonZeroUsize::MIN;
        PasswordChecker::new([1; 32], NonZeroUsize::new(8).unwrap(), one, waiting)
    }

    fn check(credentials: &Arc<Credentials>, password: &str) -> PasswordCheck {
        PasswordCheck {
            who: Who::Account("alice".into(), Arc::clone(credentials)),
            password: password.into(),
        }
    }

    #[tokio::test]
    async fn a_remembered_password_dies_with_a_change() {
        let mut rng = StdRng::seed_from_u64(1);
        let quick = Iterations::quick();
        let old = Credentials::with_passphrase(&"first phrase".into(), quick, 1, &mut rng).unwrap();
        let checker = checker(8);
        let old = Arc::new(old);
        assert_eq!(
            checker.check(check(&old, "wrong phrase")).await,
            Checked::No
        );
        assert_eq!(
            checker.matched.lock().len(),
            0,
            "wrong ones are not remembered"
        );
        assert_eq!(
            checker.check(check(&old, "first phrase")).await,
            Checked::Matches(PasswordId::PASSPHRASE)
        );
        assert_eq!(checker.matched.lock().len(), 1);
        // Now it comes from memory: no permit is needed any more.
        checker.running.close();
        assert_eq!(
            checker.check(check(&old, "first phrase")).await,
            Checked::Matches(PasswordId::PASSPHRASE)
        );
        let mut new = Credentials::clone(&old);
        new.set_passphrase(&"second phrase".into(), quick, 2, &mut rng)
            .unwrap();
        let new = Arc::new(new);
        assert_eq!(
            checker.check(check(&new, "first phrase")).await,
            Checked::Overloaded,
            "it would have to compute"
        );
    }

    #[tokio::test]
    async fn too_many_checks_at_once_are_sent_away() {
        let mut rng = StdRng::seed_from_u64(2);
        let alice = Arc::new(Credentials::empty(Iterations::quick(), &mut rng));
        let checker = checker(0);
        let busy = checker.waiting.try_acquire().unwrap();
        assert_eq!(
            checker.check(check(&alice, "any phrase")).await,
            Checked::Overloaded
        );
        drop(busy);
        assert_eq!(
            checker.check(check(&alice, "any phrase")).await,
            Checked::No
        );
    }
}

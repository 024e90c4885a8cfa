//! What lives and is kept nowhere, as Matrix shows it: who types where, whose presence changed when. Tokens carry the
//! count of its changes beside the seq.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sammen_core::live::Show;
use sammen_core::{Address, ConversationId, Node, Timestamp};
use tokio::time::Instant;

/// How long someone types who says nothing more about it.
pub const TYPING: Duration = Duration::from_secs(30);
/// Most people whose last change is remembered.
const PEOPLE: usize = 100_000;

/// What lives. Counts go up with every change, also over restarts.
pub struct Lively(Mutex<Inner>);

struct Inner {
    count: u64,
    /// Changes up to here are forgotten: who knows less reads all anew.
    floor: u64,
    typing: HashMap<ConversationId, Typers>,
    presence: HashMap<Address, (u64, Timestamp)>,
}

#[derive(Default)]
struct Typers {
    people: BTreeMap<Address, Instant>,
    changed: u64,
    /// A task waits for the first of them to end.
    watched: bool,
}

/// How someone is, as far as others may know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// How available.
    pub show: Show,
    /// In words.
    pub status: Option<String>,
    /// Not there since, where that is said.
    pub idle_since: Option<Timestamp>,
}

impl Lively {
    /// Begins to count at the time, in microseconds: so that counts of an earlier run are smaller.
    pub fn new(now: Timestamp) -> Self {
        let count = u64::try_from(now.0).unwrap_or(0).saturating_mul(1000);
        Self(Mutex::new(Inner {
            count,
            floor: count,
            typing: HashMap::new(),
            presence: HashMap::new(),
        }))
    }

    /// How many changes there were.
    pub fn count(&self) -> u64 {
        self.0.lock().count
    }

    /// What to compare changes with for who knows those up to `known`; `None` for who has to be told all anew.
    pub fn known(&self, known: u64) -> Option<u64> {
        let inner = self.0.lock();
        (known >= inner.floor && known <= inner.count).then_some(known)
    }

    /// Some changes were lost on the way here: everyone is told all anew.
    pub fn lose(&self) {
        let mut inner = self.0.lock();
        inner.count += 1;
        inner.floor = inner.count;
    }

    /// Someone types, or no longer does. True where that is news.
    pub fn types(&self, room: ConversationId, who: &Address, until: Option<Instant>) -> bool {
        let mut inner = self.0.lock();
        let news = match until {
            Some(until) => {
                let typers = inner.typing.entry(room).or_default();
                typers.people.insert(who.clone(), until).is_none()
            }
            None => {
                let typers = inner.typing.get_mut(&room);
                typers.is_some_and(|typers| typers.people.remove(who).is_some())
            }
        };
        if news {
            inner.touch(room);
        }
        news
    }

    /// A session begins to hear of changes: what it did not hear of before lies below this count.
    pub fn begin(&self) -> u64 {
        let mut inner = self.0.lock();
        inner.count += 1;
        inner.count
    }

    /// Whether the caller has to call [`expire`](Self::expire) when the time comes that is returned.
    pub fn watch(&self, room: ConversationId) -> Option<Instant> {
        let mut inner = self.0.lock();
        let typers = inner.typing.get_mut(&room)?;
        let first = typers.people.values().min().copied()?;
        (!std::mem::replace(&mut typers.watched, true)).then_some(first)
    }

    /// Ends what is over by `now`. Says whether somebody's typing ended, and when the next one's will.
    pub fn expire(&self, room: ConversationId, now: Instant) -> (bool, Option<Instant>) {
        let mut inner = self.0.lock();
        let Some(typers) = inner.typing.get_mut(&room) else {
            return (false, None);
        };
        let before = typers.people.len();
        typers.people.retain(|_, until| *until > now);
        let next = typers.people.values().min().copied();
        typers.watched = next.is_some();
        let ended = typers.people.len() < before;
        if ended {
            inner.touch(room);
        }
        (ended, next)
    }

    /// Who types in a room, if that changed after `known`.
    pub fn typing(&self, room: ConversationId, known: Option<u64>) -> Option<Vec<Address>> {
        let inner = self.0.lock();
        let typers = inner.typing.get(&room);
        let Some(known) = known else {
            return typers.map(|t| t.people.keys().cloned().collect());
        };
        let typers = typers.filter(|typers| typers.changed > known)?;
        Some(typers.people.keys().cloned().collect())
    }

    /// Someone's presence changed.
    pub fn shows(&self, who: &Address, now: Timestamp) {
        let mut inner = self.0.lock();
        inner.count += 1;
        let count = inner.count;
        if inner.presence.len() >= PEOPLE && !inner.presence.contains_key(who) {
            inner.presence.clear();
            inner.floor = count;
        }
        inner.presence.insert(who.clone(), (count, now));
    }

    /// When someone's presence changed last, with the count.
    pub fn shown(&self, who: &Address) -> Option<(u64, Timestamp)> {
        self.0.lock().presence.get(who).copied()
    }
}

impl Inner {
    fn touch(&mut self, room: ConversationId) {
        self.count += 1;
        let count = self.count;
        self.typing.entry(room).or_default().changed = count;
        // Rooms in which nobody has typed for long need not be remembered.
        if self.typing.len() > PEOPLE {
            self.typing.retain(|_, typers| !typers.people.is_empty());
            self.floor = count;
        }
    }
}

/// How someone is now: the best of their sessions.
pub fn presence(node: &Node, who: &Address) -> Shown {
    let best = node.live(|live| {
        let sessions = live.sessions_of(who).iter();
        let best = sessions.filter_map(|s| s.presence());
        best.max_by_key(|p| (p.show, p.priority))
    });
    best.map_or_else(Shown::default, |best| Shown {
        show: best.show,
        status: best.status.clone(),
        idle_since: best.idle_since,
    })
}

/// Waits until nobody types in a room any more, and wakes its people whenever somebody's typing ended by itself.
pub async fn attend(lively: Arc<Lively>, room: ConversationId, first: Instant, wake: impl Fn()) {
    let mut next = Some(first);
    while let Some(until) = next {
        tokio::time::sleep_until(until).await;
        let (ended, then) = lively.expire(room, Instant::now());
        if ended {
            wake();
        }
        next = then;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once_and_typing_ends_by_itself() {
        let lively = Lively::new(Timestamp(1_000));
        let room = ConversationId(1);
        let alice = Address::new("alice@example.org").unwrap();
        let start = lively.count();
        assert_eq!(start, 1_000_000);
        assert_eq!(lively.known(start - 1), None, "an earlier run");
        let now = Instant::now();
        assert!(lively.types(room, &alice, Some(now + TYPING)));
        assert!(!lively.types(room, &alice, Some(now + TYPING)), "no news");
        assert_eq!(lively.typing(room, Some(start)).unwrap().len(), 1);
        let known = lively.count();
        assert_eq!(lively.typing(room, Some(known)), None);
        assert_eq!(lively.watch(room), Some(now + TYPING));
        assert_eq!(lively.watch(room), None, "one is enough");
        assert_eq!(lively.expire(room, now), (false, Some(now + TYPING)));
        assert_eq!(lively.expire(room, now + TYPING), (true, None));
        assert_eq!(lively.typing(room, Some(known)).unwrap(), []);
        lively.shows(&alice, Timestamp(5));
        assert!(lively.shown(&alice).unwrap().0 > known);
        lively.lose();
        assert_eq!(lively.known(known), None);
    }
}

//! What the last writes left in memory, so that readers who follow the log need not ask the store for it: when each shelf
//! of documents changed last, and the newest events.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::document::Owner;
use crate::event::Event;
use crate::ids::Seq;
use crate::store::Write;

/// Namespaces that are remembered; beyond, all begin anew.
const SHELVES: usize = 50_000;
/// Events that are remembered, and bytes of them.
const EVENTS: usize = 256;
const BYTES: usize = 2 << 20;

/// The memory of the last writes.
pub(crate) struct Shelves(RwLock<Known>);

struct Known {
    /// What is not in `last` did not change after this.
    floor: Seq,
    last: HashMap<Owner, HashMap<String, Seq>>,
    shelves: usize,
    /// In seq order, each with its weight.
    events: VecDeque<(Arc<Event>, usize)>,
    bytes: usize,
}

impl Shelves {
    /// Nothing is known of what was written up to `floor`.
    pub fn new(floor: Seq) -> Self {
        Self(RwLock::new(Known {
            floor,
            last: HashMap::new(),
            shelves: 0,
            events: VecDeque::new(),
            bytes: 0,
        }))
    }

    /// A batch was committed; `upto` is the greatest seq now.
    pub fn note(&self, batch: &[Write], upto: Seq) {
        let mut known = self.0.write();
        for write in batch {
            known.take(write, upto);
        }
        if known.shelves > SHELVES {
            known.forget(upto);
        }
    }

    /// Whether a document of this namespace may have been written or deleted after `since`.
    pub fn changed(&self, owner: &Owner, namespace: &str, since: Seq) -> bool {
        let known = self.0.read();
        let last = known.last.get(owner).and_then(|all| all.get(namespace));
        *last.unwrap_or(&known.floor) > since
    }

    /// An event, if it is one of the newest and was not touched since.
    pub fn event(&self, seq: Seq) -> Option<Arc<Event>> {
        let known = self.0.read();
        let at = known.place(seq)?;
        known.events.get(at).map(|(event, _)| event.clone())
    }
}

impl Known {
    fn place(&self, seq: Seq) -> Option<usize> {
        self.events.binary_search_by_key(&seq, |(e, _)| e.seq).ok()
    }

    fn take(&mut self, write: &Write, upto: Seq) {
        match write {
            Write::Document {
                owner,
                namespace,
                version,
                ..
            } => self.changed(owner, namespace, *version),
            Write::ForgetDocuments(_) | Write::MoveShelf { .. } => self.forget(upto),
            Write::Event(event) => {
                let weight = write.weight();
                self.events.push_back((event.clone(), weight));
                self.bytes += weight;
                while self.events.len() > EVENTS || self.bytes > BYTES {
                    let Some((_, weight)) = self.events.pop_front() else {
                        break;
                    };
                    self.bytes -= weight;
                }
            }
            Write::Erase { seq, .. } | Write::Accept { seq, .. } | Write::Resolve { seq, .. } => {
                if let Some((_, weight)) = self.place(*seq).and_then(|at| self.events.remove(at)) {
                    self.bytes -= weight;
                }
            }
            _ => {}
        }
    }

    fn changed(&mut self, owner: &Owner, namespace: &str, version: Seq) {
        if let Some(last) = self
            .last
            .get_mut(owner)
            .and_then(|all| all.get_mut(namespace))
        {
            *last = version.max(*last);
            return;
        }
        let all = self.last.entry(owner.clone()).or_default();
        all.insert(namespace.to_owned(), version.max(self.floor));
        self.shelves += 1;
    }

    fn forget(&mut self, upto: Seq) {
        self.last.clear();
        self.shelves = 0;
        self.floor = upto;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::event::{Acceptance, Content, Message};
    use crate::ids::{ConversationId, EventId, Pos, Timestamp};

    fn document(owner: &Owner, namespace: &str, version: u64) -> Write {
        Write::Document {
            owner: owner.clone(),
            namespace: namespace.into(),
            key: "k".into(),
            version: Seq(version),
            value: None,
        }
    }

    fn event(seq: u64, bytes: usize) -> Write {
        Write::Event(Arc::new(Event {
            seq: Seq(seq),
            pos: Pos(0),
            id: EventId::new(Timestamp(0), seq.into()),
            conversation: ConversationId(1),
            author: Address::new("bob@example.org").unwrap(),
            nick: None,
            device: None,
            at: Timestamp(0),
            acceptance: Acceptance::Accepted,
            audience: None,
            historical: false,
            relation: None,
            content: Content::Message(Message::text("x".repeat(bytes))),
            native: None,
        }))
    }

    #[test]
    fn what_did_not_change_is_known_and_what_is_not_known_may_have_changed() {
        let shelves = Shelves::new(Seq(10));
        let alice = Owner::Of(Address::new("alice@example.org").unwrap());
        assert!(shelves.changed(&alice, "n", Seq(9)), "of before the start");
        assert!(!shelves.changed(&alice, "n", Seq(10)));
        shelves.note(
            &[document(&alice, "n", 12), document(&alice, "n", 3)],
            Seq(12),
        );
        assert!(shelves.changed(&alice, "n", Seq(11)));
        assert!(!shelves.changed(&alice, "n", Seq(12)));
        assert!(!shelves.changed(&alice, "m", Seq(11)));
        assert!(!shelves.changed(&Owner::Node, "n", Seq(11)));
        shelves.note(&[Write::ForgetDocuments(Owner::Node)], Seq(20));
        assert!(shelves.changed(&alice, "m", Seq(19)));
        assert!(!shelves.changed(&alice, "m", Seq(20)));
        let many: Vec<Write> = (0..=SHELVES as u64)
            .map(|n| document(&Owner::Node, &n.to_string(), 21 + n))
            .collect();
        shelves.note(&many, Seq(100_000));
        assert!(shelves.changed(&alice, "m", Seq(99_999)), "bounded");
    }

    #[test]
    fn the_newest_events_are_at_hand_until_they_are_touched() {
        let shelves = Shelves::new(Seq(0));
        let all: Vec<Write> = (1..=EVENTS as u64 + 1).map(|n| event(n, 10)).collect();
        shelves.note(&all, Seq(300));
        assert!(shelves.event(Seq(1)).is_none() && shelves.event(Seq(2)).is_some());
        let tombstone = Content::Erased {
            by: None,
            at: Timestamp(0),
        };
        let seq = Seq(2);
        shelves.note(&[Write::Erase { seq, tombstone }], Seq(301));
        assert!(shelves.event(Seq(2)).is_none() && shelves.event(Seq(3)).is_some());
        shelves.note(&[event(302, BYTES / 2), event(303, BYTES)], Seq(303));
        assert!(shelves.event(Seq(302)).is_none(), "bounded");
        assert_eq!(shelves.0.read().bytes, 0);
    }
}

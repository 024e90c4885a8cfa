//! What the in-memory store keeps, how a write changes it, and which events a reading finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::account::{Account, Device};
use crate::address::Address;
use crate::blob::BlobId;
use crate::conversation::Conversation;
use crate::document::Document;
use crate::event::{Acceptance, Event, Scheme};
use crate::ids::{ConversationId, DeviceId, Pos, Seq, Timestamp};
use crate::member::Member;
use crate::network::OutboxRow;
use crate::store::{BlobInfo, HistoryQuery, Kinds, Write};
use crate::words::Wanted;

pub(super) type DocumentKey = (String, String, String);

#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) event: Arc<Event>,
    /// Whether it was of [`Kinds::Speech`] when it was written.
    pub(super) speech: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) slot: String,
    pub(super) info: BlobInfo,
}

#[derive(Default)]
pub(super) struct Tables {
    pub(super) start: (u64, u64, u64),
    pub(super) log: BTreeMap<Seq, Stored>,
    pub(super) aliases: BTreeMap<(ConversationId, Scheme, String, Address), Seq>,
    pub(super) waiting: Vec<(ConversationId, Scheme, String, Seq)>,
    pub(super) conversations: BTreeMap<ConversationId, Conversation>,
    pub(super) members: BTreeMap<(ConversationId, Address), Member>,
    pub(super) accounts: BTreeMap<Address, Account>,
    pub(super) devices: BTreeMap<DeviceId, Device>,
    pub(super) documents: BTreeMap<DocumentKey, Document>,
    /// The newest tombstone forgotten, by owner and namespace.
    pub(super) floors: BTreeMap<(String, String), Seq>,
    pub(super) outbox: BTreeMap<Seq, OutboxRow>,
    pub(super) blobs: BTreeMap<BlobId, Bytes>,
    pub(super) references: Vec<Reference>,
    /// Finished and not yet referred to.
    pub(super) fresh: BTreeSet<BlobId>,
}

impl Tables {
    /// Does one write.
    pub(super) fn apply(&mut self, write: &Write) {
        match write {
            Write::Event(event) => {
                self.start.0 = self.start.0.max(event.seq.0);
                let speech = event.content.belongs_to_speech();
                self.log.insert(
                    event.seq,
                    Stored {
                        event: event.clone(),
                        speech,
                    },
                );
            }
            Write::Erase { seq, tombstone } => {
                self.change(*seq, |event| {
                    event.content = tombstone.clone();
                    event.native = None;
                    event.relation = None;
                });
                self.waiting.retain(|(_, _, _, waiting)| waiting != seq);
            }
            Write::Accept {
                seq,
                acceptance,
                pos,
            } => self.change(*seq, |event| {
                event.acceptance = *acceptance;
                event.pos = *pos;
            }),
            Write::Resolve { seq, target } => {
                self.change(*seq, |event| {
                    if let Some(relation) = &mut event.relation {
                        relation.target = Some(*target);
                    }
                });
                self.waiting.retain(|(_, _, _, waiting)| waiting != seq);
            }
            Write::Alias {
                conversation,
                scheme,
                author,
                foreign,
                seq,
            } => {
                self.aliases.insert(
                    (*conversation, *scheme, foreign.clone(), author.clone()),
                    *seq,
                );
            }
            Write::Waiting {
                conversation,
                scheme,
                foreign,
                seq,
            } => {
                let row = (*conversation, *scheme, foreign.clone(), *seq);
                if !self.waiting.contains(&row) {
                    self.waiting.push(row);
                }
            }
            Write::Conversation(conversation) => {
                self.start.0 = self.start.0.max(conversation.changed.0);
                self.start.1 = self.start.1.max(conversation.id.0);
                self.conversations
                    .insert(conversation.id, (**conversation).clone());
            }
            Write::Member(conversation, member) => {
                self.start.0 = self.start.0.max(member.changed.0);
                self.members
                    .insert((*conversation, member.address.clone()), (**member).clone());
            }
            Write::RemoveMember(conversation, address) => {
                self.members.remove(&(*conversation, address.clone()));
            }
            Write::Account(account) => {
                self.start.0 = self.start.0.max(account.changed.0);
                self.accounts
                    .insert(account.address.clone(), (**account).clone());
            }
            Write::Device(device) => {
                self.start.2 = self.start.2.max(device.id.0);
                self.devices.insert(device.id, (**device).clone());
            }
            Write::DeviceProgress {
                id,
                cursor,
                inbound,
            } => {
                if let Some(device) = self.devices.get_mut(id) {
                    device.cursor = cursor.unwrap_or(device.cursor);
                    device.inbound = inbound.unwrap_or(device.inbound);
                }
            }
            Write::RemoveDevice(id) => {
                self.devices.remove(id);
            }
            Write::Document {
                owner,
                namespace,
                key,
                version,
                value,
            } => {
                self.start.0 = self.start.0.max(version.0);
                let index = (owner.text().to_owned(), namespace.clone(), key.clone());
                self.documents.insert(
                    index,
                    Document {
                        key: key.clone(),
                        version: *version,
                        value: value.clone(),
                    },
                );
            }
            Write::ForgetTombstone(tombstone) => {
                let (owner, namespace) = (tombstone.owner.text(), &tombstone.namespace);
                let index = (owner.to_owned(), namespace.clone(), tombstone.key.clone());
                let same = |d: &Document| d.value.is_none() && d.version == tombstone.version;
                if self.documents.get(&index).is_some_and(same) {
                    self.documents.remove(&index);
                    let floor = self.floors.entry((index.0, index.1)).or_default();
                    *floor = tombstone.version.max(*floor);
                }
            }
            Write::ForgetDocuments(owner) => {
                self.documents.retain(|(o, _, _), _| o != owner.text());
                self.floors.retain(|(o, _), _| o != owner.text());
            }
            Write::MoveShelf { from, to } => {
                let gone = to.as_ref().unwrap_or(from);
                self.documents.retain(|(o, _, _), _| o != gone.as_str());
                self.floors.retain(|(o, _), _| o != gone.as_str());
                self.references.retain(|r| r.info.owner != *gone);
                let Some(to) = to else { return };
                let floors = std::mem::take(&mut self.floors).into_iter();
                self.floors = floors
                    .map(|((owner, namespace), floor)| {
                        let moves = owner == from.as_str();
                        let owner = if moves { to.to_string() } else { owner };
                        ((owner, namespace), floor)
                    })
                    .collect();
                let documents = std::mem::take(&mut self.documents).into_iter();
                self.documents = documents
                    .map(|((owner, namespace, key), document)| {
                        let moves = owner == from.as_str();
                        let owner = if moves { to.to_string() } else { owner };
                        ((owner, namespace, key), document)
                    })
                    .collect();
                let moved = self.references.iter_mut();
                for reference in moved.filter(|r| r.info.owner == *from) {
                    reference.info.owner = to.clone();
                }
            }
            Write::Outbox(row) => {
                self.start.0 = self.start.0.max(row.seq.0);
                self.outbox.insert(row.seq, row.clone());
            }
            Write::OutboxDone(seq) => {
                self.outbox.remove(seq);
            }
            Write::BlobRef {
                id,
                owner,
                slot,
                at,
                remove,
            } => {
                let fits =
                    |r: &Reference| r.info.id == *id && r.info.owner == *owner && r.slot == *slot;
                if *remove {
                    if let Some(index) = self.references.iter().position(fits) {
                        self.references.remove(index);
                    }
                } else {
                    self.fresh.remove(id);
                    let size = self.blobs.get(id).map_or(0, |b| b.len() as u64);
                    let info = BlobInfo {
                        id: id.clone(),
                        size,
                        owner: owner.clone(),
                        created: *at,
                    };
                    self.references.push(Reference {
                        slot: slot.clone(),
                        info,
                    });
                }
            }
        }
    }

    fn change(&mut self, seq: Seq, change: impl FnOnce(&mut Event)) {
        if let Some(stored) = self.log.get_mut(&seq) {
            change(Arc::make_mut(&mut stored.event));
        }
    }

    /// Everything inside the bounds, in order of history.
    pub(super) fn inside(&self, query: &HistoryQuery) -> Vec<Arc<Event>> {
        let several = query.sources.len() > 1;
        let wanted = query.text.as_deref().map(Wanted::new);
        let order = |at: Timestamp, pos: Pos, seq: Seq| {
            if several {
                (at.0, seq.0)
            } else {
                (pos.0, seq.0)
            }
        };
        let key = |e: &Event| order(e.at, e.pos, e.seq);
        let mut found: Vec<_> = self
            .log
            .values()
            .filter(|stored| {
                let event = &stored.event;
                let visible = query.sources.iter().any(|(id, stretches)| {
                    *id == event.conversation && stretches.iter().any(|s| s.contains(event.pos))
                });
                let shown = match event.acceptance {
                    Acceptance::Accepted => true,
                    Acceptance::Pending => query.reader.as_ref() == Some(&event.author),
                    _ => false,
                };
                let named = match (&query.reader, &event.audience) {
                    (Some(reader), Some(audience)) => {
                        event.author == *reader || audience.contains(reader)
                    }
                    (None, Some(_)) => false,
                    (_, None) => true,
                };
                visible
                    && shown
                    && named
                    && (query.kinds == Kinds::All || stored.speech)
                    && query
                        .after
                        .is_none_or(|a| key(event) > order(a.at, a.pos, a.seq))
                    && query
                        .before
                        .is_none_or(|b| key(event) < order(b.at, b.pos, b.seq))
                    && query.from.is_none_or(|t| event.at >= t)
                    && query.until.is_none_or(|t| event.at <= t)
                    && query.author.as_ref().is_none_or(|a| event.author == *a)
                    && wanted.as_ref().is_none_or(|w| {
                        event.content.searchable().is_some_and(|text| w.is_in(text))
                    })
            })
            .map(|stored| stored.event.clone())
            .collect();
        found.sort_by_key(|e| key(e));
        found
    }
}

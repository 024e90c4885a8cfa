//! What a write asks of the disk: which batches only take away, and how much others bring.

use super::Write;
use crate::event::{Content, Event, RoomChange};

/// The most that a batch may bring along and still count as one that takes away.
const LITTLE: usize = 64 * 1024;
/// What a row costs beside what it says.
const ROW: usize = 256;

impl Write {
    /// Whether it takes something away that someone wrote or that lets someone in.
    fn takes_away(&self) -> bool {
        match self {
            Write::Erase { .. }
            | Write::RemoveMember(..)
            | Write::RemoveDevice(_)
            | Write::ForgetDocuments(_)
            | Write::MoveShelf { to: None, .. }
            | Write::OutboxDone(_)
            | Write::Document { value: None, .. }
            | Write::BlobRef { remove: true, .. } => true,
            Write::Conversation(conversation) => conversation.destroyed,
            Write::Account(account) => account.removed || account.disabled,
            _ => false,
        }
    }

    /// Roughly how many bytes it brings.
    pub fn weight(&self) -> usize {
        let said = match self {
            Write::Event(event) => said(event),
            Write::Alias { foreign, .. } | Write::Waiting { foreign, .. } => foreign.len(),
            Write::Document { key, value, .. } => {
                key.len() + value.as_ref().map_or(0, |value| value.len())
            }
            Write::Outbox(row) => row.payload.len(),
            Write::Device(device) => device.state.len(),
            Write::Member(_, member) => member.intervals.len() * 32,
            Write::Conversation(conversation) => {
                let s = &conversation.settings;
                let texts = [&s.topic, &s.description, &s.name];
                let texts: usize = texts
                    .iter()
                    .filter_map(|t| t.as_ref())
                    .map(String::len)
                    .sum();
                texts + s.masks.len() * 128
            }
            _ => 0,
        };
        ROW + said
    }
}

fn said(event: &Event) -> usize {
    let native = event.native.as_ref().map_or(0, |native| native.bytes.len());
    let content = match &event.content {
        Content::Message(message) | Content::Edit(message) => {
            message.text.len() + message.html.as_ref().map_or(0, String::len)
        }
        Content::Room(RoomChange::Topic(text) | RoomChange::Name(text)) => text.len(),
        _ => 0,
    };
    native + content
}

/// Whether a batch takes something away and brings little: such batches go on while the disk is full (law 8 does not
/// wait for room). A retraction brings its own event, an account's removal those of its leaving.
pub fn erases(batch: &[Write]) -> bool {
    batch.iter().any(Write::takes_away)
        && batch.iter().map(Write::weight).sum::<usize>() <= LITTLE + ROW * batch.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Owner;
    use crate::ids::{DeviceId, Seq};

    fn document(value: Option<usize>) -> Write {
        Write::Document {
            owner: Owner::Node,
            namespace: "n".into(),
            key: "k".into(),
            version: Seq(1),
            value: value.map(|n| vec![0; n].into()),
        }
    }

    #[test]
    fn a_batch_erases_if_it_takes_away_and_brings_little() {
        let gone = || Write::RemoveDevice(DeviceId(1));
        assert!(!erases(&[]));
        assert!(erases(&[gone()]));
        assert!(erases(&[document(None)]));
        assert!(!erases(&[document(Some(10))]));
        assert!(erases(&[document(Some(10)), gone()]));
        assert!(!erases(&[document(Some(LITTLE + 1)), gone()]));
        let many: Vec<Write> = (0..5_000).map(|_| gone()).collect();
        assert!(erases(&many), "however much goes");
    }
}

//! Adding to a chain what core's log does not tell: state that core has no word for, and what goes with a change of core's.

use std::sync::Arc;

use ruma::events::TimelineEventType as Type;
use ruma::{OwnedEventId, UserId};
use sammen_core::document::Owner;
use sammen_core::ops::files;
use sammen_core::store::Write;
use sammen_core::tx::Tx;
use sammen_core::{Outcome, Refusal};
use serde_json::{Value, json};

use super::link::{Link, Relates};
use super::names;
use super::room::Room;
use super::rooms::Rooms;
use super::scribe::Scribe;
use super::sheet::{Draft, Sheet};
use crate::fields::Fields as _;
use crate::shelf;

impl Rooms {
    /// Whether the rules of the room allow an event now.
    ///
    /// # Errors
    /// When not.
    pub async fn check(&self, room: &Room, draft: Draft) -> Outcome<()> {
        let key = self.key().await?;
        let sheet = Sheet::new(room.frame.clone(), (*room.head()).clone(), key);
        Ok(sheet.check(&draft)?)
    }

    /// Adds events, with a change of core's that `also` makes in the same batch. `also` has to check everything before it
    /// changes something. State that is there already, word for word, is not added again.
    ///
    /// # Errors
    /// When the rules of the room forbid one of them, or `also` refuses.
    pub async fn add<T: Send + 'static>(
        &self,
        room: &Arc<Room>,
        drafts: Vec<Draft>,
        also: impl FnOnce(&mut Tx<'_>) -> Outcome<T> + Send + 'static,
    ) -> Outcome<(Vec<OwnedEventId>, T)> {
        let this = self.this.upgrade().ok_or(Refusal::TryLater)?;
        let key = self.key().await?;
        let _pen = room.pen.lock().await;
        self.catch_up_with(room, self.node.last_seq(), Vec::new())
            .await?;
        let shown = room.clone();
        // Pictures of rooms and packs of stickers are used for longer than any message shows them.
        let state = drafts.iter().filter(|draft| draft.state_key.is_some());
        let held: Vec<String> = state.map(|draft| draft.content.to_string()).collect();
        let made = self.node.read(move |_| {
            shown.refresh()?;
            let sheet = Sheet::new(shown.frame.clone(), (*shown.head()).clone(), key);
            let mut scribe = Scribe {
                rooms: &this,
                room: &shown,
                sheet,
            };
            let mut ids = Vec::new();
            for draft in drafts {
                // Sent again: the pen is held, so whatever was faster is there.
                if let Some((device, id)) = &draft.transaction
                    && let Some(link) = shown.sent(*device, id)?
                {
                    ids.push(link.id.clone());
                    continue;
                }
                let kind = draft.kind.to_string();
                let key = draft.state_key.as_deref();
                let known = key.and_then(|key| scribe.sheet.head.state.get(&kind, key));
                if let Some(known) = known
                    && known.sender == draft.sender
                    && known.own::<Value>().as_ref() == Some(&draft.content)
                {
                    ids.push(known.id.clone());
                    continue;
                }
                let link = scribe.sheet.add(draft)?;
                scribe.relate(&link)?;
                ids.push(link.id.clone());
            }
            Ok((scribe.sheet, ids))
        });
        let (sheet, ids) = made.await?;
        let also = move |tx: &mut Tx<'_>| {
            let value = also(tx)?;
            held.iter()
                .for_each(|text| files::hold(tx, text.as_bytes()));
            Ok(value)
        };
        let value = self.write(room, sheet, also).await?;
        Ok((ids, value))
    }

    /// One of a pair, who had left the conversation of the two, is in it again.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn let_back(&self, room: &Arc<Room>, user: &UserId) -> Outcome<()> {
        use ruma::events::room::member::MembershipState;
        if room.state().membership(user) == MembershipState::Join {
            return Ok(());
        }
        let who = self.address(user).ok_or(Refusal::NotFound)?;
        let this = self.this.upgrade().ok_or(Refusal::TryLater)?;
        let key = self.key().await?;
        let _pen = room.pen.lock().await;
        let (shown, user) = (room.clone(), user.to_owned());
        let made = self.node.read(move |node| {
            let convo = node.convo(shown.conversation)?.ok_or(Refusal::NotFound)?;
            shown.refresh()?;
            let sheet = Sheet::new(shown.frame.clone(), (*shown.head()).clone(), key);
            let mut scribe = Scribe {
                rooms: &this,
                room: &shown,
                sheet,
            };
            let content = super::reconcile::member(&this, &convo, &who, "join", None);
            scribe.let_in(&user, &content, node.now());
            Ok(scribe.sheet)
        });
        let sheet = made.await?;
        self.write(room, sheet, |_| Ok(())).await
    }

    /// Takes back an event that core does not have: its content goes from the link.
    ///
    /// # Errors
    /// When the rules of the room forbid it.
    pub async fn redact(
        &self,
        room: &Arc<Room>,
        target: &Arc<Link>,
        sender: &UserId,
        reason: Option<String>,
        transaction: (u64, String),
    ) -> Outcome<OwnedEventId> {
        let mut content = json!({ "redacts": target.id });
        if let Some(reason) = reason {
            content.put("reason", reason);
        }
        let draft = Draft {
            kind: Type::RoomRedaction,
            state_key: None,
            sender: sender.to_owned(),
            at: self.node.now(),
            content,
            core: None,
            relates: Relates {
                about: Some(target.id.clone()),
                ..Relates::default()
            },
            transaction: Some(transaction),
        };
        let mut less = (**target).clone();
        if let Some(content) = less.own::<Value>() {
            let left = self.redacted(room, target, content);
            less.content = serde_json::value::to_raw_value(&left).ok();
        }
        let value = shelf::encode(&less)?;
        let (namespace, place) = (names::chain(room.name()), names::place(target.ordinal));
        // With the version that it had: what is new is that it was taken back, and that has a link of its own.
        let version = target.seq;
        let also = move |tx: &mut Tx<'_>| {
            tx.write(Write::Document {
                owner: Owner::Node,
                namespace,
                key: place,
                version,
                value: Some(value),
            });
            Ok(())
        };
        let (ids, ()) = self.add(room, vec![draft], also).await?;
        room.replace(less);
        ids.into_iter().next().ok_or(Refusal::TryLater)
    }
}

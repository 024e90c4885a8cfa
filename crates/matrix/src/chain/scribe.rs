//! The scribe: reads core's log behind a cursor of each room and adds what happened to the room's chain.
//!
//! One step is one commit: the links, where they are found, and (in the newest link) how far the log was read. So whatever
//! happens between two steps, nothing is written twice or left out.

use std::sync::Arc;

use ruma::OwnedUserId;
use ruma::events::TimelineEventType as Type;
use sammen_core::event::{Acceptance, Content, Event, RoomChange};
use sammen_core::member::Interval;
use sammen_core::store::{HistoryQuery, Page};
use sammen_core::{ConversationId, Convo, Node, Outcome, Pos, Refusal, Seq};
use serde_json::{Value, json};

use super::link::{Link, Relates};
use super::reconcile;
use super::room::Room;
use super::rooms::Rooms;
use super::sheet::Sheet;
use crate::translate;

/// Most events of core's in one step.
const STEP: usize = 200;

/// The first events of a part of a conversation, that everybody who sees it may see; or the last ones.
pub(super) fn page(
    node: &Node,
    conversation: ConversationId,
    part: Interval,
    limit: usize,
    from_end: bool,
) -> Outcome<Page> {
    let query = HistoryQuery {
        from_end,
        ..HistoryQuery::new(vec![(conversation, vec![part])], limit)
    };
    Ok(node.store().history(&query)?)
}

/// What a step found.
pub(crate) struct Step {
    pub sheet: Sheet,
    /// Nothing is left behind it.
    pub done: bool,
    compared: Option<Arc<Convo>>,
}

impl Rooms {
    /// Adds to chains whatever happens, until the node is gone.
    pub(crate) async fn run(rooms: std::sync::Weak<Self>) {
        loop {
            let Some(this) = rooms.upgrade() else { return };
            let rung: Vec<_> = this.rung.lock().drain().collect();
            for (conversation, judged) in rung {
                let this = this.clone();
                tokio::spawn(async move {
                    if let Err(why) = this.follow_up(conversation, judged).await {
                        tracing::warn!(%why, conversation = conversation.0, "a chain stays behind for now");
                    }
                });
            }
            let bell = this.bell.clone();
            drop(this);
            bell.notified().await;
        }
    }

    async fn follow_up(&self, conversation: ConversationId, judged: Vec<Seq>) -> Outcome<()> {
        let this = self.this.upgrade().ok_or(Refusal::TryLater)?;
        let room = self.node.read(move |_| this.of(conversation)).await?;
        match room {
            Some(room) => self.catch_up(&room, self.node.last_seq(), judged).await,
            None => Ok(()),
        }
    }

    /// Returns once the chain shows everything that core's log had up to `upto`.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub async fn catch_up(&self, room: &Arc<Room>, upto: Seq, judged: Vec<Seq>) -> Outcome<()> {
        if judged.is_empty() && self.is_level(room, upto)? {
            return Ok(());
        }
        let _pen = room.pen.lock().await;
        self.catch_up_with(room, upto, judged).await
    }

    /// As [`catch_up`](Self::catch_up), by one who holds the pen.
    pub(crate) async fn catch_up_with(
        &self,
        room: &Arc<Room>,
        upto: Seq,
        mut judged: Vec<Seq>,
    ) -> Outcome<()> {
        while !judged.is_empty() || !self.is_level(room, upto)? {
            self.step(room, std::mem::take(&mut judged)).await?;
        }
        Ok(())
    }

    fn is_level(&self, room: &Room, upto: Seq) -> Outcome<bool> {
        Ok(room.head().read >= upto && room.compared.lock().is_some())
    }

    /// One step, by one who holds the pen. Returns whether nothing is left.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub(crate) async fn step(&self, room: &Arc<Room>, judged: Vec<Seq>) -> Outcome<bool> {
        let this = self.this.upgrade().ok_or(Refusal::TryLater)?;
        let key = self.key().await?;
        let shown = room.clone();
        let found = self.node.read(move |_| {
            shown.refresh()?;
            let head = (*shown.head()).clone();
            let sheet = Sheet::new(shown.frame.clone(), head, key);
            let mut scribe = Scribe {
                rooms: &this,
                room: &shown,
                sheet,
            };
            let (done, compared) = scribe.read_on(&judged)?;
            Ok(Step {
                sheet: scribe.sheet,
                done,
                compared,
            })
        });
        let step = found.await?;
        if step.sheet.links.is_empty() {
            room.publish(step.sheet.head, Vec::new(), []);
        } else {
            self.write(room, step.sheet, |_| Ok(())).await?;
        }
        if let Some(convo) = step.compared {
            *room.compared.lock() = Some(convo);
        }
        Ok(step.done)
    }
}

/// One step at work.
pub struct Scribe<'a> {
    /// All rooms.
    pub rooms: &'a Rooms,
    /// The room.
    pub room: &'a Room,
    /// What is added.
    pub sheet: Sheet,
}

impl Scribe<'_> {
    /// Reads core's log on; returns whether nothing is left, and the conversation that was compared with the state.
    fn read_on(&mut self, judged: &[Seq]) -> Outcome<(bool, Option<Arc<Convo>>)> {
        let node = &self.rooms.node;
        let convo = node
            .convo(self.room.conversation)?
            .ok_or(Refusal::NotFound)?;
        let start = self.room.record.start;
        if self.sheet.head.read < start {
            if self.read_past(&convo)? {
                self.sheet.head.read = start;
                self.sheet.head.past = None;
            }
            return Ok((false, None));
        }
        self.read_waiting(&convo, judged)?;
        let upto = node.last_seq();
        let after = self.sheet.head.read;
        let events = node
            .store()
            .changes(&[self.room.conversation], after, upto, STEP)?;
        let more = events.len() >= STEP;
        for event in &events {
            self.sheet.head.read = event.seq;
            match event.acceptance {
                Acceptance::Accepted => self.show(&convo, event)?,
                Acceptance::Pending => self.sheet.head.waiting.push(event.seq),
                _ => {}
            }
        }
        if more {
            return Ok((false, None));
        }
        self.sheet.head.read = upto.max(after);
        let before = self.room.compared.lock().clone();
        if before
            .as_ref()
            .is_none_or(|before| !Arc::ptr_eq(before, &convo))
        {
            let at = events.last().map_or_else(|| node.now(), |event| event.at);
            self.reconcile(&convo, before.as_deref(), at)?;
        }
        Ok((true, Some(convo)))
    }

    /// What was there before the chain began, in order of place. Returns whether that is all.
    fn read_past(&mut self, convo: &Convo) -> Outcome<bool> {
        let from = self
            .sheet
            .head
            .past
            .map_or(i64::MIN, |pos| pos.saturating_add(1));
        let node = &self.rooms.node;
        let part = Interval {
            from: Pos(from),
            to: None,
        };
        let page = page(node, self.room.conversation, part, STEP, false)?;
        let open_from = convo.conversation.open_from;
        for event in &page.events {
            self.sheet.head.past = Some(event.pos.0);
            if event.seq > self.room.record.start {
                continue;
            }
            if open_from.0 != i64::MIN && event.pos >= open_from {
                let content = json!({
                    "history_visibility": reconcile::visibility(&convo.conversation.settings)
                });
                let state = &self.sheet.head.state;
                let now: Option<Value> = state.content("m.room.history_visibility", "");
                if now.as_ref() != Some(&content) {
                    self.state(None, Type::RoomHistoryVisibility, "", event.at, content);
                }
            }
            self.show(convo, event)?;
        }
        Ok(!page.more)
    }

    /// Events whose home has spoken meanwhile.
    fn read_waiting(&mut self, convo: &Convo, judged: &[Seq]) -> Outcome<()> {
        let mut seqs = std::mem::take(&mut self.sheet.head.waiting);
        let read = self.sheet.head.read;
        seqs.extend(judged.iter().filter(|seq| **seq <= read));
        seqs.sort_unstable();
        seqs.dedup();
        for seq in seqs {
            let Some(event) = self.rooms.node.store().event(seq)? else {
                continue;
            };
            match event.acceptance {
                Acceptance::Pending => self.sheet.head.waiting.push(seq),
                Acceptance::Accepted if self.shown(event.id)?.is_empty() => {
                    self.show(convo, &event)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The links that show an event of core's, those on the sheet included.
    pub(super) fn shown(&self, event: sammen_core::EventId) -> Outcome<Vec<Arc<Link>>> {
        let here = self.sheet.links.iter();
        let mut links: Vec<Arc<Link>> = here
            .filter(|link| link.core.is_some_and(|core| core.id == event))
            .cloned()
            .collect();
        if links.is_empty() {
            for ordinal in self.room.shown(event)? {
                links.extend(self.room.link(ordinal)?);
            }
        }
        Ok(links)
    }

    /// Adds what an event of core's is in Matrix.
    fn show(&mut self, convo: &Convo, event: &Arc<Event>) -> Outcome<()> {
        if event.audience.is_some() {
            return Ok(());
        }
        let sender = self.rooms.user(&event.author);
        match &event.content {
            Content::Membership(change) => self.show_membership(convo, event, change),
            Content::Room(change) => self.show_change(event, sender, change),
            Content::Message(_) | Content::Encrypted { .. } => {
                self.speak(convo, event, sender, Relates::default())?;
            }
            Content::Other { fallback } => {
                let own = event
                    .native
                    .as_ref()
                    .is_some_and(|n| n.protocol == sammen_core::Protocol::Matrix);
                if own || fallback.is_some() {
                    self.speak(convo, event, sender, Relates::default())?;
                }
            }
            Content::Edit(_) => {
                let about = self.target(event)?;
                let relates = Relates {
                    about: about.as_ref().map(|link| link.id.clone()),
                    ..Relates::default()
                };
                self.speak(convo, event, sender, relates)?;
            }
            Content::Reaction { keys } => self.show_reactions(convo, event, &sender, keys)?,
            Content::Retraction { .. } => {
                let Some(target) = event.target() else {
                    return Ok(());
                };
                for (part, link) in self.shown(target)?.into_iter().enumerate() {
                    self.redact(convo, event, &sender, &link, part)?;
                }
            }
            Content::Marker(_) | Content::Erased { .. } => {}
        }
        Ok(())
    }

    /// The link of what an event is about.
    pub(super) fn target(&self, event: &Event) -> Outcome<Option<Arc<Link>>> {
        match event.target() {
            Some(target) => Ok(self.shown(target)?.into_iter().next()),
            None => Ok(None),
        }
    }

    fn show_change(&mut self, event: &Event, by: OwnedUserId, change: &RoomChange) {
        match change {
            RoomChange::Topic(topic) => {
                let now = self.sheet.head.state.text("m.room.topic", "topic");
                if now.unwrap_or_default() != *topic {
                    let content =
                        translate::native(event).unwrap_or_else(|| json!({ "topic": topic }));
                    self.state(Some(by), Type::RoomTopic, "", event.at, content);
                }
            }
            RoomChange::Name(name) => {
                let now = self.sheet.head.state.text("m.room.name", "name");
                if now.unwrap_or_default() != *name {
                    let content = json!({ "name": name });
                    self.state(Some(by), Type::RoomName, "", event.at, content);
                }
            }
            // The rest is what the conversation's snapshot says.
            _ => {}
        }
    }
}

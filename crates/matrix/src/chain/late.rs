//! What was said earlier and came later: history that another server gave when the chain had gone on. It is shown where it
//! belongs and is no part of the chain.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ruma::EventId;
use ruma::events::AnyTimelineEvent;
use ruma::serde::Raw;
use sammen_core::event::{Acceptance, Content, Event};
use sammen_core::member::Interval;
use sammen_core::{Outcome, Pos, Seq};

use super::link::{Core, Link, Relates};
use super::render::raw;
use super::room::{Direction, Room};
use super::rooms::Rooms;
use super::scribe::page;
use super::sight::Sight;
use crate::translate;

/// Most of it in one answer: the newest. What else lies between the same two links is not shown.
const MOST: usize = 500;
/// Links read at once, in search of one that has a place in core's log.
const BACK: usize = 200;
/// What the ids of such events begin with.
const ID: &str = "$late-";

/// An event beside the chain.
pub struct Late {
    /// Made up as the chain would have it. Its ordinal is 0.
    pub link: Arc<Link>,
    /// The ordinal of the link behind which it belongs; 0 for before all.
    pub behind: u64,
}

impl Rooms {
    /// The place of the newest link before an ordinal that has one.
    fn place_before(&self, room: &Room, ordinal: u64) -> Outcome<Option<Pos>> {
        let mut high = ordinal.saturating_sub(1);
        while high > 0 {
            let links = room.links(1..=high, Direction::Back, BACK)?;
            if let Some(core) = links.iter().find_map(|link| link.core) {
                let event = self.node.store().event(core.seq)?;
                return Ok(event.map(|event| event.pos));
            }
            high = links.last().map_or(0, |link| link.ordinal - 1);
        }
        Ok(None)
    }

    /// What belongs between the links of some ordinals, in order. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn late(&self, room: &Room, range: RangeInclusive<u64>) -> Outcome<Vec<Late>> {
        let head = room.head().ordinal;
        let (low, high) = (*range.start(), (*range.end()).min(head));
        // Nobody tells this node of the past of its own rooms.
        let convo = self.node.convo(room.conversation)?;
        if convo.is_none_or(|convo| convo.is_ours()) || low > high {
            return Ok(Vec::new());
        }
        let count = usize::try_from(high - low + 1).unwrap_or(usize::MAX);
        let mut places = Vec::new();
        for link in room.links(low..=high, Direction::Forward, count)? {
            let event = link.core.map(|core| self.node.store().event(core.seq));
            if let Some(event) = event.transpose()?.flatten() {
                places.push((event.pos, link.ordinal));
            }
        }
        // What lies behind the last of these belongs to whoever asks for the next ones.
        let before = match places.last() {
            _ if high == head => None,
            Some((last, _)) => Some(*last),
            None => return Ok(Vec::new()),
        };
        let after = self.place_before(room, low)?;
        let part = Interval {
            from: after.map_or(Pos(i64::MIN), |pos| Pos(pos.0.saturating_add(1))),
            to: before,
        };
        // Whoever goes back comes to the newest first.
        let most = count.saturating_add(MOST);
        let found = page(&self.node, room.conversation, part, most, true)?;
        let mut late = Vec::new();
        for event in found.events.into_iter().rev() {
            let earlier = places.iter().rev().find(|(pos, _)| *pos < event.pos);
            let behind = earlier.map_or(low - 1, |(_, ordinal)| *ordinal);
            if late.len() < MOST
                && let Some(link) = self.beside(room, &event)?
            {
                late.push(Late { link, behind });
            }
        }
        late.reverse();
        Ok(late)
    }

    /// The event of core's that an id means which the chain does not know. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn late_event(&self, room: &Room, id: &EventId) -> Outcome<Option<Late>> {
        let id = id.as_str().strip_prefix(ID).and_then(|id| id.parse().ok());
        let Some(id) = id else {
            return Ok(None);
        };
        let event = self.node.store().event_by_id(id)?;
        let event = event.filter(|event| event.conversation == room.conversation);
        let link = event.map_or(Ok(None), |event| self.beside(room, &event))?;
        Ok(link.map(|link| Late { link, behind: 0 }))
    }

    /// As a link, if it has no link of its own and is something that was said.
    fn beside(&self, room: &Room, event: &Arc<Event>) -> Outcome<Option<Arc<Link>>> {
        let said = event.content.is_speech() && !matches!(event.content, Content::Edit(_));
        let seen = event.acceptance == Acceptance::Accepted && event.audience.is_none();
        if !event.historical || !said || !seen || !room.shown(event.id)?.is_empty() {
            return Ok(None);
        }
        let answers = event.target().map_or(Ok(None), |id| room.id_of(id))?;
        let relates = Relates {
            reply: answers.map(|(_, id)| id),
            ..Relates::default()
        };
        let core = Core {
            seq: event.seq,
            id: event.id,
            part: 0,
            rules: translate::RULES,
        };
        let made = translate::content(self, event, &core, &relates);
        let id = EventId::parse(format!("{ID}{}", event.id)).ok();
        let (Some((kind, _)), Some(id)) = (made, id) else {
            return Ok(None);
        };
        Ok(Some(Arc::new(Link {
            ordinal: 0,
            seq: Seq(0),
            id,
            kind,
            state_key: None,
            sender: self.user(&event.author),
            at: event.at,
            depth: 0,
            prev: Vec::new(),
            auth: Vec::new(),
            hash: String::new(),
            signature: Default::default(),
            content: None,
            core: Some(core),
            relates,
            replaces: None,
            transaction: None,
            read: Seq(0),
            past: None,
            waiting: Vec::new(),
        })))
    }

    /// As a client gets it; `None` for who may not see it. Blocking.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn render_late(
        &self,
        room: &Room,
        late: &Late,
        sight: &Sight,
    ) -> Outcome<Option<Raw<AnyTimelineEvent>>> {
        let (Some(core), Some(who)) = (late.link.core, self.address(&sight.user)) else {
            return Ok(None);
        };
        // By core's word, which goes by place, and by the chain's.
        let seen = self.node.visible_event(&who, core.id)?.is_some();
        if !seen || late.behind > 0 && !sight.allows(late.behind) {
            return Ok(None);
        }
        Ok(Some(raw(&self.whole(room, &late.link, sight)?)?))
    }
}

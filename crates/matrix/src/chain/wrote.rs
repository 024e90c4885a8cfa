//! What people wrote, in a chain: messages, edits, reactions, and taking back.

use std::sync::Arc;

use ruma::events::TimelineEventType as Type;
use ruma::events::room::member::MembershipState;
use ruma::{OwnedEventId, OwnedUserId, UserId};
use sammen_core::event::{Content, Event};
use sammen_core::{Convo, Outcome};

use super::link::{Core, Link, Relates};
use super::reconcile;
use super::scribe::Scribe;
use super::sheet::{Draft, Unfit};
use crate::translate;

/// What is related to one event before relations that core has no word for are left out.
const OTHERS: usize = 500;

impl Scribe<'_> {
    /// What a person wrote.
    pub(super) fn speak(
        &mut self,
        convo: &Convo,
        event: &Arc<Event>,
        sender: OwnedUserId,
        mut relates: Relates,
    ) -> Outcome<()> {
        if relates.about.is_none() {
            relates.reply = self.target(event)?.map(|link| link.id.clone());
        }
        let thread = match &event.content {
            Content::Message(message) => message.thread.as_deref(),
            _ => None,
        };
        if let Some(thread) = thread {
            relates.thread = self.root(thread)?;
        }
        if let Some((how, id)) = translate::relation(event) {
            match how.as_str() {
                "m.thread" => relates.thread = relates.thread.or(self.root(id.as_str())?),
                _ if relates.about.is_none() => relates.other = Some((how, id)),
                _ => {}
            }
        }
        self.both_are_in(convo, event);
        let begins = relates.thread.is_none();
        let said = self.say(convo, event, sender, relates, 0)?;
        if let (Some(link), Some(thread), true) = (said, thread, begins) {
            self.sheet.threads.push((thread.to_owned(), link.ordinal));
        }
        Ok(())
    }

    /// The root of a thread, by its name; `None` for the message that begins it.
    fn root(&self, thread: &str) -> Outcome<Option<OwnedEventId>> {
        // Threads that began in Matrix are called by the root's id everywhere.
        if thread.starts_with('$')
            && let Ok(id) = ruma::EventId::parse(thread)
        {
            let here = self.sheet.links.iter().any(|link| link.id == id);
            return Ok((here || self.room.ordinal(&id)?.is_some()).then_some(id));
        }
        let here = self.sheet.threads.iter().find(|(name, _)| name == thread);
        if let Some((_, ordinal)) = here {
            let mut links = self.sheet.links.iter();
            return Ok(links.find(|l| l.ordinal == *ordinal).map(|l| l.id.clone()));
        }
        Ok(self.room.thread(thread)?.map(|link| link.id.clone()))
    }

    /// Adds what an event says, or a part of it.
    pub(super) fn say(
        &mut self,
        convo: &Convo,
        event: &Arc<Event>,
        sender: OwnedUserId,
        relates: Relates,
        part: u32,
    ) -> Outcome<Option<Arc<Link>>> {
        let mut core = Core {
            seq: event.seq,
            id: event.id,
            part,
            rules: translate::RULES,
        };
        let made = translate::content(self.rooms, event, &core, &relates);
        let Some((kind, content)) = made else {
            return Ok(None);
        };
        let mut draft = Draft {
            kind,
            state_key: None,
            sender,
            at: event.at,
            content,
            core: Some(core),
            relates,
            transaction: translate::transaction(event),
        };
        let mut added = self.added(convo, event, &draft);
        if matches!(added, Err(Unfit::TooLarge)) {
            core.rules |= translate::SHORT;
            if let Some((kind, content)) =
                translate::content(self.rooms, event, &core, &draft.relates)
            {
                (draft.kind, draft.content, draft.core) = (kind, content, Some(core));
                added = self.added(convo, event, &draft);
            }
        }
        match added {
            Ok(link) => {
                self.relate(&link)?;
                Ok(Some(link))
            }
            Err(why) => {
                let room = &self.sheet.frame.id;
                tracing::warn!(%room, event = %event.id, %why, "an event has no place in the chain");
                Ok(None)
            }
        }
    }

    /// Adds a draft; its sender is let in first, and where the levels of now forbid what was allowed, they give way.
    fn added(&mut self, convo: &Convo, event: &Event, draft: &Draft) -> Result<Arc<Link>, Unfit> {
        match self.sheet.add(draft.clone()) {
            Err(Unfit::Forbidden(_)) => {}
            other => return other,
        }
        if self.sheet.head.state.membership(&draft.sender) != MembershipState::Join {
            let content = reconcile::member(
                self.rooms,
                convo,
                &event.author,
                "join",
                event.nick.as_deref(),
            );
            self.let_in(&draft.sender, &content, event.at);
        }
        self.sheet.add(draft.clone())
    }

    /// Remembers for what a new link refers to that it does.
    pub(crate) fn relate(&mut self, link: &Arc<Link>) -> Outcome<()> {
        let mut targets = Vec::new();
        let relates = &link.relates;
        if let Some(about) = &relates.about {
            let how = match link.kind {
                Type::RoomRedaction => "redaction",
                Type::Reaction => "m.annotation",
                _ => "m.replace",
            };
            targets.push((about.clone(), how));
        }
        if let Some(thread) = &relates.thread {
            targets.push((thread.clone(), "m.thread"));
        } else if let Some(reply) = &relates.reply {
            targets.push((reply.clone(), "m.in_reply_to"));
        }
        let other = relates.other.as_ref();
        if let Some((how, id)) = other {
            targets.push((id.clone(), how));
        }
        for (id, how) in targets {
            let here = self.sheet.links.iter().find(|link| link.id == id);
            let ordinal = match here {
                Some(link) => Some(link.ordinal),
                None => self.room.ordinal(&id)?,
            };
            let Some(ordinal) = ordinal else { continue };
            // What apps relate in words of their own must not hide the edits and redactions behind it.
            if other.is_some_and(|(word, about)| word == how && *about == id) {
                let here = self.sheet.children.iter();
                let here = here.filter(|(parent, ..)| *parent == ordinal).count();
                if self.room.children(ordinal)?.len() + here >= OTHERS {
                    continue;
                }
            }
            self.sheet.relate(ordinal, link, how);
        }
        Ok(())
    }

    /// The reactions of one person to an event: those that are new are added, those that are gone redacted.
    pub(super) fn show_reactions(
        &mut self,
        convo: &Convo,
        event: &Arc<Event>,
        sender: &UserId,
        keys: &[String],
    ) -> Outcome<()> {
        let Some(target) = self.target(event)? else {
            return Ok(());
        };
        let mut known: Vec<(Arc<Link>, Option<String>)> = Vec::new();
        for link in self.annotations(&target, sender)? {
            let key = translate::key(self.rooms, &link)?;
            known.push((link, key));
        }
        let has = |key: &String| known.iter().any(|(_, known)| known.as_ref() == Some(key));
        for (part, key) in keys.iter().enumerate() {
            if has(key) {
                continue;
            }
            let relates = Relates {
                about: Some(target.id.clone()),
                ..Relates::default()
            };
            let part = u32::try_from(part).unwrap_or(u32::MAX);
            self.say(convo, event, sender.to_owned(), relates, part)?;
        }
        for (part, (link, key)) in known.into_iter().enumerate() {
            if !key.is_some_and(|key| keys.contains(&key)) {
                self.redact(convo, event, sender, &link, keys.len() + part)?;
            }
        }
        Ok(())
    }

    /// The reactions of a person to an event that are not redacted.
    fn annotations(&self, target: &Link, sender: &UserId) -> Outcome<Vec<Arc<Link>>> {
        let mut found = Vec::new();
        let mut children = self.room.children(target.ordinal)?;
        let here = self.sheet.children.iter();
        children.extend(
            here.filter(|(parent, ..)| *parent == target.ordinal)
                .map(|(_, child, how)| (*child, how.clone())),
        );
        for (ordinal, child) in children {
            if child.how != "m.annotation" || child.sender != sender || self.is_redacted(ordinal)? {
                continue;
            }
            let here = self.sheet.links.iter().find(|l| l.ordinal == ordinal);
            match here {
                Some(link) => found.push(link.clone()),
                None => found.extend(self.room.link(ordinal)?),
            }
        }
        Ok(found)
    }

    fn is_redacted(&self, ordinal: u64) -> Outcome<bool> {
        let here = self.sheet.children.iter();
        let mut here =
            here.filter(|(parent, _, child)| *parent == ordinal && child.how == "redaction");
        if here.next().is_some() {
            return Ok(true);
        }
        let children = self.room.children(ordinal)?;
        Ok(children.iter().any(|(_, child)| child.how == "redaction"))
    }

    /// Takes an event back.
    pub(super) fn redact(
        &mut self,
        convo: &Convo,
        event: &Arc<Event>,
        sender: &UserId,
        target: &Arc<Link>,
        part: usize,
    ) -> Outcome<()> {
        if self.is_redacted(target.ordinal)? {
            return Ok(());
        }
        let relates = Relates {
            about: Some(target.id.clone()),
            ..Relates::default()
        };
        let core = Core {
            seq: event.seq,
            id: event.id,
            part: u32::try_from(part).unwrap_or(u32::MAX),
            rules: translate::RULES | translate::REDACTION,
        };
        let Some((kind, content)) = translate::content(self.rooms, event, &core, &relates) else {
            return Ok(());
        };
        let draft = Draft {
            kind,
            state_key: None,
            sender: sender.to_owned(),
            at: event.at,
            content,
            core: Some(core),
            relates,
            transaction: translate::transaction(event),
        };
        let mut added = self.added(convo, event, &draft);
        if added.is_err() {
            // Whoever took it back may have no right to any more; core let them.
            for ruler in self.rulers() {
                let again = Draft {
                    sender: ruler,
                    ..draft.clone()
                };
                added = self.sheet.add(again);
                if added.is_ok() {
                    break;
                }
            }
        }
        if let Ok(link) = added {
            self.relate(&link)?;
        }
        Ok(())
    }
}

//! The scribe: reads core's log behind a cursor of each room and adds what happened to the room's chain.
//!
//! One step is one commit: the links, where they are found, and (in the newest link) how far the log was read. So whatever
//! happens between two steps, nothing is written twice or left out.

use std::sync::Arc;

use ruma::events::TimelineEventType as Type;
use ruma::events::room::member::MembershipState;
use ruma::{OwnedEventId, OwnedUserId, UserId};
use sammen_core::event::{
    Acceptance, Content, Event, MembershipAction, MembershipChange, RoomChange,
};
use sammen_core::member::Interval;
use sammen_core::store::{HistoryQuery, Kinds, Page};
use sammen_core::{ConversationId, Convo, Node, Outcome, Pos, Refusal, Seq, Timestamp};
use serde_json::{Value, json};

use super::link::{Core, Link, Relates};
use super::reconcile;
use super::room::Room;
use super::rooms::Rooms;
use super::sheet::{Draft, Sheet, Unfit};
use crate::fields::Fields as _;
use crate::translate;

/// Most events of core's in one step.
const STEP: usize = 200;

/// Events of a conversation from a place on, that everybody who sees it may see.
pub(super) fn page(
    node: &Node,
    conversation: ConversationId,
    from: i64,
    limit: usize,
) -> Outcome<Page> {
    let all = Interval {
        from: Pos(from),
        to: None,
    };
    let query = HistoryQuery {
        sources: vec![(conversation, vec![all])],
        reader: None,
        after: None,
        before: None,
        from: None,
        until: None,
        author: None,
        text: None,
        kinds: Kinds::All,
        limit,
        skip: 0,
        from_end: false,
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
            room.publish(step.sheet.head, Vec::new());
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
        let page = page(node, self.room.conversation, from, STEP)?;
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
    fn shown(&self, event: sammen_core::EventId) -> Outcome<Vec<Arc<Link>>> {
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
    fn target(&self, event: &Event) -> Outcome<Option<Arc<Link>>> {
        match event.target() {
            Some(target) => Ok(self.shown(target)?.into_iter().next()),
            None => Ok(None),
        }
    }

    /// What a person wrote.
    fn speak(
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
        self.both_are_in(convo, event);
        let begins = relates.thread.is_none();
        let said = self.say(convo, event, sender, relates, 0)?;
        if let (Some(link), Some(thread), true) = (said, thread, begins) {
            self.sheet.threads.push((thread.to_owned(), link.ordinal));
        }
        Ok(())
    }

    /// Whoever left a conversation of two is in it again when something is said there.
    fn both_are_in(&mut self, convo: &Convo, event: &Event) {
        let pair = convo.conversation.pair().map(|(a, b)| [a, b]);
        for address in pair.into_iter().flatten() {
            let user = self.rooms.user(address);
            if self.sheet.head.state.membership(&user) != MembershipState::Join {
                let content = reconcile::member(self.rooms, convo, address, "join", None);
                self.let_in(&user, &content, event.at);
            }
        }
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
    fn say(
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
        for (id, how) in targets {
            let here = self.sheet.links.iter().find(|link| link.id == id);
            let ordinal = match here {
                Some(link) => Some(link.ordinal),
                None => self.room.ordinal(&id)?,
            };
            if let Some(ordinal) = ordinal {
                self.sheet.relate(ordinal, link, how);
            }
        }
        Ok(())
    }

    /// The reactions of one person to an event: those that are new are added, those that are gone redacted.
    fn show_reactions(
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
    fn redact(
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

    fn show_membership(&mut self, convo: &Convo, event: &Event, change: &MembershipChange) {
        let user = self.rooms.user(&change.who);
        if user == self.rooms.own_user() {
            return;
        }
        let by = self.rooms.user(&event.author);
        let there = self.sheet.head.state.membership(&user);
        let word = match change.action {
            MembershipAction::Joined | MembershipAction::Nick => "join",
            MembershipAction::Left | MembershipAction::Kicked | MembershipAction::Unbanned => {
                "leave"
            }
            MembershipAction::Invited => "invite",
            MembershipAction::Knocked => "knock",
            MembershipAction::Banned => "ban",
            MembershipAction::Standing => return,
        };
        let mut content = match word {
            "leave" | "ban" => json!({ "membership": word }),
            _ => reconcile::member(self.rooms, convo, &change.who, word, change.nick.as_deref()),
        };
        if let Some(reason) = &change.reason {
            content.put("reason", reason.as_str());
        }
        if let Some(Value::Object(own)) = translate::native(event) {
            for (name, value) in own {
                if content.get(&name).is_none() {
                    content.put(&name, value);
                }
            }
        }
        if word == "join" {
            self.join(&user, content, event.at);
            return;
        }
        let nothing = there.as_str() == word || word == "invite" && there == MembershipState::Join;
        if !nothing {
            self.state(Some(by), Type::RoomMember, user.as_str(), event.at, content);
        }
    }

    /// Somebody joins, or has another name.
    fn join(&mut self, user: &UserId, content: Value, at: Timestamp) {
        if self.sheet.head.state.membership(user) == MembershipState::Join {
            let now: Option<Value> = self
                .sheet
                .head
                .state
                .content("m.room.member", user.as_str());
            if now.as_ref().map(|now| now.field("displayname"))
                != Some(content.field("displayname"))
            {
                let by = Some(user.to_owned());
                self.state(by, Type::RoomMember, user.as_str(), at, content);
            }
        } else {
            self.let_in(user, &content, at);
        }
    }

    /// Lets somebody in, by an invitation where the rules ask for one.
    pub(crate) fn let_in(&mut self, user: &UserId, content: &Value, at: Timestamp) -> bool {
        let join = Draft::state(Type::RoomMember, user.as_str(), user, at, content.clone());
        if self.sheet.add(join.clone()).is_ok() {
            return true;
        }
        if self.sheet.head.state.membership(user) == MembershipState::Ban {
            let pardon = json!({ "membership": "leave" });
            self.state(None, Type::RoomMember, user.as_str(), at, pardon);
        }
        let mut invite = content.clone();
        invite.put("membership", "invite");
        self.state(None, Type::RoomMember, user.as_str(), at, invite);
        self.sheet.add(join).is_ok()
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

    /// Who made the room, where that gives power for ever (room version 12).
    pub(crate) fn creators(&self) -> Vec<OwnedUserId> {
        let rules = &self.sheet.frame.rules.authorization;
        if !rules.explicitly_privilege_room_creators {
            return Vec::new();
        }
        let Some(create) = self.sheet.head.state.get("m.room.create", "") else {
            return Vec::new();
        };
        let content: Value = create.own().unwrap_or_default();
        let others = content.field("additional_creators").as_array();
        let others = others.into_iter().flatten().filter_map(Value::as_str);
        let mut creators: Vec<_> = others.filter_map(|user| UserId::parse(user).ok()).collect();
        creators.push(create.sender.clone());
        creators
    }

    /// Who can speak for the room: its own user, its creators, and whoever has the highest levels of those who are in.
    pub(crate) fn rulers(&self) -> Vec<OwnedUserId> {
        let state = &self.sheet.head.state;
        let mut rulers = vec![self.rooms.own_user()];
        rulers.extend(self.creators());
        rulers.extend(
            state
                .get("m.room.create", "")
                .map(|link| link.sender.clone()),
        );
        let levels: Value = state.content("m.room.power_levels", "").unwrap_or_default();
        let mut users: Vec<(i64, &String)> = levels
            .field("users")
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(user, level)| Some((level.as_i64()?, user)))
            .collect();
        users.sort_unstable_by(|a, b| b.cmp(a));
        let highest = users.into_iter().take(8);
        rulers.extend(highest.filter_map(|(_, user)| UserId::parse(user).ok()));
        rulers.retain(|user| state.membership(user) == MembershipState::Join);
        let mut seen = std::collections::HashSet::new();
        rulers.retain(|user| seen.insert(user.clone()));
        rulers
    }
}

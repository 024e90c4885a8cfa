//! What core's snapshot of a conversation says and the chain's state does not is added by whoever may.

use std::sync::Arc;

use ruma::events::TimelineEventType as Type;
use ruma::events::room::member::MembershipState;
use ruma::{OwnedUserId, UserId};
use sammen_core::address::AddressParts;
use sammen_core::conversation::{Binding, JoinRule, Settings, Visibility};
use sammen_core::{Address, Convo, Membership, Outcome, Standing, Timestamp};
use serde_json::{Map, Value, json};

use super::levels::levels;
use super::rooms::Rooms;
use super::scribe::Scribe;
use super::sheet::Draft;
use crate::fields::Fields as _;
use crate::profile;

/// Who may come in, in Matrix's words. Nobody can give a password there, so such rooms are entered by invitation.
pub fn join_rule(settings: &Settings) -> &'static str {
    match settings.join_rule {
        JoinRule::Open if settings.password.is_none() => "public",
        JoinRule::Knock => "knock",
        JoinRule::Open | JoinRule::Members => "invite",
    }
}

/// Who may read what was said before, in Matrix's words.
pub fn visibility(settings: &Settings) -> &'static str {
    match settings.visibility {
        Visibility::Joined => "joined",
        Visibility::Shared => "shared",
        Visibility::World => "world_readable",
    }
}

/// The name that people read of somebody.
pub fn display_name(rooms: &Rooms, address: &Address, nick: Option<&str>) -> String {
    let account = rooms.node.account(address).ok().flatten();
    let known = account.and_then(|account| account.display_name.clone());
    match (nick, known) {
        (Some(nick), Some(known)) if nick == address.name() => known,
        (Some(nick), _) => nick.to_owned(),
        (None, Some(known)) => known,
        (None, None) => match address.parts() {
            AddressParts::Remote { id, .. } => {
                let local = id.trim_start_matches('@').split(['@', ':']).next();
                local.unwrap_or(id).to_owned()
            }
            _ => address.name().to_owned(),
        },
    }
}

/// What a membership event says.
pub fn member(
    rooms: &Rooms,
    convo: &Convo,
    who: &Address,
    membership: &str,
    nick: Option<&str>,
) -> Value {
    let known = convo.member(who).and_then(|m| m.nick.as_deref());
    let mut content = Map::new();
    content.insert("membership".into(), membership.into());
    let name = display_name(rooms, who, nick.or(known));
    content.insert("displayname".into(), name.into());
    let picture = rooms
        .matrix()
        .and_then(|matrix| profile::picture(&matrix, who).ok().flatten());
    if let Some(picture) = picture.filter(|_| membership == "join" || membership == "invite") {
        content.insert("avatar_url".into(), picture.to_string().into());
    }
    Value::Object(content)
}

impl Scribe<'_> {
    /// Adds what is missing.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn reconcile(
        &mut self,
        convo: &Convo,
        before: Option<&Convo>,
        at: Timestamp,
    ) -> Outcome<()> {
        self.reconcile_members(convo, before, at);
        if convo.is_room() {
            self.reconcile_settings(convo, at);
        } else if convo.conversation.settings.binding == Binding::Bound("Megolm".into()) {
            self.encrypt(at);
        }
        Ok(())
    }

    /// `before` is the conversation as it was when this was done last: who is the same there needs no look.
    fn reconcile_members(&mut self, convo: &Convo, before: Option<&Convo>, at: Timestamp) {
        let rooms = self.rooms;
        let own = rooms.own_user();
        let now = self.sheet.head.state.clone();
        let pair = convo.conversation.pair().map(|(a, b)| [a, b]);
        for address in pair.into_iter().flatten() {
            let user = rooms.user(address);
            // Who left comes back when something is said.
            let left = now.get("m.room.member", user.as_str()).is_some()
                && now.membership(&user) != MembershipState::Join;
            if !left {
                let wanted = member(rooms, convo, address, "join", None);
                self.named(address, wanted, at);
            }
        }
        if pair.is_some() {
            return;
        }
        let gone = convo.conversation.destroyed;
        for known in convo.members.values() {
            let earlier = before.and_then(|before| before.member(&known.address));
            let ended = before.is_some_and(|before| before.conversation.destroyed != gone);
            if !ended && earlier.is_some_and(|earlier| Arc::ptr_eq(earlier, known)) {
                continue;
            }
            let user = rooms.user(&known.address);
            if user == own {
                continue;
            }
            let there = now.membership(&user);
            let outcast = known.standing == Standing::Outcast;
            match known.membership {
                Membership::Joined if !gone => {
                    let wanted = member(rooms, convo, &known.address, "join", None);
                    self.named(&known.address, wanted, at);
                }
                Membership::Invited if !gone => {
                    let by = known.invited_by.as_ref().map(|by| rooms.user(by));
                    if !matches!(there, MembershipState::Join | MembershipState::Invite) {
                        let content = member(rooms, convo, &known.address, "invite", None);
                        self.state(by, Type::RoomMember, user.as_str(), at, content);
                    }
                }
                Membership::Knocked if !gone => {
                    let by = Some(user.clone());
                    if there == MembershipState::Leave {
                        let content = member(rooms, convo, &known.address, "knock", None);
                        self.state(by, Type::RoomMember, user.as_str(), at, content);
                    }
                }
                _ if outcast && there != MembershipState::Ban => {
                    let mut content = json!({ "membership": "ban" });
                    if let Some(reason) = &known.reason {
                        content.put("reason", &**reason);
                    }
                    self.state(None, Type::RoomMember, user.as_str(), at, content);
                }
                _ if !outcast && !matches!(there, MembershipState::Leave) => {
                    let content = json!({ "membership": "leave" });
                    let by = (there != MembershipState::Ban).then(|| user.clone());
                    self.state(by, Type::RoomMember, user.as_str(), at, content);
                }
                _ => {}
            }
        }
        if before.is_some() {
            return;
        }
        // Those of whom core knows nothing any more.
        for (user, there, _) in now.members() {
            let Ok(user) = <&UserId>::try_from(user) else {
                continue;
            };
            if user == own || there == MembershipState::Leave {
                continue;
            }
            let known = rooms
                .address(user)
                .is_some_and(|a| convo.member(&a).is_some());
            if !known {
                let by = (there != MembershipState::Ban).then(|| user.to_owned());
                let content = json!({ "membership": "leave" });
                self.state(by, Type::RoomMember, user.as_str(), at, content);
            }
        }
    }

    /// Somebody is in, under a name.
    fn named(&mut self, who: &Address, wanted: Value, at: Timestamp) {
        let user = self.rooms.user(who);
        let now: Option<Value> = self
            .sheet
            .head
            .state
            .content("m.room.member", user.as_str());
        let joined = self.sheet.head.state.membership(&user) == MembershipState::Join;
        if !joined {
            self.let_in(&user, &wanted, at);
            return;
        }
        let mut content = now.clone().unwrap_or_default();
        content.put("displayname", wanted.field("displayname").clone());
        match (wanted.get("avatar_url"), content.as_object_mut()) {
            (Some(picture), _) => content.put("avatar_url", picture.clone()),
            (None, Some(fields)) => drop(fields.remove("avatar_url")),
            (None, None) => {}
        }
        if now.as_ref() != Some(&content) {
            self.state(
                Some(user.clone()),
                Type::RoomMember,
                user.as_str(),
                at,
                content,
            );
        }
    }

    fn reconcile_settings(&mut self, convo: &Convo, at: Timestamp) {
        let settings = &convo.conversation.settings;
        let by = settings
            .topic_by
            .as_ref()
            .map(|(by, _)| self.rooms.user(by));
        self.text(by, Type::RoomTopic, "topic", settings.topic.as_deref(), at);
        self.text(None, Type::RoomName, "name", settings.name.as_deref(), at);
        let alias = convo
            .conversation
            .room()
            .and_then(|room| self.rooms.alias(room));
        let alias = alias.as_ref().map(|alias| alias.as_str());
        if convo.is_ours() {
            let state = &self.sheet.head.state;
            let now = state.get("m.room.canonical_alias", "").is_some();
            let shown = state.text("m.room.canonical_alias", "alias");
            let former = &convo.conversation.former;
            let former = former.iter().filter_map(|room| self.rooms.alias(room));
            let old = shown.is_some_and(|shown| former.into_iter().any(|f| f == shown));
            // Which of its aliases a room shows is its people's choice; one that it had before is not.
            if old || !now && !self.room.record.native {
                self.text(None, Type::RoomCanonicalAlias, "alias", alias, at);
            }
        }
        let rule = self.sheet.head.state.text("m.room.join_rules", "join_rule");
        let wanted = join_rule(settings);
        let fits = match rule.as_deref() {
            // Closer rules that core has no word for.
            Some("restricted") => wanted == "invite",
            Some("knock_restricted") => wanted == "knock",
            rule => rule == Some(wanted),
        };
        if !fits {
            let content = json!({ "join_rule": wanted });
            self.state(None, Type::RoomJoinRules, "", at, content);
        }
        let state = &self.sheet.head.state;
        let seen = state.text("m.room.history_visibility", "history_visibility");
        let wanted = visibility(settings);
        if seen.as_deref() != Some(wanted)
            && !(seen.as_deref() == Some("invited") && wanted == "joined")
        {
            let content = json!({ "history_visibility": wanted });
            self.state(None, Type::RoomHistoryVisibility, "", at, content);
        }
        if settings.binding == Binding::Bound("Megolm".into()) {
            self.encrypt(at);
        }
        let now: Value = self
            .sheet
            .head
            .state
            .content("m.room.power_levels", "")
            .unwrap_or_default();
        let wanted = levels(self, convo, &now);
        if wanted != now {
            self.state(None, Type::RoomPowerLevels, "", at, wanted);
        }
    }

    fn encrypt(&mut self, at: Timestamp) {
        if self.sheet.head.state.get("m.room.encryption", "").is_none() {
            let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
            self.state(None, Type::RoomEncryption, "", at, content);
        }
    }

    /// A text of the room.
    fn text(
        &mut self,
        by: Option<OwnedUserId>,
        kind: Type,
        field: &str,
        wanted: Option<&str>,
        at: Timestamp,
    ) {
        let now: Value = self
            .sheet
            .head
            .state
            .content(&kind.to_string(), "")
            .unwrap_or_default();
        let has = now
            .get(field)
            .and_then(Value::as_str)
            .filter(|t| !t.is_empty());
        if has == wanted {
            return;
        }
        // What else the event says about the old text goes with it.
        let mut content = Map::new();
        if kind == Type::RoomCanonicalAlias
            && let Some(others) = now.get("alt_aliases")
        {
            content.insert("alt_aliases".into(), others.clone());
        }
        match wanted {
            Some(text) => drop(content.insert(field.into(), text.into())),
            None if field == "alias" => {}
            None => drop(content.insert(field.into(), "".into())),
        }
        self.state(by, kind, "", at, Value::Object(content));
    }

    /// Adds state, by this user if they may, else by whoever may. Tells in the log when nobody may.
    pub fn state(
        &mut self,
        by: Option<OwnedUserId>,
        kind: Type,
        key: &str,
        at: Timestamp,
        content: Value,
    ) -> bool {
        let draft = |by: &UserId| Draft::state(kind.clone(), key, by, at, content.clone());
        let mut why = None;
        for sender in by.into_iter().chain(self.rulers()) {
            match self.sheet.add(draft(&sender)) {
                Ok(_) => return true,
                Err(unfit) => why = Some(unfit),
            }
        }
        if let Some(why) = why {
            let room = &self.sheet.frame.id;
            tracing::warn!(%room, %kind, %why, "nobody in the room may say what changed");
        }
        false
    }
}

//! Who comes and goes in a chain, and who can speak for the room.

use ruma::events::TimelineEventType as Type;
use ruma::events::room::member::MembershipState;
use ruma::{OwnedUserId, UserId};
use sammen_core::event::{Event, MembershipAction, MembershipChange};
use sammen_core::{Convo, Timestamp};
use serde_json::{Value, json};

use super::reconcile;
use super::scribe::Scribe;
use super::sheet::Draft;
use crate::fields::Fields as _;
use crate::translate;

impl Scribe<'_> {
    /// Whoever left a conversation of two is in it again when something is said there.
    pub(super) fn both_are_in(&mut self, convo: &Convo, event: &Event) {
        let pair = convo.conversation.pair().map(|(a, b)| [a, b]);
        for address in pair.into_iter().flatten() {
            let user = self.rooms.user(address);
            if self.sheet.head.state.membership(&user) != MembershipState::Join {
                let content = reconcile::member(self.rooms, convo, address, "join", None);
                self.let_in(&user, &content, event.at);
            }
        }
    }

    pub(super) fn show_membership(
        &mut self,
        convo: &Convo,
        event: &Event,
        change: &MembershipChange,
    ) {
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
        // Room versions, "Restricted rooms": somebody who may invite vouches for who comes by another room.
        let rule = self.sheet.head.state.text("m.room.join_rules", "join_rule");
        if matches!(rule.as_deref(), Some("restricted" | "knock_restricted")) {
            for voucher in self.rulers() {
                let mut vouched = join.clone();
                vouched
                    .content
                    .put("join_authorised_via_users_server", voucher.as_str());
                if self.sheet.add(vouched).is_ok() {
                    return true;
                }
            }
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

//! Power levels in core's words: standings, roles, and who may speak, invite and set the topic.

use sammen_core::conversation::{JoinRule, Settings};
use sammen_core::ops::rooms::{self, MODERATOR};
use sammen_core::principal::Origin;
use sammen_core::tx::Tx;
use sammen_core::{Address, ConversationId, Convo, Outcome, Principal, Role, Standing, permission};
use serde_json::Value;

use crate::chain::Room;
use crate::fields::Fields as _;
use crate::server::Matrix;

/// What new levels of a room change in core.
pub struct Ranks {
    standings: Vec<(Address, Standing)>,
    /// Of people below an admin's standing.
    levels: Vec<(Address, i64, Role)>,
    /// Only who has a voice speaks; everybody invites; everybody sets the topic. Where that changes.
    moderated: Option<bool>,
    invites_open: Option<bool>,
    topic_open: Option<bool>,
}

/// Somebody's level.
fn level(levels: &Value, user: &str) -> i64 {
    let own = levels.field("users").field(user).as_i64();
    own.unwrap_or_else(|| number(levels, "users_default", 0))
}

fn number(levels: &Value, field: &str, otherwise: i64) -> i64 {
    levels.field(field).as_i64().unwrap_or(otherwise)
}

fn topic(levels: &Value) -> i64 {
    let own = levels.field("events").field("m.room.topic").as_i64();
    own.unwrap_or_else(|| number(levels, "state_default", 50))
}

/// The role that a level gives.
fn role(levels: &Value, level: i64) -> Role {
    if level >= MODERATOR {
        Role::Moderator
    } else if level >= number(levels, "events_default", 0) {
        Role::Participant
    } else {
        Role::Visitor
    }
}

impl Ranks {
    /// What `content` changes, of levels that stand now; `None` where core has no ranks: between two people.
    pub fn of(matrix: &Matrix, room: &Room, content: &Value) -> Option<Self> {
        let convo = matrix.node.convo(room.conversation).ok().flatten()?;
        if !convo.is_room() {
            return None;
        }
        let state = room.state();
        let before: Value = state.content("m.room.power_levels", "").unwrap_or_default();
        let mut ranks = Self::settings(&convo.conversation.settings, &before, content);
        let named = [&before, content].into_iter();
        let users = named.filter_map(|levels| levels.field("users").as_object());
        let mut users: Vec<&String> = users.flatten().map(|(user, _)| user).collect();
        users.sort_unstable();
        users.dedup();
        for user in users {
            let (was, is) = (level(&before, user), level(content, user));
            let address = <&ruma::UserId>::try_from(user.as_str()).ok();
            let address = address.and_then(|user| matrix.rooms.address(user));
            if let Some(address) = address.filter(|_| was != is) {
                ranks.rank(&convo, address, is, content);
            }
        }
        Some(ranks)
    }

    fn settings(now: &Settings, before: &Value, after: &Value) -> Self {
        let speaks = |levels: &Value| number(levels, "events_default", 0);
        let usual = |levels: &Value| number(levels, "users_default", 0);
        let moderated = |levels: &Value| speaks(levels) > usual(levels);
        let invites = |levels: &Value| number(levels, "invite", 0) <= usual(levels);
        let topics = |levels: &Value| topic(levels) <= speaks(levels).min(MODERATOR - 1);
        let changed = |of: &dyn Fn(&Value) -> bool, now: bool| {
            (of(before) != of(after) && of(after) != now).then(|| of(after))
        };
        let open = now.join_rule == JoinRule::Open;
        Self {
            standings: Vec::new(),
            levels: Vec::new(),
            moderated: changed(&moderated, now.moderated),
            invites_open: changed(&invites, now.invites_open).filter(|_| !open),
            topic_open: changed(&topics, now.topic_open),
        }
    }

    fn rank(&mut self, convo: &Convo, who: Address, is: i64, levels: &Value) {
        let has = convo.standing(&who);
        let standing = match is {
            100.. => Standing::Owner,
            75..100 => Standing::Admin,
            // Below that core goes by roles; members stay members.
            _ if has >= Standing::Admin => Standing::Member,
            _ => has,
        };
        if standing != has {
            self.standings.push((who.clone(), standing));
        }
        let known = convo.member(&who);
        let had = known.is_some_and(|m| m.level.is_some_and(|level| level >= MODERATOR));
        if standing < Standing::Admin
            && standing != Standing::Outcast
            && (is >= MODERATOR || had || convo.has(&who))
        {
            self.levels.push((who, is, role(levels, is)));
        }
    }

    /// Sets them. Checks all of it first.
    ///
    /// # Errors
    /// When the principal may not.
    pub fn set(
        self,
        tx: &mut Tx<'_>,
        by: &Principal,
        room: ConversationId,
        origin: &Origin,
    ) -> Outcome<()> {
        let convo = tx.convo(room)?;
        let own = |who: &Address| by.address() == Some(who);
        for (who, standing) in &self.standings {
            permission::may_set_standing(&convo, by, who, *standing)?;
        }
        for (who, _, role) in &self.levels {
            // Whose standing changes, too, was asked for above; everybody may step down.
            let ranked = self.standings.iter().any(|(other, _)| other == who);
            let down = own(who) && *role <= convo.role(who);
            if !ranked && !down {
                permission::may_set_level(&convo, by, who, *role)?;
            }
        }
        let (moderated, invites, topic) = (self.moderated, self.invites_open, self.topic_open);
        if moderated.or(invites).or(topic).is_some() {
            let change = move |settings: &mut Settings| {
                settings.moderated = moderated.unwrap_or(settings.moderated);
                settings.invites_open = invites.unwrap_or(settings.invites_open);
                settings.topic_open = topic.unwrap_or(settings.topic_open);
                Ok(())
            };
            rooms::configure(tx, by, room, change, origin)?;
        }
        // Who gives the own standing away does it last. All was checked above; what is left is a room's last owner.
        let mut kept = Vec::new();
        for mine in [false, true] {
            for (who, standing) in self.standings.iter().filter(|(who, _)| own(who) == mine) {
                if let Err(why) = rooms::set_standing(tx, by, room, who, *standing, None, origin) {
                    tracing::debug!(%why, "a standing was not set");
                    kept.push(who);
                }
            }
            let by = if mine { &Principal::Node } else { by };
            let theirs = self.levels.iter().filter(|(who, ..)| own(who) == mine);
            for (who, level, role) in theirs.filter(|(who, ..)| !kept.contains(&who)) {
                let ranked = (*level, *role);
                if let Err(why) = rooms::set_level(tx, by, room, who, ranked, origin) {
                    tracing::debug!(%why, "a level was not set");
                }
            }
        }
        Ok(())
    }
}

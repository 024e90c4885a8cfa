//! Rooms: making, entering, leaving, inviting, ranking, configuring, destroying.

mod coming;
mod naming;
mod ranks;
mod settings;

use std::sync::Arc;

use crate::address::Address;
use crate::conversation::{ConversationKey, Home, JoinRule, Mask, Settings, Visibility};
use crate::convo::Convo;
use crate::event::{Content, MembershipAction, MembershipChange, RoomChange};
use crate::ids::{ConversationId, Pos, SessionId};
use crate::live::{Live, OccupantChange, OccupantKind, Presence, StateChange};
use crate::member::{Member, Membership, Role, Standing};
use crate::ops::send::{Draft, append, progress};
use crate::permission;
use crate::principal::{Origin, Principal};
use crate::refusal::{Outcome, Refusal};
use crate::tx::Tx;

pub use coming::{
    Entered, KNOCKING, Way, create, depart, enter, exit, invite, invite_with, join, join_by, knock,
    leave, set_nick, turn_away,
};
pub(crate) use coming::{has_other_session, leave_occupancy};
pub use naming::rename;
use naming::{check_address, ends};
pub use ranks::{may_register, register, set_level, set_role, set_standing};
pub use settings::{configure, destroy, set_topic};

/// From this level on somebody is a moderator (Matrix client-server API, "Permissions").
pub const MODERATOR: i64 = 50;

/// Longest nick, in bytes.
pub const NICK_BYTES: usize = 64;

/// Whether a text can be a nick: nothing that controls or can't be seen, so that no two look alike for that; not empty, not
/// only white space, not too long.
pub fn valid_nick(nick: &str) -> bool {
    !nick.trim().is_empty() && nick.len() <= NICK_BYTES && !nick.chars().any(is_invisible)
}

/// Controls and what Unicode says to ignore (Default_Ignorable_Code_Point), but for what emoji are joined and chosen with.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200C}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0E}' | '\u{FEFF}' | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFFB}' | '\u{13430}'..='\u{1343F}' | '\u{16FE4}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

fn check_room_count(tx: &mut Tx<'_>, who: &Address) -> Outcome<()> {
    let most = tx.limits().rooms_joined;
    // Counted roughly, by the conversations of the account that are in the directory.
    let count = tx.store.conversations_of(who)?.len();
    if count >= most.saturating_mul(4) {
        Err(Refusal::TooMany)
    } else {
        Ok(())
    }
}

fn check_rooms_owned(tx: &mut Tx<'_>, who: &Address) -> Outcome<()> {
    let mut left = tx.limits().rooms_owned;
    for id in tx.conversations_of(who)? {
        let convo = tx.convo(id)?;
        if convo.standing(who) == Standing::Owner && !convo.conversation.destroyed {
            left = left.saturating_sub(1);
        }
    }
    if left == 0 {
        Err(Refusal::TooMany)
    } else {
        Ok(())
    }
}

fn check_nick(convo: &Convo, who: &Address, nick: &str) -> Outcome<()> {
    if !valid_nick(nick) {
        return Err(Refusal::InvalidName);
    }
    let folded = crate::convo::fold_nick(nick);
    if convo.nicks.get(&folded).is_some_and(|a| a != who) {
        return Err(Refusal::Taken);
    }
    // A registered nick stays its member's while away.
    let kept = convo.members.values().any(|m| {
        m.address != *who
            && m.standing >= Standing::Member
            && m.nick
                .as_deref()
                .is_some_and(|n| crate::convo::fold_nick(n) == folded)
    });
    if kept { Err(Refusal::Taken) } else { Ok(()) }
}

/// Writes the membership, its event and its announcement. Checked before.
fn admit(
    tx: &mut Tx<'_>,
    convo: &Arc<Convo>,
    mut member: Member,
    nick: Option<&str>,
    by: &Address,
    origin: &Origin,
) -> Arc<Convo> {
    let tail = tx.cache.tails.get(&convo.id()).copied().unwrap_or_default();
    member.membership = Membership::Joined;
    member.since = tx.now;
    member.invited_by = None;
    member.nick = nick.map(Arc::from);
    // Who was made a moderator by a Matrix client is one wherever they come in by.
    let moderates = member.level.is_some_and(|level| level >= MODERATOR);
    if moderates && convo.default_role(member.standing) < Role::Moderator {
        member.role_override = Some(Role::Moderator);
    }
    // The own joining is the first thing one sees.
    member.enter_history(Pos(tail.last_pos.map_or(0, |p| p.0) + 1));
    let who = member.address.clone();
    let change = membership(&member, MembershipAction::Joined, None);
    let convo = tx.put_member(convo, member);
    append(tx, &convo, Draft::new(by, change, *origin));
    announce(
        tx,
        Change {
            convo: convo.clone(),
            who,
            kind: OccupantKind::Joined,
            old_nick: None,
            reason: None,
            by: None,
            origin: origin.session,
            evict: false,
            before: None,
        },
    );
    convo
}

fn membership(member: &Member, action: MembershipAction, reason: Option<String>) -> Content {
    Content::Membership(MembershipChange {
        who: member.address.clone(),
        nick: member.nick.as_deref().map(str::to_owned),
        membership: member.membership,
        standing: member.standing,
        action,
        reason,
    })
}

struct Change {
    convo: Arc<Convo>,
    who: Address,
    kind: OccupantKind,
    old_nick: Option<Arc<str>>,
    reason: Option<String>,
    by: Option<Address>,
    origin: Option<SessionId>,
    /// Whether the sessions of `who` leave the room with it.
    evict: bool,
    before: Option<Arc<Convo>>,
}

/// Tells the room about a change of an occupant after the commit.
fn announce(tx: &mut Tx<'_>, change: Change) {
    tx.after(move |live| {
        let room = change.convo.id();
        let sessions = live
            .room(room)
            .and_then(|r| r.occupants.get(&change.who))
            .map(|o| o.sessions.clone())
            .unwrap_or_default();
        let change_out = Arc::new(StateChange::Occupant(OccupantChange {
            convo: change.convo,
            who: change.who.clone(),
            kind: change.kind,
            old_nick: change.old_nick,
            reason: change.reason,
            by: change.by,
            origin: change.origin,
            sessions,
            before: change.before,
        }));
        live.tell_room(room, &change_out);
        // Other sessions of the same account learn of joining and leaving too.
        if matches!(
            change.kind,
            OccupantKind::Joined | OccupantKind::Left | OccupantKind::Nick
        ) {
            for session in live.sessions_of(&change.who) {
                let inside = live
                    .room(room)
                    .is_some_and(|r| r.sessions.iter().any(|s| s.id == session.id));
                if !inside {
                    session.mailbox.state(&change_out);
                }
            }
        }
        if change.evict {
            live.evict(room, &change.who);
        }
    });
}

#[expect(
    clippy::too_many_arguments,
    reason = "one place where a membership ends; each part differs between the four ways"
)]
fn remove(
    tx: &mut Tx<'_>,
    convo: &Arc<Convo>,
    member: &Member,
    action: MembershipAction,
    kind: OccupantKind,
    reason: Option<String>,
    by: &Address,
    origin: &Origin,
) -> Arc<Convo> {
    let was_joined = member.is_joined();
    let mut member = member.clone();
    let old_nick = member.nick.clone();
    member.membership = Membership::Left;
    member.role_override = None;
    member.invited_by = None;
    let change = membership(&member, action, reason.clone());
    // The own leaving is the last thing one sees.
    let convo_before = convo.clone();
    append(tx, &convo_before, Draft::new(by, change, *origin));
    let end = tx
        .cache
        .tails
        .get(&convo.id())
        .and_then(|t| t.last_pos)
        .map_or(0, |p| p.0)
        + 1;
    member.leave_history(Pos(end));
    if member.standing < Standing::Member && member.standing != Standing::Outcast {
        member.nick = None;
    }
    let who = member.address.clone();
    let convo = tx.put_member(convo, member);
    if was_joined {
        announce(
            tx,
            Change {
                convo: convo.clone(),
                who,
                kind,
                old_nick,
                reason,
                by: Some(by.clone()),
                origin: origin.session,
                evict: true,
                before: Some(convo_before),
            },
        );
    }
    convo
}

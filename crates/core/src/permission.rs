//! Nobody is let in by default: who may do what in a conversation. Pure functions, called inside the writer.

use crate::address::Address;
use crate::conversation::{Binding, JoinRule, Mask};
use crate::convo::Convo;
use crate::event::Content;
use crate::member::{Member, Membership, Role, Standing};
use crate::ops::rooms::Way;
use crate::principal::Principal;
use crate::refusal::{Outcome, Refusal};

/// May the principal write this into the conversation?
pub fn may_send(convo: &Convo, who: &Principal, content: &Content) -> Outcome<()> {
    if let Principal::Node = who {
        return Ok(());
    }
    let Some(address) = who.address() else {
        return Err(Refusal::NotFound);
    };
    gone(convo)?;
    if !convo.is_room() {
        return if convo.has(address) {
            Ok(())
        } else {
            Err(Refusal::NotFound)
        };
    }
    if !convo.has(address) {
        return Err(Refusal::NotJoined);
    }
    if matches!(
        content,
        Content::Membership(_) | Content::Room(_) | Content::Erased { .. }
    ) {
        return Err(Refusal::Invalid("only the room writes that"));
    }
    let quiet = matches!(content, Content::Marker(_));
    if convo.role(address) < Role::Participant && !quiet {
        return Err(Refusal::NoVoice);
    }
    if let Binding::Bound(scheme) = &convo.conversation.settings.binding
        && matches!(content, Content::Message(_) | Content::Edit(_))
    {
        return Err(Refusal::NotAcceptable(format!(
            "This room is encrypted with {scheme}: plain text is not sent here."
        )));
    }
    Ok(())
}

/// May the address come in? `matches` says whether a mask of a ban list fits the person (the protocol knows how).
pub fn may_join(
    convo: &Convo,
    who: &Address,
    password: Option<&str>,
    matches: &dyn Fn(&Mask) -> bool,
) -> Outcome<()> {
    let way = Way {
        password,
        fits: matches,
        allowed: false,
    };
    may_join_by(convo, who, &way)
}

/// [`may_join`] by a way that only some protocols know.
pub fn may_join_by(convo: &Convo, who: &Address, way: &Way<'_>) -> Outcome<()> {
    let (password, matches) = (way.password, way.fits);
    gone(convo)?;
    let settings = &convo.conversation.settings;
    let member = convo.member(who);
    let standing = convo.standing(who);
    if standing == Standing::Outcast {
        return Err(Refusal::Banned);
    }
    // XEP-0045 §10.1.1: a room that is not configured yet is not there for others.
    if settings.locked && standing < Standing::Owner {
        return Err(Refusal::NotFound);
    }
    if member.is_some_and(|m| m.is_joined()) {
        return Ok(());
    }
    lives_here(convo)?;
    if standing >= Standing::Admin {
        return Ok(());
    }
    let on = |list| settings.masks.iter().any(|m| m.list == list && matches(m));
    if on('b') && !on('e') {
        return Err(Refusal::Banned);
    }
    let invited = member.is_some_and(|m| m.membership == Membership::Invited) || on('I');
    let invited = invited || way.allowed;
    if settings.join_rule != JoinRule::Open && standing < Standing::Member && !invited {
        return Err(Refusal::MembersOnly);
    }
    if let Some(wanted) = &settings.password
        && !invited
        && password != Some(wanted.as_str())
    {
        return Err(Refusal::PasswordRequired);
    }
    let limit = settings.max_members as usize;
    if limit > 0 && convo.joined().count() >= limit {
        return Err(Refusal::RoomFull);
    }
    Ok(())
}

/// May the address ask to be let in? `matches` as in [`may_join`].
pub fn may_knock(convo: &Convo, who: &Address, matches: &dyn Fn(&Mask) -> bool) -> Outcome<()> {
    gone(convo)?;
    lives_here(convo)?;
    let settings = &convo.conversation.settings;
    let inside = |m: &Member| matches!(m.membership, Membership::Joined | Membership::Invited);
    let on = |list| settings.masks.iter().any(|m| m.list == list && matches(m));
    if convo.standing(who) == Standing::Outcast || on('b') && !on('e') {
        return Err(Refusal::Banned);
    }
    if settings.locked {
        return Err(Refusal::NotFound);
    }
    if !convo.is_room() || settings.join_rule != JoinRule::Knock {
        return Err(Refusal::Forbidden("nobody knocks here"));
    }
    if convo.member(who).is_some_and(|m| inside(m)) {
        return Err(Refusal::Forbidden("you may come in already"));
    }
    Ok(())
}

/// May the principal take this one's invitation back, or turn them away while they knock?
pub fn may_turn_away(convo: &Convo, by: &Principal, whom: &Member) -> Outcome<()> {
    if whom.membership == Membership::Invited {
        may_invite(convo, by)?;
        let own = whom.invited_by.as_ref() == by.address();
        let ruler = |a: &Address| convo.standing(a) >= Standing::Admin;
        return match by {
            Principal::Of(address) if !own && !ruler(address) => Err(Refusal::Forbidden(
                "only admins take back what others invited",
            )),
            _ => Ok(()),
        };
    }
    lives_here(convo)?;
    match in_room(convo, by)? {
        Some(address) if convo.role(address) < Role::Moderator => {
            Err(Refusal::Forbidden("only moderators do that"))
        }
        _ => Ok(()),
    }
}

/// May the address know that there is such a room? Whoever has or had to do with it, and everyone where the room is
/// shown to all or lets everyone in.
pub fn may_know(convo: &Convo, who: &Address) -> bool {
    let settings = &convo.conversation.settings;
    match convo.member(who) {
        Some(member) if member.standing != Standing::Outcast => true,
        _ => settings.listed || settings.join_rule == JoinRule::Open && settings.password.is_none(),
    }
}

/// May the principal change the topic?
pub fn may_set_topic(convo: &Convo, who: &Principal) -> Outcome<()> {
    let Some(address) = in_room(convo, who)? else {
        return Ok(());
    };
    // Elsewhere the room itself decides.
    let enough = if convo.conversation.settings.topic_open || !convo.is_ours() {
        Role::Participant
    } else {
        Role::Moderator
    };
    if convo.role(address) < enough {
        return Err(Refusal::Forbidden("only moderators set the topic here"));
    }
    Ok(())
}

/// May the principal change settings other than the topic?
pub fn may_configure(convo: &Convo, who: &Principal, owner_only: bool) -> Outcome<()> {
    gone(convo)?;
    lives_here(convo)?;
    let address = match who {
        Principal::Node | Principal::Admin(_) => return Ok(()),
        Principal::Of(address) => address,
    };
    let enough = if owner_only {
        Standing::Owner
    } else {
        Standing::Admin
    };
    if convo.standing(address) < enough {
        return Err(Refusal::Forbidden("only owners change that"));
    }
    Ok(())
}

/// May the principal invite someone?
pub fn may_invite(convo: &Convo, who: &Principal) -> Outcome<()> {
    lives_here(convo)?;
    let Some(address) = in_room(convo, who)? else {
        return Ok(());
    };
    let settings = &convo.conversation.settings;
    let enough = settings.join_rule == JoinRule::Open || settings.invites_open;
    if !enough && convo.standing(address) < Standing::Admin {
        return Err(Refusal::Forbidden("only admins invite here"));
    }
    Ok(())
}

/// May the principal keep people out by a mask, or let them in again? Moderators may: they kick, and without this the
/// kicked come straight back. Taking someone's standing (XMPP's outcast) stays with admins (XEP-0045 §5.2.1).
pub fn may_ban_masks(convo: &Convo, who: &Principal) -> Outcome<()> {
    let Some(address) = in_room(convo, who)? else {
        return Ok(());
    };
    if convo.role(address) == Role::Moderator || convo.standing(address) >= Standing::Admin {
        return Ok(());
    }
    Err(Refusal::Forbidden("only moderators do that"))
}

/// May the principal give `who` the standing `to`? (XEP-0045 §5.2.1, table of privileges and §8–10.)
pub fn may_set_standing(convo: &Convo, by: &Principal, who: &Address, to: Standing) -> Outcome<()> {
    gone(convo)?;
    lives_here(convo)?;
    let address = match by {
        Principal::Node | Principal::Admin(_) => return Ok(()),
        Principal::Of(address) => address,
    };
    let mine = convo.standing(address);
    let theirs = convo.standing(who);
    match mine {
        Standing::Owner => {
            let owners = convo
                .members
                .values()
                .filter(|m| m.standing == Standing::Owner)
                .count();
            if theirs == Standing::Owner && to != Standing::Owner && owners <= 1 {
                return Err(Refusal::Invalid("a room keeps at least one owner"));
            }
            Ok(())
        }
        Standing::Admin if theirs < Standing::Admin && to < Standing::Admin => Ok(()),
        _ => Err(Refusal::Forbidden("your standing does not allow that")),
    }
}

/// May the principal give an occupant a role, or kick (`Role::None`)? (XEP-0045 §8.2–8.5, §9.6–9.8.)
pub fn may_set_role(convo: &Convo, by: &Principal, who: &Address, to: Role) -> Outcome<()> {
    lives_here(convo)?;
    let Some(address) = in_room(convo, by)? else {
        return Ok(());
    };
    if convo.role(address) < Role::Moderator {
        return Err(Refusal::Forbidden("only moderators do that"));
    }
    if !convo.has(who) {
        return Err(Refusal::NotFound);
    }
    let (mine, theirs) = (convo.standing(address), convo.standing(who));
    let now = convo.role(who);
    if (to == Role::Moderator || now == Role::Moderator) && mine < Standing::Admin {
        return Err(Refusal::Forbidden("only admins make and unmake moderators"));
    }
    let outranked = match to {
        // §8.2: nobody is kicked by a moderator of lower affiliation.
        Role::None => theirs > mine,
        // §8.4, §9.7: voice and moderation of admins and owners are taken by nobody; voice is not taken from one whose
        // affiliation is at or above the moderator's.
        Role::Visitor | Role::Participant if theirs >= Standing::Admin => true,
        Role::Visitor => now > Role::Visitor && theirs >= mine,
        Role::Participant | Role::Moderator => false,
    };
    if outranked {
        return Err(Refusal::Forbidden("their standing is as high as yours"));
    }
    Ok(())
}

/// May the principal keep a level for somebody that means this role? As for the role; of one who is not in the room, admins
/// may.
pub fn may_set_level(convo: &Convo, by: &Principal, who: &Address, to: Role) -> Outcome<()> {
    if convo.has(who) {
        return may_set_role(convo, by, who, to);
    }
    lives_here(convo)?;
    let Some(address) = in_room(convo, by)? else {
        return Ok(());
    };
    let (mine, theirs) = (convo.standing(address), convo.standing(who));
    if mine < Standing::Admin || theirs >= Standing::Admin {
        return Err(Refusal::Forbidden("only admins make and unmake moderators"));
    }
    Ok(())
}

/// May the principal take back an event of this author?
pub fn may_retract(convo: &Convo, by: &Principal, author: &Address) -> Outcome<()> {
    let Some(address) = by.address() else {
        return Ok(());
    };
    if address == author || matches!(by, Principal::Admin(_)) {
        return Ok(());
    }
    if convo.is_room() && convo.is_ours() && convo.role(address) == Role::Moderator {
        return Ok(());
    }
    Err(Refusal::OtherAuthor)
}

fn in_room<'a>(convo: &Convo, who: &'a Principal) -> Outcome<Option<&'a Address>> {
    gone(convo)?;
    match who {
        Principal::Node | Principal::Admin(_) => Ok(None),
        Principal::Of(address) if convo.has(address) => Ok(Some(address)),
        Principal::Of(_) => Err(Refusal::NotJoined),
    }
}

/// Rooms that live elsewhere are ruled there.
///
/// # Errors
/// For those.
pub fn lives_here(convo: &Convo) -> Outcome<()> {
    if convo.is_ours() {
        Ok(())
    } else {
        Err(Refusal::Forbidden(
            "this room lives on another server: an app of its network changes it",
        ))
    }
}

fn gone(convo: &Convo) -> Outcome<()> {
    if convo.conversation.destroyed {
        Err(Refusal::Gone(None))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Conversation, ConversationKey, Home, Settings};
    use crate::ids::{ConversationId, Pos, Seq, Timestamp};

    fn address(name: &str) -> Address {
        Address::new(&format!("{name}@example.org")).unwrap_or_else(|_| unreachable!())
    }

    /// A moderated room with two of each standing; `mod-*` have the role of a moderator beside it.
    fn room() -> Convo {
        let ranks = [
            ("owner", Standing::Owner, None),
            ("owner2", Standing::Owner, None),
            ("admin", Standing::Admin, None),
            ("admin2", Standing::Admin, None),
            ("member", Standing::Member, None),
            ("member2", Standing::Member, None),
            ("none", Standing::None, Some(Role::Participant)),
            ("mod-member", Standing::Member, Some(Role::Moderator)),
            ("mod-none", Standing::None, Some(Role::Moderator)),
        ];
        let members = ranks.map(|(name, standing, role)| {
            let mut member = Member::new(address(name));
            member.standing = standing;
            member.role_override = role;
            member.membership = Membership::Joined;
            member
        });
        let key = Address::new("#town@example.org").unwrap_or_else(|_| unreachable!());
        let conversation = Conversation {
            id: ConversationId(1),
            key: ConversationKey::Room(key),
            home: Home::Node,
            settings: Settings {
                moderated: true,
                ..Settings::default()
            },
            turned_encrypted: None,
            created: Timestamp(0),
            changed: Seq(0),
            destroyed: false,
            open_from: Pos(0),
            former: Vec::new(),
        };
        Convo::new(conversation, members.to_vec())
    }

    #[test]
    fn roles_are_given_and_taken_as_xep_0045_says() {
        let room = room();
        let (none, visitor, participant, moderator) = (
            Role::None,
            Role::Visitor,
            Role::Participant,
            Role::Moderator,
        );
        for (by, who, to, may, section) in [
            ("mod-none", "none", none, true, "8.2"),
            ("mod-none", "member", none, false, "8.2: lower affiliation"),
            ("mod-member", "member", none, true, "8.2"),
            ("mod-member", "admin", none, false, "8.2"),
            ("admin", "owner", none, false, "8.2"),
            ("admin", "admin2", none, true, "8.2"),
            ("owner", "owner2", none, true, "8.2"),
            ("admin", "admin", none, true, "8.2: oneself"),
            ("member", "none", none, false, "8: moderators only"),
            (
                "mod-member",
                "mod-none",
                none,
                false,
                "5.1.3: moderators are kicked by admins",
            ),
            ("admin", "mod-none", none, true, "5.1.3"),
            ("mod-member", "none", visitor, true, "8.4"),
            (
                "mod-none",
                "none",
                visitor,
                false,
                "8.4: at the moderator's level",
            ),
            (
                "mod-member",
                "member",
                visitor,
                false,
                "8.4: at the moderator's level",
            ),
            ("admin", "member", visitor, true, "8.4"),
            ("owner", "admin", visitor, false, "8.4: nobody"),
            ("owner", "owner2", visitor, false, "8.4: nobody"),
            ("admin", "none", moderator, true, "9.6"),
            ("mod-member", "none", moderator, false, "9.6: admins only"),
            ("admin", "mod-member", participant, true, "9.7"),
            ("owner", "admin", participant, false, "9.7"),
            (
                "mod-member",
                "mod-none",
                participant,
                false,
                "9.7: admins only",
            ),
        ] {
            let principal = Principal::Of(address(by));
            let outcome = may_set_role(&room, &principal, &address(who), to);
            assert_eq!(
                outcome.is_ok(),
                may,
                "§{section}: {by} makes {who} {to:?}: {outcome:?}"
            );
        }
    }

    #[test]
    fn an_invitation_is_taken_back_by_who_made_it_or_an_admin() {
        let room = room();
        let mut invited = Member::new(address("new"));
        invited.membership = Membership::Invited;
        invited.invited_by = Some(address("member"));
        for (by, may) in [
            ("member", true),
            ("member2", false),
            ("mod-none", false),
            ("admin", true),
            ("owner", true),
        ] {
            let by = Principal::Of(address(by));
            let outcome = may_turn_away(&room, &by, &invited);
            assert_eq!(outcome.is_ok(), may, "{by:?}: {outcome:?}");
        }
    }

    #[test]
    fn standings_are_given_and_taken_as_xep_0045_says() {
        use Standing as S;
        let room = room();
        for (by, who, to, may, section) in [
            ("admin", "member", S::Outcast, true, "9.1"),
            ("admin", "admin2", S::Outcast, false, "9.1"),
            ("admin", "owner", S::Outcast, false, "9.1"),
            ("admin", "none", S::Member, true, "9.3"),
            ("admin", "member", S::None, true, "9.4"),
            ("admin", "member", S::Admin, false, "10.6: owners only"),
            ("admin", "admin2", S::Member, false, "10.7: owners only"),
            ("admin", "none", S::Owner, false, "10.3: owners only"),
            ("mod-member", "none", S::Member, false, "9.3: admins only"),
            ("member", "none", S::Outcast, false, "9.1: admins only"),
            ("owner", "admin", S::Outcast, true, "9.1"),
            ("owner", "member", S::Owner, true, "10.3"),
            ("owner", "owner2", S::Admin, true, "10.4"),
            ("owner", "admin", S::None, true, "10.7"),
        ] {
            let principal = Principal::Of(address(by));
            let outcome = may_set_standing(&room, &principal, &address(who), to);
            assert_eq!(
                outcome.is_ok(),
                may,
                "§{section}: {by} makes {who} {to:?}: {outcome:?}"
            );
        }
    }
}

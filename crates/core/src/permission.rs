//! Nobody is let in by default: who may do what in a conversation. Pure functions, called inside the writer.

use crate::address::Address;
use crate::conversation::{Binding, JoinRule, Mask};
use crate::convo::Convo;
use crate::event::Content;
use crate::member::{Membership, Role, Standing};
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
    gone(convo)?;
    let settings = &convo.conversation.settings;
    let member = convo.member(who);
    let standing = convo.standing(who);
    if standing == Standing::Outcast {
        return Err(Refusal::Banned);
    }
    if member.is_some_and(|m| m.is_joined()) || standing >= Standing::Admin {
        return Ok(());
    }
    let on = |list| settings.masks.iter().any(|m| m.list == list && matches(m));
    if on('b') && !on('e') {
        return Err(Refusal::Banned);
    }
    let invited = member.is_some_and(|m| m.membership == Membership::Invited) || on('I');
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

/// May the principal change the topic?
pub fn may_set_topic(convo: &Convo, who: &Principal) -> Outcome<()> {
    let Some(address) = in_room(convo, who)? else {
        return Ok(());
    };
    let enough = if convo.conversation.settings.topic_open {
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

/// May the principal give `who` the standing `to`? (XEP-0045 §5.2.1, table of privileges and §8–10.)
pub fn may_set_standing(convo: &Convo, by: &Principal, who: &Address, to: Standing) -> Outcome<()> {
    gone(convo)?;
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

/// May the principal give an occupant a role, or kick (`Role::None`)? (XEP-0045 §8.2–8.5, §9.6.)
pub fn may_set_role(convo: &Convo, by: &Principal, who: &Address, to: Role) -> Outcome<()> {
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
    let grants_moderation = to == Role::Moderator || convo.role(who) == Role::Moderator;
    if grants_moderation && mine < Standing::Admin {
        return Err(Refusal::Forbidden("only admins make and unmake moderators"));
    }
    if theirs >= Standing::Admin
        && to < Role::Moderator
        && (mine <= theirs || to != Role::None)
        && address != who
    {
        return Err(Refusal::Forbidden("their standing is as high as yours"));
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
    if convo.is_room() && convo.role(address) == Role::Moderator {
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

fn gone(convo: &Convo) -> Outcome<()> {
    if convo.conversation.destroyed {
        Err(Refusal::Gone(None))
    } else {
        Ok(())
    }
}

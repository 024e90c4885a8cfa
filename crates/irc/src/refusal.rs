//! Core's refusals as IRC says them: one place for all commands.

use sammen_core::Refusal;

use crate::wire::Numeric;

/// What a refusal is for something that was to happen on a channel or to a nick.
pub fn numeric(refusal: &Refusal, channel: bool) -> Numeric {
    match refusal {
        Refusal::NotFound | Refusal::Gone(_) if channel => Numeric::ERR_NOSUCHCHANNEL,
        Refusal::NotFound | Refusal::Gone(_) => Numeric::ERR_NOSUCHNICK,
        Refusal::Unreachable => Numeric::ERR_NOSUCHNICK,
        Refusal::Forbidden(_) if channel => Numeric::ERR_CHANOPRIVSNEEDED,
        Refusal::NotJoined => Numeric::ERR_NOTONCHANNEL,
        Refusal::Banned => Numeric::ERR_BANNEDFROMCHAN,
        Refusal::MembersOnly => Numeric::ERR_INVITEONLYCHAN,
        Refusal::PasswordRequired => Numeric::ERR_BADCHANNELKEY,
        Refusal::RoomFull => Numeric::ERR_CHANNELISFULL,
        Refusal::NoVoice => Numeric::ERR_CANNOTSENDTOCHAN,
        Refusal::Taken if channel => Numeric::ERR_USERONCHANNEL,
        Refusal::InvalidName if channel => Numeric::ERR_BADCHANMASK,
        Refusal::TooMany if channel => Numeric::ERR_TOOMANYCHANNELS,
        _ => Numeric::ERR_UNKNOWNERROR,
    }
}

/// What a refusal is for a message: everything that is about the target becomes "cannot send".
pub fn for_message(refusal: &Refusal, channel: bool) -> Numeric {
    match (refusal, channel) {
        (Refusal::NotFound | Refusal::Gone(_), true) => Numeric::ERR_NOSUCHCHANNEL,
        (Refusal::NotFound | Refusal::Unreachable, false) => Numeric::ERR_NOSUCHNICK,
        (_, true) => Numeric::ERR_CANNOTSENDTOCHAN,
        // 531 ERR_CANNOTSENDTOUSER (UnrealIRCd, solanum).
        (_, false) => Numeric(531),
    }
}

//! INVITE, and the list of invitations that wait.

use sammen_core::{Membership, Refusal, ops};

use crate::session::Session;
use crate::wire::{Message, Numeric};

pub(crate) async fn handle(s: &mut Session, m: &Message<'_>) {
    let (Some(nick), Some(channel)) = (m.text(0), m.text(1)) else {
        return list(s).await;
    };
    let Some(convo) = s.visible_room(channel) else {
        return s.numeric(Numeric::ERR_NOSUCHCHANNEL, &[channel], "No such channel");
    };
    let Some(who) = s.server.names.person(nick) else {
        return s.numeric(Numeric::ERR_NOSUCHNICK, &[nick], "No such nick");
    };
    let (by, origin, id) = (s.principal(), s.origin(), convo.id());
    let whom = who.clone();
    let written = s
        .server
        .node
        .write(move |tx| ops::rooms::invite(tx, &by, id, &whom, None, &origin));
    match written.await {
        Ok(_) => {
            s.numeric_bare(Numeric::RPL_INVITING, &[nick, channel]);
            if let Some(Some(text)) = s.server.presence(&who).filter(|_| s.may_see(&who)) {
                s.numeric(Numeric::RPL_AWAY, &[nick], &text);
            }
        }
        Err(Refusal::NotFound) => s.numeric(Numeric::ERR_NOSUCHNICK, &[nick], "No such nick"),
        Err(Refusal::Taken) => {
            let text = "is already on channel";
            s.numeric(Numeric::ERR_USERONCHANNEL, &[nick, channel], text);
        }
        Err(refusal) => s.refuse(&refusal, channel),
    }
}

async fn list(s: &mut Session) {
    let me = s.account();
    let read = s.server.node.read(move |node| {
        let mut rooms = Vec::new();
        for id in node.store().conversations_of(&me)? {
            let Some(convo) = node.convo(id)? else {
                continue;
            };
            let invited = convo
                .member(&me)
                .is_some_and(|m| m.membership == Membership::Invited);
            if invited && !convo.conversation.destroyed {
                rooms.extend(convo.conversation.room().cloned());
            }
        }
        Ok(rooms)
    });
    for room in read.await.unwrap_or_default() {
        let channel = s.server.names.channel(&room);
        s.numeric_bare(Numeric::RPL_INVITELIST, &[&channel]);
    }
    s.numeric(Numeric::RPL_ENDOFINVITELIST, &[], "End of /INVITE list");
}

//! JOIN and PART: membership, not presence. Who disconnects stays a member.

use sammen_core::conversation::{Mask, Settings};
use sammen_core::{Address, Principal, Refusal, ops};

use crate::replay::{self, presence};
use crate::session::Session;
use crate::wire::caps::Cap;
use crate::wire::casemap::{Ban, Who};
use crate::wire::standard::codes;
use crate::wire::{Message, Numeric};

/// Channels of one command.
const MOST: usize = 50;

pub(crate) async fn join(s: &mut Session, m: &Message<'_>) {
    let Some(channels) = m.text(0) else { return };
    if channels == "0" {
        let all: Vec<_> = s.me().rooms.values().map(|r| r.channel.clone()).collect();
        for channel in all {
            leave(s, &channel, None).await;
        }
        return;
    }
    let mut keys = m.text(1).unwrap_or("").split(',');
    for channel in channels.split(',').filter(|c| !c.is_empty()).take(MOST) {
        let key = keys.next().filter(|k| !k.is_empty()).map(str::to_owned);
        one(s, channel, key, false).await;
    }
}

/// `leads_on`: it was another name that led here.
async fn one(s: &mut Session, channel: &str, key: Option<String>, leads_on: bool) {
    let again = key.clone();
    let Some(room) = s.server.names.room(channel) else {
        let text = "No such channel";
        return s.numeric(Numeric::ERR_NOSUCHCHANNEL, &[channel], text);
    };
    let (me, id, origin) = (s.account(), s.id(), s.origin());
    let shown = presence(s.me().away.as_deref());
    if room.network().is_some() {
        return elsewhere(s, channel, &room, key).await;
    }
    let fits = fits(s, &me);
    let written = s.server.node.write(move |tx| {
        let convo = match tx.room(&room) {
            Ok(convo) => {
                let mut join = |nick: Option<&str>| {
                    ops::rooms::join(tx, &me, convo.id(), nick, key.as_deref(), &fits, &origin)
                };
                match join(None) {
                    // On IRC the nick is the account's; in this room another one goes by it already.
                    Err(Refusal::Taken) => join(Some(&format!("{}-{}", me.name(), id.0))),
                    other => other,
                }?
            }
            Err(Refusal::NotFound) => {
                let settings = Settings {
                    password: key,
                    ..Settings::default()
                };
                let who = Principal::Of(me.clone());
                ops::rooms::create(tx, &who, &room, settings, None, &origin)?
            }
            Err(other) => return Err(other),
        };
        replay::enter_in(tx, id, &me, convo.id(), shown)
    });
    match written.await {
        Ok(entrance) => replay::show(s, &entrance).await,
        // draft/channel-rename: the name of before leads on.
        Err(Refusal::Gone(Some(now))) if now.is_room() => {
            let (now, text) = (s.server.names.channel(&now), "The channel has been renamed");
            if s.has(Cap::ChannelRename) {
                return s.fail("JOIN", codes::CHANNEL_RENAMED, &[channel, &now], text);
            }
            s.numeric(Numeric::ERR_LINKCHANNEL, &[channel, &now], text);
            if !leads_on {
                Box::pin(one(s, &now, again, true)).await;
            }
        }
        Err(refusal) => s.refuse(&refusal, channel),
    }
}

/// A room of another server: that one lets in.
async fn elsewhere(s: &mut Session, channel: &str, room: &Address, key: Option<String>) {
    let (me, id, node) = (s.account(), s.id(), s.server.node.clone());
    let shown = presence(s.me().away.as_deref());
    let entered = node.enter_elsewhere(&me, room, key.as_deref()).await;
    let written = match entered {
        Ok(convo) => {
            node.write(move |tx| replay::enter_in(tx, id, &me, convo.id(), shown))
                .await
        }
        Err(refusal) => Err(refusal),
    };
    match written {
        Ok(entrance) => replay::show(s, &entrance).await,
        Err(refusal) => s.refuse(&refusal, channel),
    }
}

/// Whether a mask of a ban list fits a person.
pub(crate) fn fits(s: &Session, who: &Address) -> impl Fn(&Mask) -> bool + Send + use<> {
    let names = &s.server.names;
    let (nick, account) = (names.nick(who), names.account(who));
    let (user, host) = names.user_host(who);
    move |mask: &Mask| {
        let who = Who {
            nick: &nick,
            user: &user,
            host: &host,
            account: account.as_deref(),
        };
        Ban::parse(&mask.mask).is_ok_and(|ban| ban.matches(&who))
    }
}

pub(crate) async fn part(s: &mut Session, m: &Message<'_>) {
    let Some(channels) = m.text(0) else { return };
    let reason = m.text(1).filter(|r| !r.is_empty()).map(|r| clip(r, 300));
    for channel in channels.split(',').filter(|c| !c.is_empty()).take(MOST) {
        leave(s, channel, reason.clone()).await;
    }
}

/// The start of a text, at most so many bytes.
pub(crate) fn clip(text: &str, most: usize) -> String {
    let cut = crate::wire::truncate_utf8(text.as_bytes(), most);
    String::from_utf8_lossy(cut).into_owned()
}

async fn leave(s: &mut Session, channel: &str, reason: Option<String>) {
    let Some(convo) = s.visible_room(channel) else {
        let text = "No such channel";
        return s.numeric(Numeric::ERR_NOSUCHCHANNEL, &[channel], text);
    };
    let (me, origin, id) = (s.account(), s.origin(), convo.id());
    let written = s
        .server
        .node
        .write(move |tx| ops::rooms::leave(tx, &me, id, reason, &origin));
    match written.await {
        // The PART line is the event's.
        Ok(_) => s.answer_with_events().await,
        Err(refusal) => s.refuse(&refusal, channel),
    }
}

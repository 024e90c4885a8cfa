//! XEP-0045 §7.1–7.6: presence to a room: entering (also making it), another nick, another availability.

use std::sync::{Arc, OnceLock};

use sammen_core::address::Address;
use sammen_core::convo::Convo;
use sammen_core::ids::{ConversationId, SessionId};
use sammen_core::live::{Presence, RoomLive};
use sammen_core::ops::rooms;
use sammen_core::tx::Tx;
use sammen_core::{Origin, Outcome, Principal, Protocol, Refusal, Seq, Settings};

use super::history::{self, Wanted};
use super::names::status;
use super::occupant::{self, Inside};
use super::places::{Places, Rooms};
use super::{changes, leave, mask, settings};
use crate::address::Place;
use crate::client::Client;
use crate::error_map::stanza_error;
use crate::feature::{BoxFuture, FEATURES};
use crate::wire::{Condition, Element, Jid, StanzaError, ns};

/// Members without a session that a joiner is shown at most: a room of thousands is not sent to every phone.
const MOST_ABSENT: usize = 500;

/// Presence to a room or occupant.
pub fn presence(client: Arc<Client>, to: Jid, el: Element) -> BoxFuture<Result<(), StanzaError>> {
    Box::pin(async move {
        let outcome = match el.get("type") {
            None => {
                // What the node adds to presence (XEP-0398 §3.3: the avatar) it adds in rooms too.
                let mut stamped = el.clone();
                for stamp in FEATURES.iter().filter_map(|f| f.stamp) {
                    stamped = stamp(client.clone(), stamped).await;
                }
                available(&client, &to, &stamped).await
            }
            Some("unavailable") => leave::unavailable(&client, &to, &el).await,
            // An error that came back from the client: it has lost the room (§18.1.1 of XEP-0410's ghosts); others mean nothing here.
            _ => Ok(()),
        };
        if let Err(error) = outcome
            && let Some(reply) = error.reply_to(&el)
        {
            client.send(&with_muc(reply, &el, &client, &to));
        }
        Ok(())
    })
}

/// §7.2: errors of entering repeat the `<x/>`, by which clients know what they are about.
fn with_muc(mut reply: Element, request: &Element, client: &Client, to: &Jid) -> Element {
    reply.set("to", client.jid.to_str());
    if request.has("x", ns::MUC)
        && let Some(error) = reply.take("error", ns::CLIENT)
    {
        reply.push(Element::new(ns::MUC, "x"));
        let mut error = error;
        error.set("by", to.bare().to_str());
        reply.push(error);
    }
    reply
}

/// The address of a room that a JID names.
pub fn room_of(client: &Client, to: &Jid) -> Result<Address, StanzaError> {
    match client.server.place(to) {
        Place::Room(address) => Ok(address),
        _ => Err(StanzaError::new(Condition::ItemNotFound)),
    }
}

/// Why a room is not there: it never was, or it has another address now (RFC 6120 §8.3.3.5).
pub fn missing(client: &Client, room: &Address) -> StanzaError {
    match client.node.renamed(room, &client.principal()) {
        Ok(Some(convo)) => gone(client, convo.conversation.room()),
        _ => Condition::ItemNotFound.into(),
    }
}

/// The room goes by this address now.
fn gone(client: &Client, to: Option<&Address>) -> StanzaError {
    let mut error = StanzaError::new(Condition::Gone);
    error.new_address = to.map(|to| format!("xmpp:{}?join", client.server.bare(to)).into());
    error
}

/// Whether a session is in a room.
pub fn is_inside(client: &Client, room: ConversationId) -> bool {
    client.node.live(|live| {
        live.room(room)
            .and_then(|r| r.occupants.get(&client.account))
            .is_some_and(|o| o.sessions.iter().any(|(s, _)| s.id == client.session.id))
    })
}

async fn available(client: &Arc<Client>, to: &Jid, el: &Element) -> Result<(), StanzaError> {
    let room = room_of(client, to)?;
    // §7.2.2: who gives no nick is told so.
    let nick = to
        .resource()
        .ok_or_else(|| StanzaError::new(Condition::JidMalformed))?
        .to_owned();
    let convo = client.node.room(&room)?;
    let inside = convo.as_ref().filter(|c| is_inside(client, c.id()));
    match (el.find("x", ns::MUC), inside) {
        (Some(x), _) => enter(client, room, nick, x, el).await,
        (None, Some(convo)) => update(client, convo, nick, el).await,
        // A client that believes to be in: it must enter again. (Entering without `<x/>`, groupchat 1.0, is not served.)
        (None, None) => Err(StanzaError::new(Condition::ItemNotFound)
            .with_text("You are not in this room; enter it first.")),
    }
}

/// §7.6 and §7.7: another nick, or another availability under the same.
async fn update(
    client: &Arc<Client>,
    convo: &Arc<Convo>,
    nick: String,
    el: &Element,
) -> Result<(), StanzaError> {
    let (room, session, account) = (convo.id(), client.session.id, client.account.clone());
    let origin = client.plain_origin();
    let same = occupant::nick_of(convo, &account) == nick;
    let presence = occupant::read(el);
    client
        .node
        .write(move |tx| {
            if !same {
                return rooms::set_nick(tx, &account, room, &nick, &origin).map(drop);
            }
            rooms::enter(tx, session, &account, room, presence).map(drop)
        })
        .await
        .map_err(|refusal| nick_error(&refusal))
}

/// §7.2.8 and §7.6: what is wrong with a nick.
fn nick_error(refusal: &Refusal) -> StanzaError {
    match refusal {
        Refusal::InvalidName => StanzaError::new(Condition::NotAcceptable)
            .with_text("That nick is too long or has characters that no nick has."),
        other => stanza_error(other),
    }
}

/// What came of entering.
struct In {
    convo: Arc<Convo>,
    seq: Seq,
    live: Option<RoomLive>,
    created: bool,
}

/// How somebody wants to come in.
struct How {
    account: Address,
    session: SessionId,
    room: Address,
    nick: String,
    password: Option<String>,
    presence: Presence,
    origin: Origin,
}

async fn enter(
    client: &Arc<Client>,
    room: Address,
    nick: String,
    x: &Element,
    el: &Element,
) -> Result<(), StanzaError> {
    let shared = Rooms::ready(&client.server).await?;
    let places = Places::of(client);
    let how = How {
        account: client.account.clone(),
        session: client.session.id,
        room: room.clone(),
        nick: nick.clone(),
        password: x.find_text("password", ns::MUC).map(|p| p.into_owned()),
        presence: occupant::read(el),
        origin: client.plain_origin(),
    };
    let wanted = Wanted::read(x.find("history", ns::MUC), client.node.now());
    let undo = places.begin(&room, &nick);
    let seen = Arc::new(OnceLock::new());
    let snapshot = seen.clone();
    let entered = client
        .node
        .write(move |tx| come_in(tx, how, snapshot))
        .await;
    let mut came = match entered {
        Ok(came) => came,
        Err(refusal) => {
            for held in places.undo(&room, undo) {
                changes::show_held(client, &held);
            }
            return Err(match &refusal {
                Refusal::Gone(to @ Some(_)) => gone(client, to.as_ref()),
                other => refused(other),
            });
        }
    };
    came.live = seen.get().cloned();
    let convo = &came.convo;
    let past = history::before(client, convo, came.seq, &wanted).await;
    let given = occupant::nick_of(convo, &client.account).to_owned();
    let codes = own_codes(convo, came.created, given != nick);
    let held = places.finish(&room, &given, came.seq, || {
        roster(client, &shared, convo, came.live.as_ref(), &codes);
        for message in &past {
            occupant::send(client, "message", message);
        }
        history::subject(client, convo);
    });
    for held in held {
        changes::show_held(client, &held);
    }
    Ok(())
}

/// Inside the writer: the room is made or joined, and the session comes in.
fn come_in(tx: &mut Tx<'_>, how: How, snapshot: Arc<OnceLock<RoomLive>>) -> Outcome<In> {
    let created;
    let who = &how.account;
    let convo = match tx.room(&how.room) {
        Ok(convo) => {
            // §10.1.1: its owner came back to a room that is not configured yet.
            created = convo.conversation.settings.locked;
            let wanted = nick_to_take(tx, &convo, &how);
            let fits = |m: &_| mask::fits(m, who, &how.nick);
            rooms::join(
                tx,
                who,
                convo.id(),
                wanted,
                how.password.as_deref(),
                &fits,
                &how.origin,
            )?
        }
        Err(Refusal::NotFound) => {
            created = true;
            let first = Settings {
                locked: true,
                ..Settings::default()
            };
            let principal = Principal::Of(who.clone());
            rooms::create(
                tx,
                &principal,
                &how.room,
                first,
                Some(&how.nick),
                &how.origin,
            )?
        }
        Err(other) => return Err(other),
    };
    let entered = rooms::enter(tx, how.session, who, convo.id(), how.presence)?;
    let room = convo.id();
    tx.after(move |live| {
        if let Some(now) = live.room(room) {
            let _ = snapshot.set(now.clone());
        }
    });
    Ok(In {
        convo: entered.convo,
        seq: entered.seq,
        live: None,
        created,
    })
}

/// A nick belongs to the membership. A further client of an account that is in already takes the nick that is there
/// (status 210), so that two clients with different wishes do not rename each other all day.
fn nick_to_take<'a>(tx: &Tx<'_>, convo: &Convo, how: &'a How) -> Option<&'a str> {
    let others = tx.live(|live| {
        live.room(convo.id())
            .and_then(|r| r.occupants.get(&how.account))
            .is_some_and(|o| {
                o.sessions
                    .iter()
                    .any(|(s, _)| s.id != how.session && s.protocol == Protocol::Xmpp)
            })
    });
    (!others).then_some(how.nick.as_str())
}

/// §7.2: which error says what.
fn refused(refusal: &Refusal) -> StanzaError {
    match refusal {
        // §10.1.1: making rooms is restricted.
        Refusal::Forbidden(why) => StanzaError::new(Condition::NotAllowed).with_text(*why),
        other => nick_error(other),
    }
}

fn own_codes(convo: &Convo, created: bool, given: bool) -> Vec<u16> {
    let settings = &convo.conversation.settings;
    let mut codes = vec![status::SELF];
    if settings.addresses_open {
        codes.push(status::NON_ANONYMOUS);
    }
    if settings.visibility == sammen_core::conversation::Visibility::World {
        codes.push(status::LOGGED);
    }
    if created {
        codes.push(status::CREATED);
    }
    if given {
        codes.push(status::NICK_GIVEN);
    }
    codes
}

/// §7.2.3: everyone who is there, then the client itself.
pub fn roster(
    client: &Client,
    shared: &Rooms,
    convo: &Arc<Convo>,
    live: Option<&RoomLive>,
    codes: &[u16],
) {
    let address = occupant::sees_addresses(convo, &client.account);
    let show = |who: &Address, sessions: &[Inside]| {
        if *who == client.account || !settings::is_broadcast(convo, who) {
            return;
        }
        if let Some(member) = convo.member(who).filter(|m| m.is_joined()) {
            let form = shared.forms.available(
                &client.server,
                shared.key(),
                convo,
                member,
                sessions,
                address,
            );
            occupant::send(client, "presence", &form);
        }
    };
    super::avatar::show_room(client, convo);
    if let Some(live) = live {
        for occupant in live.occupants.values() {
            show(&occupant.address, &occupant.sessions);
        }
    }
    let absent = convo
        .joined()
        .filter(|m| live.is_none_or(|l| !l.occupants.contains_key(&m.address)));
    for member in absent.take(MOST_ABSENT) {
        show(&member.address, &[]);
    }
    own(client, shared, convo, live, codes);
}

/// The client's own presence from the room.
pub fn own(client: &Client, shared: &Rooms, convo: &Convo, live: Option<&RoomLive>, codes: &[u16]) {
    let sessions = live
        .and_then(|l| l.occupants.get(&client.account))
        .map(|o| o.sessions.clone())
        .unwrap_or_default();
    let detail = occupant::Detail {
        codes,
        sessions: &sessions,
        address: occupant::sees_addresses(convo, &client.account),
        ..occupant::Detail::default()
    };
    let form = occupant::build(
        &client.server,
        shared.key(),
        convo,
        &client.account,
        &detail,
    );
    occupant::send(client, "presence", &form);
}

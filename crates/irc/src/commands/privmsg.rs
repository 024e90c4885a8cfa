//! PRIVMSG and NOTICE: to rooms, to people, to a room's moderators (`@#town`).

use std::sync::Arc;

use bytes::Bytes;
use sammen_core::event::RelationKind;
use sammen_core::live::{Payload, Signal};
use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::{Address, Content, Convo, Native, Protocol, Refusal, Role, Standing};

use crate::session::{Extra, Pending, Session};
use crate::translate::inward::{self, Verb};
use crate::wire::format::Ctcp;
use crate::wire::tags::names;
use crate::wire::{Line, Message, Numeric};

/// Submissions that may wait for the writer; then reading waits.
const MOST_PENDING: usize = 512;

pub(crate) async fn privmsg(s: &mut Session, m: &Message<'_>) {
    handle(s, m, Verb::Privmsg).await;
}

pub(crate) async fn notice(s: &mut Session, m: &Message<'_>) {
    handle(s, m, Verb::Notice).await;
}

pub(crate) fn verb_name(verb: Verb) -> &'static str {
    match verb {
        Verb::Privmsg => "PRIVMSG",
        Verb::Notice => "NOTICE",
    }
}

async fn handle(s: &mut Session, m: &Message<'_>, verb: Verb) {
    let name = verb_name(verb);
    let Some(targets) = m.text(0).filter(|t| !t.is_empty()) else {
        let text = format!("No recipient given ({name})");
        return s.numeric(Numeric::ERR_NORECIPIENT, &[], &text);
    };
    let text = m.text(1).unwrap_or("");
    if let Some(reference) = m.tag_text(names::BATCH) {
        // Blank lines may stand between others (draft/multiline).
        return super::batch::line(s, &reference, name, targets, text, m);
    }
    if text.is_empty() {
        return s.numeric(Numeric::ERR_NOTEXTTOSEND, &[], "No text to send");
    }
    let tags: Vec<u8> = raw_tags(m);
    let most = s.server.config().targets;
    let list: Vec<&str> = targets.split(',').filter(|t| !t.is_empty()).collect();
    if list.len() > most {
        let last = list.get(most).copied().unwrap_or_default();
        return s.numeric(Numeric::ERR_TOOMANYTARGETS, &[last], "Too many targets");
    }
    for target in list {
        say(s, verb, target, text, &tags).await;
    }
}

/// The client-only tags of a line as they were written.
pub(crate) fn raw_tags(m: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in m.tags().filter(|(key, _)| key.first() == Some(&b'+')) {
        if !out.is_empty() {
            out.push(b';');
        }
        out.extend_from_slice(key);
        if !value.is_empty() {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    out
}

/// Where a message goes, once it is known.
pub(crate) struct Place {
    pub to: Target,
    pub audience: Option<Vec<Address>>,
    /// To a room's moderators, as `@#town`.
    pub status: bool,
}

/// Finds the place of a target; answers the client where there is none.
pub(crate) fn place(s: &mut Session, target: &str, tags: &[u8]) -> Option<Place> {
    if let Some((symbols, channel)) = target.find('#').and_then(|at| target.split_at_checked(at)) {
        if symbols.chars().any(|c| !"~&@%+".contains(c)) {
            s.numeric(Numeric::ERR_NOSUCHNICK, &[target], "No such nick/channel");
            return None;
        }
        // A hidden room that one is not in is answered as one that is not there.
        let Some(convo) = s.visible_room(channel) else {
            s.numeric(Numeric::ERR_NOSUCHCHANNEL, &[target], "No such channel");
            return None;
        };
        let audience = audience(&convo, symbols);
        return Some(Place {
            to: Target::Conversation(convo.id()),
            status: audience.is_some(),
            audience,
        });
    }
    let Some(person) = s.server.names.person(target) else {
        s.numeric(Numeric::ERR_NOSUCHNICK, &[target], "No such nick");
        return None;
    };
    // channel-context: a private message inside the room.
    let context = inward::tag(
        tags,
        &[names::CHANNEL_CONTEXT, names::DRAFT_CHANNEL_CONTEXT],
    );
    let room = context.and_then(|channel| s.any_room(&channel));
    if let Some(room) = room.filter(|r| r.has(&s.me().account) && r.has(&person)) {
        return Some(Place {
            to: Target::Conversation(room.id()),
            audience: Some(vec![person]),
            status: false,
        });
    }
    Some(Place {
        to: Target::Direct(person),
        audience: None,
        status: false,
    })
}

/// Those of at least the lowest of the ranks; everyone for voice, which core does not tell apart.
fn audience(convo: &Convo, symbols: &str) -> Option<Vec<Address>> {
    let lowest = symbols.chars().min_by_key(|c| "+%@&~".find(*c))?;
    let enough = |who: &Address| match lowest {
        '~' => convo.standing(who) >= Standing::Owner,
        '&' => convo.standing(who) >= Standing::Admin,
        '@' | '%' => convo.role(who) >= Role::Moderator,
        _ => convo.role(who) >= Role::Participant,
    };
    let people = convo.joined().map(|m| m.address.clone());
    Some(people.filter(|a| enough(a)).collect())
}

/// One message to one target.
pub(crate) async fn say(s: &mut Session, verb: Verb, target: &str, text: &str, tags: &[u8]) {
    if super::service::is_service(target) && verb == Verb::Privmsg {
        s.settle().await;
        return super::service::words(s, target, text).await;
    }
    let Some(place) = place(s, target, tags) else {
        return;
    };
    if Ctcp::parse(text).is_some() && Ctcp::action(text).is_none() {
        return ctcp(s, verb, target, text, &place).await;
    }
    // 301 answers PRIVMSG; a labelled one has its echo as the answer.
    if let (Target::Direct(person), Verb::Privmsg, false) = (&place.to, verb, s.is_labelled())
        && let Some(Some(away)) = s.server.presence(person)
        && s.may_see(person)
    {
        s.numeric(Numeric::RPL_AWAY, &[target], &away);
    }
    let (mut content, native) = inward::message(verb, text, Some(tags), place.status);
    crate::filehost::attach(&s.server, &mut content).await;
    submit(s, verb_name(verb), target, place, content, native, tags).await;
}

/// Submits content; what becomes of it comes back in order.
pub(crate) async fn submit(
    s: &mut Session,
    verb: &'static str,
    target: &str,
    place: Place,
    content: Content,
    native: Option<Native>,
    tags: &[u8],
) {
    let reply = inward::tag(tags, &[names::REPLY, names::DRAFT_REPLY]);
    let relation = reply.and_then(|id| inward::relation(RelationKind::Reply, &id));
    let out = Outgoing {
        native,
        relation,
        audience: place.audience,
        origin: s.origin(),
        ..Outgoing::new(place.to, content, Protocol::Irc)
    };
    submit_outgoing(s, verb, target, out).await;
}

pub(crate) async fn submit_outgoing(
    s: &mut Session,
    verb: &'static str,
    target: &str,
    mut out: Outgoing,
) {
    if s.me().pending.len() >= MOST_PENDING {
        s.settle().await;
    }
    let label = s.defer();
    let now = s.server.node.now();
    let who = s.principal();
    let me = s.me_mut();
    me.next_ticket += 1;
    let ticket = me.next_ticket;
    let labelled = label.is_some().then(|| me.labelled.clone());
    if let Some(extra) = me
        .session
        .extra
        .read()
        .as_ref()
        .and_then(|e| e.downcast_ref::<Extra>())
    {
        extra
            .active
            .store(now.0, std::sync::atomic::Ordering::Relaxed);
    }
    me.pending.push_back(Pending {
        ticket,
        label,
        target: target.to_owned(),
        verb,
    });
    let session = me.session.clone();
    let node = s.server.node.clone();
    node.submit(&session, ticket, move |tx| {
        // A reply to something that is not here is still worth saying.
        if let Some(relation) = out
            .relation
            .as_ref()
            .filter(|r| r.kind == RelationKind::Reply)
            && let Some(target) = relation.target
            && tx.event(target)?.is_none()
        {
            out.relation = None;
        }
        let sent = send::send(tx, &who, out)?;
        if let Some(labelled) = labelled {
            labelled.lock().push((sent.id, ticket));
        }
        Ok(sent)
    })
    .await;
}

/// CTCP other than ACTION is talk between programs: handed to who is there, never stored.
async fn ctcp(s: &mut Session, verb: Verb, target: &str, text: &str, place: &Place) {
    let me = s.account();
    let shown = match &place.to {
        Target::Direct(person) => s.server.names.nick(person),
        Target::Conversation(_) => target.to_owned(),
    };
    let line = Line::new(&s.me().mask)
        .cmd(verb_name(verb))
        .param(shown)
        .trailing(text);
    let payload: Payload = Arc::new(Bytes::from(line.finish()));
    let signal = Arc::new(Signal {
        from: me.clone(),
        session: Some(s.id()),
        protocol: Protocol::Irc,
        payload,
    });
    let known = match &place.to {
        Target::Direct(person) => s.may_reach(person),
        Target::Conversation(id) => match s.server.node.convo(*id) {
            Ok(Some(convo)) if convo.role(&me) >= Role::Participant => Ok(()),
            _ => Err(Refusal::NoVoice),
        },
    };
    if let Err(refusal) = known {
        let numeric = crate::refusal::for_message(&refusal, target.contains('#'));
        return s.numeric(numeric, &[target], &refusal.to_string());
    }
    // Programs answer by themselves: it would tell those who may not see it that somebody is here.
    if let (Target::Direct(person), Verb::Privmsg) = (&place.to, verb)
        && !s.may_see(person)
    {
        return;
    }
    let own = s.id();
    s.server.node.live(|live| {
        let sessions: Vec<_> = match &place.to {
            Target::Direct(person) => live.sessions_of(person).to_vec(),
            Target::Conversation(id) => live
                .room(*id)
                .map(|r| r.sessions.to_vec())
                .unwrap_or_default(),
        };
        // What is for some in the room is for nobody else in it.
        let meant = |who: &Address| match &place.audience {
            Some(audience) => *who == me || audience.contains(who),
            None => true,
        };
        for session in sessions {
            let irc = session.protocol == Protocol::Irc;
            if irc && session.id != own && meant(&session.account) {
                // A program that is too busy for it gets none: nobody waits for the answer.
                let _ = live.signal(session.id, &signal);
            }
        }
    });
}

impl Session {
    /// Whether one may bother someone: not blocked, and no stranger.
    pub(crate) fn may_reach(&self, person: &Address) -> Result<(), Refusal> {
        let me = &self.me().account;
        let node = &self.server.node;
        if person == me {
            return Ok(());
        }
        if person.is_account() && node.account(person)?.is_none() {
            return Err(Refusal::NotFound);
        }
        let (mine, theirs) = (node.contacts(me)?, node.contacts(person)?);
        if mine.get(person).is_some_and(|c| c.blocked) || theirs.get(me).is_some_and(|c| c.blocked)
        {
            return Err(Refusal::Blocked);
        }
        Ok(())
    }
}

//! Rooms: making, finding, entering, leaving, settings.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::conversation::{Binding, JoinRule, Settings, Visibility};
use sammen_core::member::{Membership, Standing};
use sammen_core::ops::rooms;
use sammen_core::{Address, Convo, RoomName};

use super::conversations::{leave, shown};
use crate::auth::{Caller, Need};
use crate::extract::{Ask, Asked, Created, Done, Json, Place};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::summary;
use crate::types as t;

/// Rooms in one answer.
const MOST: usize = 200;
/// Schemes that a room can be bound to here.
const SCHEMES: &[&str] = &["OMEMO"];

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/rooms",
            Need::Account,
            "Rooms of this node that are listed, or that the caller is in",
        )
        .query::<t::DirectoryQuery>()
        .answer::<t::Directory>(200)
        .by(directory);
    table
        .on(
            Method::POST,
            "/rooms",
            Need::Account,
            "Makes a room; it is for every app, or bound to one family of apps",
        )
        .ask::<t::CreateRoom>()
        .answer::<t::Conversation>(201)
        .by(create);
    table
        .on(
            Method::POST,
            "/rooms/join",
            Need::Account,
            "Comes into a room",
        )
        .ask::<t::JoinRoom>()
        .answer::<t::Conversation>(200)
        .by(join);
    table
        .on(
            Method::POST,
            "/conversations/{id}/leave",
            Need::Account,
            "Leaves a room, or declines an invitation",
        )
        .done()
        .by(leave_room);
    table
        .on(
            Method::GET,
            "/conversations/{id}/settings",
            Need::Account,
            "The settings of a room",
        )
        .answer::<t::RoomSettings>(200)
        .by(settings);
    table
        .on(
            Method::PATCH,
            "/conversations/{id}/settings",
            Need::Account,
            "Changes the settings of a room",
        )
        .ask::<t::RoomSettingsChange>()
        .answer::<t::RoomSettings>(200)
        .by(configure);
    table
        .on(
            Method::POST,
            "/conversations/{id}/nick",
            Need::Account,
            "Takes another nick in a room",
        )
        .ask::<t::NickChange>()
        .answer::<t::Conversation>(200)
        .by(nick);
    table
        .on(
            Method::DELETE,
            "/conversations/{id}",
            Need::Account,
            "Destroys a room",
        )
        .query::<t::ReasonQuery>()
        .done()
        .by(destroy);
}

/// A room that somebody typed: with or without `#` and domain.
fn room_address(web: &Web, typed: &str) -> Answer<Address> {
    let wrong = || Problem::invalid("address", "that is no room's address");
    let typed = typed.trim();
    let bare = typed.strip_prefix('#').unwrap_or(typed);
    if let Some((network, _)) = bare.split_once(':')
        && web
            .node
            .networks()
            .iter()
            .any(|n| n.name().as_str() == network)
    {
        return Address::new(typed).map_err(|_| wrong());
    }
    let (name, domain) = match bare.rsplit_once('@') {
        Some((name, domain)) => (name, domain),
        None => (bare, web.domain().as_str()),
    };
    // As XMPP people write it.
    let domain = domain.strip_prefix("rooms.").unwrap_or(domain);
    Address::new(&format!("#{name}@{domain}")).map_err(|_| wrong())
}

async fn directory(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Asked(asked): Asked<t::DirectoryQuery>,
) -> Answer<Json<t::Directory>> {
    let reader = caller.address().clone();
    web.read(move |web| {
        let most = asked.limit.unwrap_or(50).clamp(1, MOST);
        let words = asked.q.unwrap_or_default().to_lowercase();
        let mut after = match &asked.after {
            Some(text) => Some(
                Address::new(text)
                    .map_err(|_| Problem::invalid("after", "that is no cursor of ours"))?,
            ),
            None => None,
        };
        let mut found = Vec::new();
        loop {
            let page = web.node.rooms(after.as_ref(), 500)?;
            let Some(last) = page.last() else {
                return Ok(t::Directory {
                    rooms: found,
                    next: None,
                });
            };
            after = last.conversation.room().cloned();
            for convo in page {
                if let Some(room) = listed(&convo, &reader, &words) {
                    if found.len() == most {
                        let next = found.last().map(|r: &t::RoomListed| r.address.clone());
                        return Ok(t::Directory { rooms: found, next });
                    }
                    found.push(room);
                }
            }
        }
    })
    .await
    .map(Json)
}

fn listed(convo: &Convo, reader: &Address, words: &str) -> Option<t::RoomListed> {
    let joined = convo.has(reader);
    let settings = &convo.conversation.settings;
    if !settings.listed && !joined {
        return None;
    }
    let room = convo.conversation.room()?;
    let name = settings
        .name
        .clone()
        .unwrap_or_else(|| room.name().to_owned());
    let has = |text: &str| text.to_lowercase().contains(words);
    let fits = has(&name) || has(room.as_str()) || settings.topic.as_deref().is_some_and(has);
    fits.then(|| t::RoomListed {
        address: room.to_string(),
        name,
        topic: settings.topic.clone(),
        members: convo.joined().count(),
        joined,
        binding: binding(settings),
    })
}

pub(crate) fn binding(settings: &Settings) -> Option<String> {
    match &settings.binding {
        Binding::Unbound => None,
        Binding::Bound(scheme) => Some(scheme.clone()),
    }
}

async fn create(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(ask): Ask<t::CreateRoom>,
) -> Answer<Created<t::Conversation>> {
    let name = RoomName::new(ask.name.trim().trim_start_matches('#'))
        .map_err(|_| Problem::from(sammen_core::Refusal::InvalidName).field("name"))?;
    let address = Address::room(web.domain(), &name);
    let mut settings = Settings {
        name: ask.title.filter(|t| !t.trim().is_empty()),
        description: ask.description.filter(|d| !d.trim().is_empty()),
        listed: ask.listed,
        join_rule: ask.join_rule.map(core_rule).unwrap_or_default(),
        ..Settings::default()
    };
    match ask.binding.as_str() {
        "every-app" => {}
        scheme if SCHEMES.contains(&scheme) => {
            // Encryption needs to know its readers: members only, and everyone sees who they are.
            settings.binding = Binding::Bound(scheme.to_owned());
            settings.join_rule = JoinRule::Members;
            settings.addresses_open = true;
        }
        _ => return Err(Problem::invalid("binding", "every-app, or OMEMO")),
    }
    let (who, origin, nick) = (caller.principal(), caller.origin(), ask.nick);
    let convo = web
        .node
        .write(move |tx| rooms::create(tx, &who, &address, settings, nick.as_deref(), &origin))
        .await?;
    shown(&web, caller.address(), convo).await.map(Created)
}

async fn join(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(ask): Ask<t::JoinRoom>,
) -> Answer<Json<t::Conversation>> {
    let address = room_address(&web, &ask.address)?;
    let (who, origin) = (caller.address().clone(), caller.origin());
    let convo = web
        .node
        .write(move |tx| {
            let room = tx.room(&address)?;
            let (nick, password) = (ask.nick.as_deref(), ask.password.as_deref());
            // Masks name hosts and nicks of IRC; an account is known by its address.
            let account = who.to_string();
            let fits =
                move |mask: &sammen_core::conversation::Mask| mask_fits(&mask.mask, &account);
            rooms::join(tx, &who, room.id(), nick, password, &fits, &origin)
        })
        .await?;
    shown(&web, caller.address(), convo).await.map(Json)
}

/// Whether an IRC mask means an account: by its name as the nick or in an account mask (`$a:name`, `~account:name`).
fn mask_fits(mask: &str, account: &str) -> bool {
    let name = account.split('@').next().unwrap_or_default();
    let pattern = ["$a:", "~a:", "~account:"]
        .iter()
        .find_map(|p| mask.strip_prefix(p))
        .or_else(|| mask.split_once('!').map(|(nick, _)| nick))
        .unwrap_or(mask);
    glob(&pattern.to_lowercase(), name)
}

/// `*` stands for any text, `?` for one character.
fn glob(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut i, mut j) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while j < t.len() {
        match p.get(i) {
            Some('*') => {
                star = Some((i, j));
                i += 1;
            }
            Some(c) if *c == '?' || t.get(j) == Some(c) => {
                i += 1;
                j += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    i = at + 1;
                    j = from + 1;
                }
                None => return false,
            },
        }
    }
    p.get(i..)
        .is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

async fn leave_room(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
) -> Answer<Done> {
    let convo = room(&web, &caller, id).await?;
    leave(&web, &caller, &convo).await?;
    Ok(Done)
}

/// A room that the caller may know of.
pub(super) async fn room(web: &Arc<Web>, caller: &Caller, id: String) -> Answer<Arc<Convo>> {
    let convo = summary::find(web, caller, id).await?;
    if convo.is_room() {
        Ok(convo)
    } else {
        Err(Problem::not_found())
    }
}

async fn settings(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
) -> Answer<Json<t::RoomSettings>> {
    let convo = room(&web, &caller, id).await?;
    Ok(Json(shown_settings(&convo, caller.address())))
}

fn shown_settings(convo: &Convo, reader: &Address) -> t::RoomSettings {
    let s = &convo.conversation.settings;
    t::RoomSettings {
        name: s.name.clone(),
        topic: s.topic.clone(),
        description: s.description.clone(),
        join_rule: match s.join_rule {
            JoinRule::Open => t::JoinRule::Open,
            JoinRule::Members => t::JoinRule::Members,
            JoinRule::Knock => t::JoinRule::Knock,
        },
        visibility: match s.visibility {
            Visibility::Joined => t::Visibility::Joined,
            Visibility::Shared => t::Visibility::Shared,
            Visibility::World => t::Visibility::World,
        },
        listed: s.listed,
        moderated: s.moderated,
        persistent: s.persistent,
        password: s
            .password
            .clone()
            .filter(|_| convo.standing(reader) == Standing::Owner),
        topic_open: s.topic_open,
        invites_open: s.invites_open,
        addresses_open: s.addresses_open,
        max_members: s.max_members,
        binding: binding(s),
        retention_days: s.retention_days,
        language: s.language.clone(),
    }
}

fn core_rule(rule: t::JoinRule) -> JoinRule {
    match rule {
        t::JoinRule::Open => JoinRule::Open,
        t::JoinRule::Members => JoinRule::Members,
        t::JoinRule::Knock => JoinRule::Knock,
    }
}

fn core_visibility(visibility: t::Visibility) -> Visibility {
    match visibility {
        t::Visibility::Joined => Visibility::Joined,
        t::Visibility::Shared => Visibility::Shared,
        t::Visibility::World => Visibility::World,
    }
}

/// Writes a text that may be empty, which takes it away.
fn put(text: &mut Option<String>, wish: Option<String>) {
    if let Some(wish) = wish {
        let wish = wish.trim();
        *text = (!wish.is_empty()).then(|| wish.to_owned());
    }
}

fn apply(s: &mut Settings, ask: t::RoomSettingsChange) {
    put(&mut s.name, ask.name);
    put(&mut s.description, ask.description);
    put(&mut s.password, ask.password);
    put(&mut s.language, ask.language);
    s.join_rule = ask.join_rule.map_or(s.join_rule, core_rule);
    s.visibility = ask.visibility.map_or(s.visibility, core_visibility);
    let set = |switch: &mut bool, wish: Option<bool>| *switch = wish.unwrap_or(*switch);
    set(&mut s.listed, ask.listed);
    set(&mut s.moderated, ask.moderated);
    set(&mut s.persistent, ask.persistent);
    set(&mut s.topic_open, ask.topic_open);
    set(&mut s.invites_open, ask.invites_open);
    s.max_members = ask.max_members.unwrap_or(s.max_members);
    if let Some(days) = ask.retention_days {
        s.retention_days = (days > 0).then_some(days);
    }
}

/// Whether something else than the topic shall change.
fn beyond_topic(ask: &t::RoomSettingsChange) -> bool {
    ask.name.is_some()
        || ask.description.is_some()
        || ask.password.is_some()
        || ask.language.is_some()
        || ask.join_rule.is_some()
        || ask.visibility.is_some()
        || ask.listed.is_some()
        || ask.moderated.is_some()
        || ask.persistent.is_some()
        || ask.topic_open.is_some()
        || ask.invites_open.is_some()
        || ask.max_members.is_some()
        || ask.retention_days.is_some()
}

async fn configure(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Ask(ask): Ask<t::RoomSettingsChange>,
) -> Answer<Json<t::RoomSettings>> {
    let convo = room(&web, &caller, id).await?;
    let id = convo.id();
    let (who, origin) = (caller.principal(), caller.origin());
    let mut ask = ask;
    let topic = ask.topic.take();
    let convo = web
        .node
        .write(move |tx| {
            let convo = tx.convo(id)?;
            // Both are looked at before the first is done: a refusal leaves nothing behind.
            if topic.is_some() {
                sammen_core::permission::may_set_topic(&convo, &who)?;
                if topic.as_ref().is_some_and(|t| t.len() > 4096) {
                    return Err(sammen_core::Refusal::TooLarge);
                }
            }
            if beyond_topic(&ask) {
                let bound = matches!(convo.conversation.settings.binding, Binding::Bound(_));
                let opens = ask.join_rule.is_some_and(|r| r == t::JoinRule::Open)
                    || ask.visibility.is_some_and(|v| v == t::Visibility::World);
                if bound && opens {
                    return Err(sammen_core::Refusal::NotAcceptable(
                        "An encrypted room is for its members.".into(),
                    ));
                }
                rooms::configure(
                    tx,
                    &who,
                    id,
                    |settings| {
                        apply(settings, ask);
                        Ok(())
                    },
                    &origin,
                )?;
            }
            if let Some(topic) = topic {
                rooms::set_topic(tx, &who, id, topic.trim(), None, &origin)?;
            }
            tx.convo(id)
        })
        .await?;
    Ok(Json(shown_settings(&convo, caller.address())))
}

async fn nick(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Ask(ask): Ask<t::NickChange>,
) -> Answer<Json<t::Conversation>> {
    let id = room(&web, &caller, id).await?.id();
    let (who, origin) = (caller.address().clone(), caller.origin());
    let convo = web
        .node
        .write(move |tx| rooms::set_nick(tx, &who, id, ask.nick.trim(), &origin))
        .await?;
    shown(&web, caller.address(), convo).await.map(Json)
}

async fn destroy(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Asked(asked): Asked<t::ReasonQuery>,
) -> Answer<Done> {
    let convo = room(&web, &caller, id).await?;
    if convo
        .member(caller.address())
        .is_none_or(|m| m.membership != Membership::Joined)
    {
        return Err(sammen_core::Refusal::NotJoined.into());
    }
    let (id, who, origin) = (convo.id(), caller.principal(), caller.origin());
    let reason = asked.reason.filter(|r| !r.is_empty() && r.len() <= 1024);
    web.node
        .write(move |tx| rooms::destroy(tx, &who, id, reason, None, &origin))
        .await?;
    Ok(Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_irc_hold_for_accounts() {
        for (mask, fits) in [
            ("bob!*@*", true),
            ("b?b!*@*", true),
            ("*!*@*", true),
            ("$a:bob", true),
            ("alice!*@*", false),
            ("bobby!*@*", false),
            ("*b", true),
        ] {
            assert_eq!(mask_fits(mask, "bob@example.org"), fits, "{mask}");
        }
    }
}

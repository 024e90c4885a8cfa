//! XEP-0045 §8, §9 and §10.3–10.8: lists of affiliations and roles, read and changed; several changes at once happen
//! all or not at all. A ban of a whole domain is a ban mask, as people on IRC set it.

use std::sync::Arc;

use sammen_core::address::Address;
use sammen_core::conversation::{JoinRule, Mask};
use sammen_core::convo::Convo;
use sammen_core::member::{Member, Role, Standing};
use sammen_core::ops::rooms;
use sammen_core::permission;
use sammen_core::tx::Tx;
use sammen_core::{Origin, Outcome, Principal, Refusal};

use super::mask::{domain_mask, domain_of, is_of};
use super::names;
use super::occupant::{nick, sees_addresses};
use super::settings::{MEMBER_LIST, roles};
use super::speak::reason;
use crate::address::Place;
use crate::client::Client;
use crate::error_map::stanza_error;
use crate::feature::{BoxFuture, IqAnswer};
use crate::iq::Iq;
use crate::server::Server;
use crate::wire::{Condition, Element, Jid, StanzaError, ns};

/// Most changes in one request.
const MOST: usize = 500;

/// The room that an IQ is about.
pub fn room_of(client: &Client, iq: &Iq) -> Result<Arc<Convo>, StanzaError> {
    let Place::Room(room) = &iq.place else {
        return Err(Condition::ItemNotFound.into());
    };
    client
        .node
        .room(room)?
        .ok_or_else(|| super::enter::missing(client, room))
}

/// `muc#admin`.
pub fn iq(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let convo = room_of(&client, &iq)?;
        if iq.set {
            set(&client, &convo, &iq.child).await.map(|()| None)
        } else {
            list(&client, &convo, &iq.child).map(Some)
        }
    })
}

/// §8.5, §9.2, §9.5, §9.8, §10.5, §10.8: one list.
fn list(client: &Client, convo: &Convo, query: &Element) -> Result<Element, StanzaError> {
    let item = query
        .find("item", ns::MUC_ADMIN)
        .ok_or_else(|| Iq::bad("an item names the list"))?;
    let mut members: Vec<&Arc<Member>> = match (item.get("affiliation"), item.get("role")) {
        (Some(name), None) => {
            let standing = names::standing(name).ok_or_else(|| Iq::bad("no such affiliation"))?;
            may_list(convo, &client.account, standing)?;
            convo
                .members
                .values()
                .filter(|m| m.standing == standing && (standing != Standing::None || m.is_joined()))
                .collect()
        }
        (None, Some(name)) => {
            let role = names::role_named(name).ok_or_else(|| Iq::bad("no such role"))?;
            if convo.role(&client.account) < Role::Moderator {
                return Err(Condition::Forbidden.into());
            }
            convo
                .joined()
                .filter(|m| convo.role(&m.address) == role)
                .collect()
        }
        _ => return Err(Iq::bad("an item names an affiliation or a role")),
    };
    members.sort_by(|a, b| a.address.cmp(&b.address));
    let by_role = item.get("role").is_some();
    let address = !by_role || sees_addresses(convo, &client.account);
    let items = members.into_iter().map(|m| {
        let joined = m.is_joined() && m.standing != Standing::Outcast;
        Element::new(ns::MUC_ADMIN, "item")
            .attr("affiliation", names::affiliation(m.standing))
            .attr_opt("jid", address.then(|| client.server.bare(&m.address)))
            .attr_opt("nick", joined.then(|| nick(m)))
            // §9.5: may be said in lists of affiliations too. Converse.js takes it for a nick there.
            .attr_opt(
                "role",
                (by_role && joined).then(|| names::role(convo.role(&m.address))),
            )
            .children(
                m.reason
                    .as_deref()
                    .filter(|_| !by_role)
                    .map(|r| Element::new(ns::MUC_ADMIN, "reason").text(r)),
            )
    });
    // §9.2: whole domains stand in the list of bans too.
    let bans = item.get("affiliation") == Some("outcast");
    let masks = &convo.conversation.settings.masks;
    let domains = masks.iter().filter(|_| bans).filter_map(|mask| {
        let domain = domain_of(mask)?;
        let item = Element::new(ns::MUC_ADMIN, "item")
            .attr("affiliation", "outcast")
            .attr("jid", domain);
        Some(item)
    });
    Ok(Element::new(ns::MUC_ADMIN, "query")
        .children(items)
        .children(domains))
}

/// Admins read every list. §9.5: members of a members-only room read who else belongs to it, where the room shows
/// addresses; that is how apps learn for whom to encrypt.
fn may_list(convo: &Convo, who: &Address, standing: Standing) -> Result<(), StanzaError> {
    let settings = &convo.conversation.settings;
    let mine = convo.standing(who);
    let role = match convo.has(who) {
        true => convo.role(who),
        false => convo.default_role(mine),
    };
    let member = (mine >= Standing::Member
        || convo.has(who) && settings.join_rule != JoinRule::Open)
        && roles(settings, MEMBER_LIST).contains(&names::role(role));
    if mine >= Standing::Admin || member && settings.addresses_open && standing >= Standing::Member
    {
        return Ok(());
    }
    Err(Condition::Forbidden.into())
}

/// What a request changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// For good.
    Standing(Standing),
    /// For now.
    Role(Role),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub who: Address,
    /// What.
    pub what: What,
    /// Why.
    pub reason: Option<String>,
}

async fn set(client: &Arc<Client>, convo: &Convo, query: &Element) -> Result<(), StanzaError> {
    let (mut changes, mut domains) = (Vec::new(), Vec::new());
    for item in query.all("item", ns::MUC_ADMIN).take(MOST + 1) {
        match of_domain(&client.server, item)? {
            Some(change) => domains.push(change),
            None => changes.push(read(&client.server, convo, item)?),
        }
    }
    let count = changes.len() + domains.len();
    if count == 0 || count > MOST {
        return Err(Iq::bad("a request has between one and 500 items"));
    }
    let (by, id, origin) = (client.account.clone(), convo.id(), client.plain_origin());
    client
        .node
        .write(move |tx| {
            let convo = tx.convo(id)?;
            if let Err(error) = check(&convo, &by, &changes) {
                return Ok(Err(error));
            }
            if !domains.is_empty() && convo.standing(&by) < Standing::Admin {
                return Ok(Err(Condition::Forbidden.into()));
            }
            ban_domains(tx, &convo, &by, domains, &origin)?;
            apply(tx, &convo, &by, changes, &origin).map(Ok)
        })
        .await?
}

/// A ban of a whole domain (§9.1), or its end.
struct OfDomain {
    domain: String,
    banned: bool,
    reason: Option<String>,
}

/// Reads an item about a domain; `None` where it is about a person.
fn of_domain(server: &Server, item: &Element) -> Result<Option<OfDomain>, StanzaError> {
    let Some(jid) = item.get("jid").and_then(|jid| Jid::new(jid).ok()) else {
        return Ok(None);
    };
    let banned = match item.get("affiliation") {
        Some("outcast") => true,
        Some("none") => false,
        _ => return Ok(None),
    };
    if jid.local().is_some() || jid.resource().is_some() {
        return Ok(None);
    }
    match server.place(&jid) {
        Place::Server | Place::Remote(_) => Ok(Some(OfDomain {
            domain: jid.domain().to_owned(),
            banned,
            reason: reason(item),
        })),
        _ => Err(Condition::ItemNotFound.into()),
    }
}

/// Whoever of a banned domain is in the room leaves it, but for its admins and owners.
fn ban_domains(
    tx: &mut Tx<'_>,
    convo: &Convo,
    by: &Address,
    domains: Vec<OfDomain>,
    origin: &Origin,
) -> Outcome<()> {
    if domains.is_empty() {
        return Ok(());
    }
    let (id, now) = (convo.id(), tx.now);
    let principal = Principal::Of(by.clone());
    let change = |s: &mut sammen_core::Settings| {
        for change in &domains {
            s.masks
                .retain(|m| domain_of(m) != Some(change.domain.as_str()));
            if change.banned {
                s.masks.push(Mask {
                    list: 'b',
                    mask: domain_mask(&change.domain),
                    by: by.clone(),
                    at: now,
                });
            }
        }
        Ok(())
    };
    let convo = rooms::configure(tx, &principal, id, change, origin)?;
    for change in domains.into_iter().filter(|c| c.banned) {
        let theirs: Vec<Address> = convo
            .joined()
            .filter(|m| m.standing < Standing::Admin && is_of(&m.address, &change.domain))
            .map(|m| m.address.clone())
            .collect();
        for who in theirs {
            let why = change.reason.clone();
            rooms::set_role(tx, &Principal::Node, id, &who, Role::None, why, origin)?;
        }
    }
    Ok(())
}

/// Reads an item: a person by address or nick, and the new affiliation or role.
fn read(server: &Server, convo: &Convo, item: &Element) -> Result<Change, StanzaError> {
    let what = match (item.get("affiliation"), item.get("role")) {
        (Some(name), None) => names::standing(name).map(What::Standing),
        (None, Some(name)) => names::role_named(name).map(What::Role),
        _ => None,
    }
    .ok_or_else(|| Iq::bad("an item has an affiliation or a role"))?;
    let by_nick = |nick: &str| convo.by_nick(nick).map(|m| m.address.clone());
    let who = match (item.get("jid"), item.get("nick")) {
        (Some(jid), _) => person(server, jid)?,
        (None, Some(nick)) => {
            by_nick(nick).ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?
        }
        (None, None) => return Err(Iq::bad("an item has an address or a nick")),
    };
    Ok(Change {
        who,
        what,
        reason: reason(item),
    })
}

/// The person that a JID means.
pub fn person(server: &Server, jid: &str) -> Result<Address, StanzaError> {
    let jid = Jid::new(jid).map_err(|_| StanzaError::new(Condition::JidMalformed))?;
    match server.place(&jid.bare()) {
        Place::Account(address) | Place::Remote(address) => Ok(address),
        _ => Err(StanzaError::new(Condition::ItemNotFound)),
    }
}

/// Whether all changes may be made, before the first one is.
pub fn check(convo: &Convo, by: &Address, changes: &[Change]) -> Result<(), StanzaError> {
    let principal = Principal::Of(by.clone());
    let error = |condition: Condition| Err(StanzaError::new(condition));
    let mine = convo.standing(by);
    for change in changes {
        match change.what {
            What::Standing(to) => {
                if mine < Standing::Admin {
                    return error(Condition::Forbidden);
                }
                // §9.1: nobody bans oneself.
                if change.who == *by && to == Standing::Outcast {
                    return error(Condition::Conflict);
                }
                if convo.standing(&change.who) == to {
                    continue;
                }
                match permission::may_set_standing(convo, &principal, &change.who, to) {
                    // Whether an owner is left is seen below, when all is known.
                    Ok(()) | Err(Refusal::Invalid(_)) => {}
                    // §9.1, §10: the lists of those who stand as high are not this one's to change.
                    Err(Refusal::Forbidden(_)) => return error(Condition::NotAllowed),
                    Err(other) => return Err(stanza_error(&other)),
                }
            }
            What::Role(to) => check_role(convo, &principal, by, &change.who, to)?,
        }
    }
    // §10.4: a room keeps an owner.
    let mut owners: Vec<&Address> = convo
        .members
        .values()
        .filter(|m| m.standing == Standing::Owner)
        .map(|m| &m.address)
        .collect();
    let had = !owners.is_empty();
    for change in changes {
        if let What::Standing(to) = change.what {
            owners.retain(|o| **o != change.who);
            if to == Standing::Owner {
                owners.push(&change.who);
            }
        }
    }
    if had && owners.is_empty() {
        error(Condition::Conflict)
    } else {
        Ok(())
    }
}

fn check_role(
    convo: &Convo,
    principal: &Principal,
    by: &Address,
    who: &Address,
    to: Role,
) -> Result<(), StanzaError> {
    // §8: moderators only, and they are in the room.
    if convo.role(by) < Role::Moderator {
        return Err(Condition::Forbidden.into());
    }
    if convo.has(who) && convo.role(who) == to {
        return Ok(());
    }
    match permission::may_set_role(convo, principal, who, to) {
        Ok(()) => Ok(()),
        // §9.6: moderators are made by admins; everything else of this kind is about rank (§8.2, §8.4, §9.7).
        Err(Refusal::Forbidden(_)) if to == Role::Moderator => Err(Condition::Forbidden.into()),
        Err(Refusal::Forbidden(_)) => Err(Condition::NotAllowed.into()),
        Err(other) => Err(stanza_error(&other)),
    }
}

/// Makes changes that were checked: new owners first and the asker last, so that each is still allowed in its turn.
pub fn apply(
    tx: &mut Tx<'_>,
    convo: &Convo,
    by: &Address,
    mut changes: Vec<Change>,
    origin: &Origin,
) -> Outcome<()> {
    let principal = Principal::Of(by.clone());
    changes.sort_by_key(|c| (c.what != What::Standing(Standing::Owner), c.who == *by));
    for change in changes {
        let (id, who, why) = (convo.id(), &change.who, change.reason);
        match change.what {
            What::Standing(to) => rooms::set_standing(tx, &principal, id, who, to, why, origin)?,
            What::Role(to) => {
                // An earlier item may have thrown the person out; what somebody is already needs no rank to say again.
                let now = tx.convo(id)?;
                if !now.has(who) || now.role(who) == to {
                    continue;
                }
                rooms::set_role(tx, &principal, id, who, to, why, origin)?
            }
        };
    }
    Ok(())
}

//! XEP-0045 §10.1, §10.2 and §10.9: the owner's configuration, and the end of a room.

use std::sync::Arc;

use sammen_core::address::Address;
use sammen_core::convo::Convo;
use sammen_core::member::Standing;
use sammen_core::ops::rooms;
use sammen_core::tx::Tx;
use sammen_core::{Origin, Outcome, Principal};

use super::admin::{Change, What, apply, check, person, room_of};
use super::form::Submitted;
use super::settings;
use super::speak::reason;
use crate::address::Place;
use crate::client::Client;
use crate::feature::{BoxFuture, IqAnswer};
use crate::iq::Iq;
use crate::server::Server;
use crate::wire::{Condition, Element, Jid, StanzaError, ns};

/// `muc#owner`.
pub fn iq(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let convo = room_of(&client, &iq)?;
        // §10.2, §10.9: owners only.
        if convo.standing(&client.account) < Standing::Owner {
            return Err(Condition::Forbidden.into());
        }
        if !iq.set {
            let title = iq.to.as_ref().map_or("", Jid::bare_str);
            let form = settings::form(&convo, title, |a| client.server.bare(a));
            return Ok(Some(Element::new(ns::MUC_OWNER, "query").child(form)));
        }
        if let Some(destroy) = iq.child.find("destroy", ns::MUC_OWNER) {
            return destroyed(&client, &convo, destroy).await.map(|()| None);
        }
        let x = iq
            .child
            .find("x", ns::DATA_FORMS)
            .ok_or_else(|| Iq::bad("a form or <destroy/> is missing"))?;
        match (x.get("type"), Submitted::read(x)) {
            (Some("cancel"), _) => cancelled(&client, &convo).await.map(|()| None),
            (_, Some(form)) => configured(&client, &convo, form).await.map(|()| None),
            _ => Err(Iq::bad("a form is submitted or cancelled")),
        }
    })
}

/// §10.1.3: who cancels the first configuration does not want the room. A later cancellation changes nothing.
async fn cancelled(client: &Arc<Client>, convo: &Convo) -> Result<(), StanzaError> {
    if !convo.conversation.settings.locked {
        return Ok(());
    }
    end(client, convo, None, None).await
}

async fn destroyed(
    client: &Arc<Client>,
    convo: &Convo,
    destroy: &Element,
) -> Result<(), StanzaError> {
    let alternate = match destroy.get("jid").map(Jid::new) {
        None => None,
        Some(Err(_)) => return Err(Condition::JidMalformed.into()),
        Some(Ok(jid)) => match client.server.place(&jid.bare()) {
            Place::Room(address) | Place::Remote(address) => Some(address),
            _ => return Err(Condition::BadRequest.into()),
        },
    };
    end(client, convo, reason(destroy), alternate).await
}

async fn end(
    client: &Arc<Client>,
    convo: &Convo,
    why: Option<String>,
    alternate: Option<Address>,
) -> Result<(), StanzaError> {
    let (by, id, origin) = (client.principal(), convo.id(), client.plain_origin());
    client
        .node
        .write(move |tx| rooms::destroy(tx, &by, id, why, alternate, &origin))
        .await?;
    Ok(())
}

async fn configured(
    client: &Arc<Client>,
    convo: &Convo,
    form: Submitted,
) -> Result<(), StanzaError> {
    let right = form
        .form_type
        .as_deref()
        .is_none_or(|t| t == ns::MUC_ROOM_CONFIG);
    if !form.is_empty() && !right {
        return Err(Iq::bad("that is another form"));
    }
    let lists = Lists::read(&client.server, &form)?;
    let (by, id, origin) = (client.account.clone(), convo.id(), client.plain_origin());
    client
        .node
        .write(move |tx| configure(tx, &by, id, &form, &lists, &origin))
        .await?
}

fn configure(
    tx: &mut Tx<'_>,
    by: &Address,
    id: sammen_core::ConversationId,
    form: &Submitted,
    lists: &Lists,
    origin: &Origin,
) -> Outcome<Result<(), StanzaError>> {
    let convo = tx.convo(id)?;
    let before = convo.conversation.settings.clone();
    let mut after = before.clone();
    if let Err(error) = settings::apply(form, &mut after) {
        return Ok(Err(error));
    }
    let changes = lists.changes(&convo);
    if let Err(error) = check(&convo, by, &changes) {
        return Ok(Err(error));
    }
    let fresh = std::mem::take(&mut after.locked);
    let mut known = before;
    known.locked = false;
    if after == known {
        // §10.1.2: an instant room takes the settings as they are; nobody needs to hear of it.
        if fresh {
            tx.change_convo(&convo, |c| c.settings.locked = false);
        }
    } else {
        let principal = Principal::Of(by.clone());
        rooms::configure(
            tx,
            &principal,
            id,
            move |s| {
                *s = after;
                Ok(())
            },
            origin,
        )?;
    }
    apply(tx, &convo, by, changes, origin).map(Ok)
}

/// The lists of admins and owners, where the form has them.
struct Lists {
    admins: Option<Vec<Address>>,
    owners: Option<Vec<Address>>,
}

impl Lists {
    fn read(server: &Server, form: &Submitted) -> Result<Self, StanzaError> {
        let list = |name: &str| {
            form.many(name)
                .map(|jids| {
                    let jids = jids.iter().filter(|j| !j.trim().is_empty());
                    jids.map(|j| person(server, j.trim())).collect()
                })
                .transpose()
        };
        Ok(Self {
            admins: list("muc#roomconfig_roomadmins")?,
            owners: list("muc#roomconfig_roomowners")?,
        })
    }

    /// What differs from the room as it is. Who is taken from a list stands one step lower (§10.4, §10.7).
    fn changes(&self, convo: &Convo) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        let mut give = |who: &Address, standing: Standing| {
            if !changes.iter().any(|c| c.who == *who) {
                changes.push(Change {
                    who: who.clone(),
                    what: What::Standing(standing),
                    reason: None,
                });
            }
        };
        for owner in self.owners.iter().flatten() {
            if convo.standing(owner) != Standing::Owner {
                give(owner, Standing::Owner);
            }
        }
        let is_owner = |who: &Address| match &self.owners {
            Some(owners) => owners.contains(who),
            None => convo.standing(who) == Standing::Owner,
        };
        for admin in self.admins.iter().flatten() {
            if convo.standing(admin) != Standing::Admin && !is_owner(admin) {
                give(admin, Standing::Admin);
            }
        }
        for member in convo.members.values() {
            let who = &member.address;
            let dropped =
                |list: &Option<Vec<Address>>| list.as_ref().is_some_and(|l| !l.contains(who));
            if member.standing == Standing::Owner && dropped(&self.owners) {
                give(who, Standing::Admin);
            }
            if member.standing == Standing::Admin && dropped(&self.admins) && !is_owner(who) {
                give(who, Standing::Member);
            }
        }
        changes
    }
}

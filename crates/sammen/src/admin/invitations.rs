//! Invitations of the operator: links that make accounts and contacts.

use std::str::FromStr;

use anyhow::{Context, bail};
use sammen_core::{Address, Name, RoomName, Timestamp};
use sammen_net::invitations::{self, Invitation, Offer, Token};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Admin;

const DAY_MS: i64 = 86_400_000;

/// What the operator wants an invitation to be.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Whose contact they become.
    pub inviter: Option<String>,
    /// No account can be made with it.
    pub contact_only: bool,
    /// The only name of the account.
    pub name: Option<String>,
    /// Rooms.
    pub rooms: Vec<String>,
    /// For how many people; 0 for any number.
    pub uses: u32,
    /// For how many days; 0 for good.
    pub days: u32,
    /// What it is called.
    pub label: Option<String>,
}

impl Admin {
    pub(super) async fn invite(&self, wish: Wish) -> anyhow::Result<Value> {
        let domain = self.domain()?.clone();
        let inviter = wish.inviter.as_deref().map(|name| self.known(name));
        let inviter = inviter.transpose()?;
        if wish.contact_only && (inviter.is_none() || wish.name.is_some()) {
            bail!("an invitation for a contact needs --from, and no --name");
        }
        let room = |name: &String| -> anyhow::Result<Address> {
            let name =
                RoomName::new(name).with_context(|| format!("{name:?} is no room's name"))?;
            Ok(Address::room(&domain, &name))
        };
        let name = wish.name.as_deref().map(Name::from_str).transpose();
        let until = self.node.now().0 + i64::from(wish.days) * DAY_MS;
        let offer = Offer {
            inviter,
            account: !wish.contact_only,
            name: name.context("that is no account name")?,
            rooms: wish.rooms.iter().map(room).collect::<Result<_, _>>()?,
            uses: Some(wish.uses).filter(|uses| *uses > 0),
            expires: Some(Timestamp(until)).filter(|_| wish.days > 0),
            by_operator: true,
            label: wish.label,
        };
        let token = Token::random(&mut rand::rng());
        let made = token.clone();
        let made = self
            .node
            .write(move |tx| invitations::create(tx, offer, &made))
            .await
            .context("no invitation was made")?;
        let mut told = told(&made);
        if let Some(object) = told.as_object_mut() {
            let front = self.front.clone();
            let link = front.unwrap_or_else(|| format!("https://{domain}"));
            object.insert("link".into(), invitations::landing(&link, &token).into());
            let uri = invitations::uri(&made, &domain, &token);
            object.insert("xmpp".into(), uri.into());
        }
        Ok(told)
    }

    pub(super) async fn invitation_list(&self) -> anyhow::Result<Value> {
        let list = invitations::list(&self.node, None).await?;
        Ok(list.iter().map(told).collect::<Vec<_>>().into())
    }

    pub(super) async fn invitation_revoke(&self, id: String) -> anyhow::Result<Value> {
        let wanted = id.clone();
        self.node
            .write(move |tx| invitations::revoke(tx, &wanted, None))
            .await
            .with_context(|| format!("there is no invitation {id}"))?;
        Ok(json!({ "id": id, "revoked": true }))
    }
}

fn told(invitation: &Invitation) -> Value {
    let offer = &invitation.offer;
    let until = offer.expires.map(sammen_xmpp::time::stamp);
    json!({
        "id": invitation.id,
        "for": if offer.account { "account" } else { "contact" },
        "from": offer.inviter.as_ref().map(Address::as_str),
        "name": offer.name.as_ref().map(Name::as_str),
        "rooms": offer.rooms.iter().map(Address::name).collect::<Vec<_>>(),
        "left": invitation.left(),
        "until": until,
        "label": offer.label,
    })
}

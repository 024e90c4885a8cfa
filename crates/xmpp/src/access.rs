//! XEP-0494 Client Access Management: what has access to the account, and taking it away.
//!
//! An app that signed in with an app password or a certificate loses that; one that knows the passphrase can only be
//! kept out by a new passphrase (§3.2). Taking away asks for a session that signed in with the passphrase, or takes
//! away what the session itself uses.

use std::collections::HashMap;
use std::sync::Arc;

use sammen_core::ops::sessions;
use sammen_core::tx::Tx;
use sammen_core::{Credential, Device, DeviceId, Protocol, Timestamp};
use sammen_net::accounts::AccountError;
use sammen_net::credentials::{Certificate, Credentials, Password};
use sammen_net::tokens::KnownAgent;

use crate::client::Client;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::time;
use crate::wire::{Condition, Element, StanzaError, ns};

/// The feature.
pub static FEATURE: Feature = Feature {
    name: "access",
    disco: |at| match at {
        Where::OwnAccount => &[ns::CAM],
        _ => &[],
    },
    iqs: &[
        IqHandler {
            name: "list",
            ns: ns::CAM,
            get: true,
            set: false,
            at: &[Where::OwnAccount],
            handle: |client, _| list(client),
        },
        IqHandler {
            name: "revoke",
            ns: ns::CAM,
            get: false,
            set: true,
            at: &[Where::OwnAccount],
            handle: revoke,
        },
    ],
    ..Feature::NONE
};

/// The devices that the account signs in from still.
async fn devices(client: &Client) -> Result<Vec<Device>, StanzaError> {
    let account = client.account.clone();
    let found = client.node.read(move |node| {
        let generation = node.account(&account)?.map(|a| a.generation);
        let mut devices = node.store().devices(&account)?;
        devices.retain(|d| Some(d.generation) == generation && !d.key.is_empty());
        Ok(devices)
    });
    Ok(found.await?)
}

async fn credentials(client: &Client) -> Result<Option<Credentials>, StanzaError> {
    let found = client.server.accounts.credentials(&client.account).await;
    found.map_err(|_| Condition::InternalServerError.into())
}

fn list(client: Arc<Client>) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let devices = devices(&client).await?;
        let agents = client.server.accounts.agents(&client.account).await?;
        let agents: HashMap<DeviceId, KnownAgent> =
            agents.into_iter().map(|a| (a.device, a)).collect();
        let live: Vec<DeviceId> = client.node.live(|live| {
            let sessions = live.sessions_of(&client.account).iter();
            sessions.map(|s| s.device).collect()
        });
        let now = client.node.now();
        let mut clients: Vec<Element> = devices
            .iter()
            .map(|device| {
                let connected = live.contains(&device.id);
                app(device, agents.get(&device.id), connected.then_some(now))
            })
            .collect();
        if let Some(known) = credentials(&client).await? {
            clients.extend(unused(&known, &devices));
        }
        let list = Element::new(ns::CAM, "clients").children(clients);
        Ok(Some(list))
    })
}

/// A device; `now` while it has a session.
fn app(device: &Device, agent: Option<&KnownAgent>, now: Option<Timestamp>) -> Element {
    let child = |name: &'static str| Element::new(ns::CAM, name);
    let seen = now.unwrap_or(device.seen);
    let mut about = child("user-agent");
    let software = match device.protocol {
        Protocol::Irc => Some("IRC"),
        _ => None,
    };
    let said = agent.map(|a| &a.agent);
    let software = said.and_then(|a| a.software.as_deref()).or(software);
    about.push(child("software").text(software.unwrap_or("XMPP")));
    let place = said.and_then(|a| a.device.as_deref());
    if let Some(place) = place.or(device.label.as_deref()) {
        about.push(child("device").text(place));
    }
    let token = agent.is_some_and(|a| a.token).then(|| child("fast"));
    let status = match device.credential {
        None => "unrestricted",
        Some(_) => "normal",
    };
    child("client")
        .attr("connected", if now.is_some() { "true" } else { "false" })
        .attr("id", format!("device-{}", device.id))
        .attr("type", "session")
        .child(child("first-seen").text(time::stamp(device.created)))
        .child(child("last-seen").text(time::stamp(seen)))
        .child(child("auth").child(child("password")).children(token))
        .child(child("permission").attr("status", status))
        .child(about)
}

/// App passwords and certificates that no device of the list signed in with.
fn unused(known: &Credentials, devices: &[Device]) -> Vec<Element> {
    let child = |name: &'static str| Element::new(ns::CAM, name);
    let used = |credential: &Credential| {
        let mut came_by = devices.iter().filter_map(|d| d.credential.as_ref());
        came_by.any(|c| c.is(credential))
    };
    let access = |credential: Credential, created_ms: u64, auth: Option<Element>| {
        let Credential { id, name } = credential;
        let created = Timestamp(i64::try_from(created_ms).unwrap_or(i64::MAX));
        child("client")
            .attr("connected", "false")
            .attr("id", format!("access-{id}"))
            .attr("type", "access")
            .child(child("first-seen").text(time::stamp(created)))
            .child(child("auth").children(auth))
            .child(child("permission").attr("status", "normal"))
            .child(child("user-agent").child(child("software").text(name)))
    };
    let passwords = known.passwords().iter().filter_map(|p| {
        let credential = p.credential().filter(|c| !used(c))?;
        Some(access(credential, p.created_ms, Some(child("password"))))
    });
    let certificates = known.certificates().iter().filter_map(|c| {
        let credential = Some(c.credential()).filter(|c| !used(c))?;
        Some(access(credential, c.created_ms, None))
    });
    passwords.chain(certificates).collect()
}

fn revoke(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let id = iq.get("id").unwrap_or_default();
        let devices = devices(&client).await?;
        let known = credentials(&client).await?;
        let all = known.iter().flat_map(everything);
        let which = if let Some(id) = id.strip_prefix("access-") {
            let found = all.into_iter().find(|c| c.id == id);
            Some(found.ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?)
        } else {
            let device = devices.iter().find(|d| format!("device-{}", d.id) == id);
            let device = device.ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?;
            device.credential.clone()
        };
        let own = client.device.credential.as_ref();
        if own.is_some() && !Credential::same(own, which.as_ref()) {
            let why = "Sign in with the passphrase of the account for that.";
            return Err(StanzaError::new(Condition::Forbidden).with_text(why));
        }
        let Some(which) = which else {
            // §3.2: it knows the passphrase.
            let app = Element::new(ns::CAM, "password-reset-required");
            return Err(StanzaError::new(Condition::ServiceUnavailable).with_app(app));
        };
        if !take_away(&client, which).await? {
            // A token of the API is the device itself.
            let device = devices.iter().find(|d| format!("device-{}", d.id) == id);
            let device = device
                .ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?
                .id;
            let account = client.account.clone();
            let forget = move |tx: &mut Tx<'_>| sessions::forget_device(tx, &account, device);
            client.node.write(forget).await?;
        }
        tracing::info!(protocol = "xmpp", account = %client.account, "{} took an app's access away", client.account);
        Ok(None)
    })
}

/// All that lets somebody in besides the passphrase.
fn everything(known: &Credentials) -> Vec<Credential> {
    let passwords = known.passwords().iter().filter_map(Password::credential);
    let certificates = known.certificates().iter().map(Certificate::credential);
    passwords.chain(certificates).collect()
}

/// Takes an app password or certificate away; false where it is gone. Tokens die with it.
async fn take_away(client: &Client, which: Credential) -> Result<bool, StanzaError> {
    let accounts = &client.server.accounts;
    let changed = accounts.change(&client.account, move |credentials| {
        let rng = &mut rand::rng();
        let passwords = credentials.passwords().iter();
        let passwords = passwords.filter(|p| p.credential().is_some_and(|c| c.is(&which)));
        let passwords: Vec<_> = passwords.map(|p| p.id).collect();
        let certificates = credentials.certificates().iter();
        let certificates = certificates.filter(|c| c.credential().is(&which));
        let certificates: Vec<[u8; 32]> = certificates
            .filter_map(|c| c.fingerprint.as_slice().try_into().ok())
            .collect();
        let mut found = false;
        for id in passwords {
            found |= credentials.remove_password(id, rng);
        }
        for fingerprint in certificates {
            found |= credentials.remove_certificate(&fingerprint, rng);
        }
        Ok(found)
    });
    changed.await.map_err(|e| match e {
        AccountError::Refused(refusal) => refusal.into(),
        AccountError::Credentials(damaged) => {
            tracing::error!(%damaged, "credentials can't be changed");
            Condition::InternalServerError.into()
        }
    })
}

//! RFC 6120 §7: resource binding. The newer session takes the name of an older one (§7.7.2.2).

use sammen_core::ops::sessions::SignIn;
use sammen_core::{Protocol, Refusal};

use super::drive::Driven;
use super::negotiation::{Negotiation, Proven};
use crate::client::Client;
use crate::wire::{Condition, StanzaError};

/// Begins a session under `resource`, or under one that the node makes.
pub async fn bind(
    stream: &Negotiation,
    who: &Proven,
    resource: Option<&str>,
) -> Result<Driven, StanzaError> {
    let wanted = resource.map(str::trim).filter(|r| !r.is_empty());
    let made = || format!("{:012x}", stream.server.node.clock().random() >> 80);
    match wanted {
        // A client that keeps its resource is known by it; others are forgotten when they leave.
        Some(wanted) if who.agent.is_none() => {
            let jid = stream.jid(&who.account, wanted);
            let jid = jid.ok_or_else(|| StanzaError::new(Condition::BadRequest))?;
            let label = jid.resource().unwrap_or_default();
            let device = (format!("resource {label}"), label.to_owned());
            session(stream, who, label, Some(device)).await
        }
        Some(wanted) => begin(stream, who, wanted).await,
        None => begin(stream, who, &made()).await,
    }
}

/// Begins a session under `resource`. A client that has a user-agent id (XEP-0388 §2.3) is known by that.
pub async fn begin(
    stream: &Negotiation,
    who: &Proven,
    resource: &str,
) -> Result<Driven, StanzaError> {
    let device = who.agent.as_ref().map(|agent| {
        let label = agent.label();
        (
            agent.device_key(),
            label.unwrap_or_else(|| resource.to_owned()),
        )
    });
    session(stream, who, resource, device).await
}

async fn session(
    stream: &Negotiation,
    who: &Proven,
    resource: &str,
    device: Option<(String, String)>,
) -> Result<Driven, StanzaError> {
    let jid = stream.jid(&who.account, resource);
    let jid = jid.ok_or_else(|| StanzaError::new(Condition::BadRequest))?;
    let (device, device_label) = device.unzip();
    let how = SignIn {
        account: who.account.clone(),
        protocol: Protocol::Xmpp,
        device,
        device_label,
        credential: who.credential.clone(),
        stamp: Some(who.stamp),
        label: jid.resource().unwrap_or_default().to_owned(),
    };
    let begun = stream.server.node.sign_in(how).await.map_err(|e| match e {
        Refusal::NotFound => StanzaError::new(Condition::NotAllowed),
        // RFC 6120 §7.6.2.1.
        Refusal::TooMany => StanzaError::new(Condition::ResourceConstraint),
        other => other.into(),
    })?;
    let server = stream.server.clone();
    let client = Client::new(server, begun.session, begun.device, jid, begun.seq);
    Ok(Driven::new(client).await)
}

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
    let jid = match wanted {
        Some(wanted) => stream.jid(&who.account, wanted),
        None => stream.jid(&who.account, &made()),
    };
    let jid = jid.ok_or_else(|| StanzaError::new(Condition::BadRequest))?;
    let label = jid.resource().unwrap_or_default().to_owned();
    let how = SignIn {
        account: who.account.clone(),
        protocol: Protocol::Xmpp,
        // A client that keeps its resource is known by it; others are forgotten when they leave.
        device: wanted.map(|_| format!("resource {label}")),
        device_label: wanted.map(|_| label.clone()),
        credential: who.credential.clone(),
        label,
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

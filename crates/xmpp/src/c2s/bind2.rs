//! XEP-0386 Bind 2: a resource together with what the client wants of its session, in one step.

use sammen_core::ops::sessions;

use super::bind;
use super::drive::Driven;
use super::negotiation::{Negotiation, Proven};
use super::sm;
use crate::wire::{Element, StanzaError, ns};
use crate::{mam, wire::Jid};

/// Longest tag; what is over is cut off.
const MAX_TAG: usize = 64;

/// The feature, with what can be asked for in it (§3.1).
pub fn feature() -> Element {
    let features = [ns::CARBONS, ns::CSI, ns::SM];
    let features = features.map(|var| Element::new(ns::BIND2, "feature").attr("var", var));
    let inline = Element::new(ns::BIND2, "inline").children(features);
    Element::new(ns::BIND2, "bind").child(inline)
}

/// Begins a session: what drives it, and `<bound/>`.
pub async fn bind(
    stream: &Negotiation,
    who: &Proven,
    request: &Element,
) -> Result<(Driven, Element), StanzaError> {
    let driven = bind::begin(stream, who, &resource(stream, who, request)).await?;
    let client = &driven.client;
    // §3.2: earlier sessions of the same app end, whatever they were called.
    if who.agent.is_some() {
        let session = client.session.clone();
        let others = client.node.live(|live| {
            let mut sessions = live.sessions_of(&client.account).iter();
            sessions.any(|s| s.device == session.device && s.id != session.id)
        });
        if others {
            let write = client.node.write(move |tx| {
                sessions::replace_others(tx, &session);
                Ok(())
            });
            write.await?;
        }
    }
    let mut bound = Element::new(ns::BIND2, "bound");
    if let Ok(Some(metadata)) = mam::ends(client).await {
        bound.push(metadata);
    }
    if request.has("enable", ns::CARBONS) {
        client.state.lock().carbons = true;
        client.show();
    }
    if request.has("inactive", ns::CSI) {
        client.out.lock().set_inactive(true);
    }
    if let Some(enable) = request.find("enable", ns::SM) {
        bound.push(sm::enabled(client, enable).await);
    }
    Ok((driven, bound))
}

/// §3.2.1: `tag/name`. The name is the same for the same app, so that its contacts see one that comes back.
fn resource(stream: &Negotiation, who: &Proven, request: &Element) -> String {
    let tag = request.find_text("tag", ns::BIND2).unwrap_or_default();
    let tag: String = tag.trim().chars().take(MAX_TAG).collect();
    let name = match &who.agent {
        Some(agent) => stream.server.accounts.agent_name(&who.account, agent, &tag),
        None => format!("{:012x}", stream.server.node.clock().random() >> 80),
    };
    let whole = format!("{tag}/{name}");
    let fits = |r: &str| Jid::from_parts(Some("a"), "b", Some(r)).is_ok();
    if tag.is_empty() || !fits(&whole) {
        name
    } else {
        whole
    }
}

//! XEP-0198: acknowledgements and resumption, within the process and after it restarted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sammen_core::ops::sessions::{self, SignIn};
use sammen_core::tx::{decode, encode};
use sammen_core::{Device, DeviceId, Protocol, Seq};
use serde::{Deserialize, Serialize};

use super::drive::{Driven, settle};
use super::negotiation::{Negotiation, Proven};
use crate::client::Client;
use crate::wire::{Condition, Element, StreamCondition, StreamError, ns};
use crate::{feature, presence};

/// Most bytes that are kept of a client over a restart.
const KEPT_BYTES: usize = 1 << 20;

/// How a client can be resumed.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The id that it was given.
    pub id: String,
}

/// What the device's record keeps for XMPP.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// The id under which the session can be resumed.
    id: String,
    /// Written when the node shut down.
    checkpoint: Option<Checkpoint>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Checkpoint {
    epoch: u64,
    label: String,
    acked: u32,
    unacked: Vec<Bytes>,
    carbons: bool,
    interested: bool,
    blocklist: bool,
    presence: Option<presence::Kept>,
    features: Vec<(String, Vec<u8>)>,
}

/// `<failed/>` with a condition.
pub fn failed(condition: Condition) -> Element {
    Element::new(ns::SM, "failed").child(Element::new(ns::STANZA_ERRORS, condition.name()))
}

/// Takes an element of the stream management namespace from a signed-in client.
pub async fn element(client: &Arc<Client>, el: &Element) -> Result<(), StreamError> {
    match el.name() {
        "r" => {
            client.inbound.lock().ask();
            answer(client);
            Ok(())
        }
        "a" => {
            let h = el.get("h").and_then(|h| h.parse().ok());
            let h = h.ok_or_else(|| StreamError::new(StreamCondition::BadFormat))?;
            client.out.lock().acked(h).map_err(|too_high| StreamError {
                app: Some(
                    Element::new(ns::SM, "handled-count-too-high")
                        .attr("h", too_high.h.to_string())
                        .attr("send-count", too_high.sent.to_string()),
                ),
                ..StreamCondition::UndefinedCondition.into()
            })
        }
        "enable" => {
            enable(client, el).await;
            Ok(())
        }
        "resume" => {
            nonza(client, &failed(Condition::UnexpectedRequest));
            Ok(())
        }
        _ => Err(StreamCondition::UnsupportedStanzaType.into()),
    }
}

/// Tells the client how much is handled, if it asked and the time has come.
pub fn answer(client: &Client) {
    let h = client.inbound.lock().answer();
    if let Some(h) = h {
        nonza(client, &Element::new(ns::SM, "a").attr("h", h.to_string()));
    }
}

fn nonza(client: &Client, el: &Element) {
    client.out.lock().nonza(el);
    client.bell.notify_one();
}

async fn enable(client: &Arc<Client>, el: &Element) {
    if client.out.lock().is_managed() {
        return nonza(client, &failed(Condition::UnexpectedRequest));
    }
    let enabled = prepare(client, el).await;
    let mut out = client.out.lock();
    out.nonza(&enabled);
    out.enable();
    drop(out);
    client.bell.notify_one();
}

/// Stream management for a client that binds (XEP-0386): `<enabled/>`, after which all is counted.
pub async fn enabled(client: &Arc<Client>, el: &Element) -> Element {
    let enabled = prepare(client, el).await;
    client.out.lock().enable();
    enabled
}

/// `<enabled/>`; what the client sends is counted from here.
async fn prepare(client: &Arc<Client>, el: &Element) -> Element {
    let wanted = matches!(el.get("resume"), Some("true" | "1"));
    let patience = client.server.config.get().hibernation;
    let mut enabled = Element::new(ns::SM, "enabled");
    if wanted && !patience.is_zero() {
        let secret = client.node.clock().random();
        let id = format!("{}.{secret:032x}", client.device.id);
        if keep(client, &id, None).await {
            let resumable = &client.server.resumable;
            resumable.lock().insert(id.clone(), client.clone());
            *client.resume.lock() = Some(Resume { id: id.clone() });
            enabled.set("id", id);
            enabled.set("resume", "true");
            enabled.set("max", patience.as_secs().to_string());
        }
    }
    let durable = client.resume.lock().is_some();
    client.inbound.lock().enable(0, durable);
    enabled
}

/// Writes the device's record.
async fn keep(client: &Arc<Client>, id: &str, checkpoint: Option<Checkpoint>) -> bool {
    let kept = Kept {
        id: id.to_owned(),
        checkpoint,
    };
    let Ok(state) = encode(&kept) else {
        return false;
    };
    if state.len() > KEPT_BYTES {
        return false;
    }
    let mut device: Device = (*client.device).clone();
    if device.key.is_empty() {
        device.key = format!("stream {id}");
    }
    device.state = state.into();
    let cursor = client.state.lock().cursor;
    device.cursor = client.lag.lock().begins().map_or(cursor, |b| b.min(cursor));
    device.inbound = client.inbound.lock().handled();
    device.seen = client.node.now();
    let write = client.node.write(move |tx| {
        sessions::save_device(tx, &device);
        Ok(())
    });
    write.await.is_ok()
}

/// The session ends: nobody resumes it in this process any more.
pub fn forget(client: &Client) {
    if let Some(resume) = client.resume.lock().take() {
        client.server.resumable.lock().remove(&resume.id);
        client.server.forgotten.notify_one();
    }
}

/// The node goes down: writes what another process needs to resume the session.
pub async fn checkpoint(client: &Arc<Client>) {
    let Some(resume) = client.resume.lock().clone() else {
        return;
    };
    let Some((acked, unacked)) = client.out.lock().checkpoint() else {
        return;
    };
    let features = feature::FEATURES.iter().filter_map(|f| {
        let kept = f.keep?(client);
        (!kept.is_empty()).then(|| (f.name.to_owned(), kept))
    });
    let features = features.collect();
    let checkpoint = {
        let state = client.state.lock();
        Checkpoint {
            epoch: client.node.epoch(),
            label: client.session.label.to_string(),
            acked,
            unacked,
            carbons: state.carbons,
            interested: state.interested,
            blocklist: state.blocklist,
            presence: presence::kept(client),
            features,
        }
    };
    keep(client, &resume.id, Some(checkpoint)).await;
}

/// XEP-0198 §5. What drives the session again, and `<resumed/>`, which goes out before anything else does. `Err` holds
/// the `<failed/>` to send; the client may bind then.
pub async fn resume(
    stream: &Negotiation,
    who: &Proven,
    el: &Element,
) -> Result<(Driven, Element), Element> {
    let (Some(id), Some(h)) = (el.get("previd"), el.get("h").and_then(|h| h.parse().ok())) else {
        return Err(failed(Condition::BadRequest));
    };
    let living = stream.server.resumable.lock().get(id).cloned();
    // By the same password as before: another one may not allow what this session may do, and ends at another time.
    let same = |c: &Arc<Client>| c.account == who.account && c.device.credential == who.credential;
    if let Some(client) = living.filter(same) {
        client.taken.notify_one();
        let driven = Driven::new(client.clone());
        let driven = tokio::time::timeout(Duration::from_secs(10), driven).await;
        let driven = driven.map_err(|_| failed(Condition::ItemNotFound))?;
        if client.ended.load(std::sync::atomic::Ordering::Acquire) {
            return Err(failed(Condition::ItemNotFound));
        }
        settle(&client).await;
        return go_on(driven, id, h);
    }
    let driven = restarted(stream, who, id).await?;
    let result = go_on(driven, id, h)?;
    revive(&result.0.client).await;
    Ok(result)
}

fn go_on(driven: Driven, id: &str, h: u32) -> Result<(Driven, Element), Element> {
    let client = &driven.client;
    let handled = client.inbound.lock().handled();
    let mut out = client.out.lock();
    if out.acked(h).is_err() {
        drop(out);
        // It says that it has more than it was sent: this is not the client that we know.
        return Err(failed(Condition::ItemNotFound).attr("h", handled.to_string()));
    }
    let resumed = Element::new(ns::SM, "resumed")
        .attr("previd", id)
        .attr("h", handled.to_string());
    out.resend();
    drop(out);
    Ok((driven, resumed))
}

/// The session of an earlier process, if that one ended in order.
async fn restarted(stream: &Negotiation, who: &Proven, id: &str) -> Result<Driven, Element> {
    let node = &stream.server.node;
    let gone = || failed(Condition::ItemNotFound);
    let number = id.split('.').next().and_then(|n| n.parse().ok());
    let number = DeviceId(number.ok_or_else(gone)?);
    let account = who.account.clone();
    let found = node.read(move |node| {
        let device = node.store().device(number)?;
        let generation = node.account(&account)?.map(|a| a.generation);
        Ok(device.filter(|d| {
            d.account == account && d.protocol == Protocol::Xmpp && Some(d.generation) == generation
        }))
    });
    let device = found.await.ok().flatten().ok_or_else(gone)?;
    let kept: Kept = decode(&device.state).ok_or_else(gone)?;
    if kept.id != id {
        return Err(gone());
    }
    // What the process handled before it died is known; what it still had to say is in the archive.
    let lost = || gone().attr("h", device.inbound.to_string());
    let checkpoint = kept.checkpoint.ok_or_else(lost)?;
    if checkpoint.epoch != node.epoch() {
        return Err(gone());
    }
    let jid = stream
        .jid(&device.account, &checkpoint.label)
        .ok_or_else(gone)?;
    let how = SignIn {
        account: device.account.clone(),
        protocol: Protocol::Xmpp,
        device: Some(device.key.clone()),
        device_label: device.label.clone(),
        credential: who.credential.clone(),
        stamp: Some(who.stamp),
        label: checkpoint.label.clone(),
    };
    let begun = node.sign_in(how).await.map_err(|_| gone())?;
    let server = stream.server.clone();
    let client = Client::new(server, begun.session, begun.device, jid, device.cursor);
    let driven = Driven::new(client.clone()).await;
    {
        let mut state = client.state.lock();
        state.carbons = checkpoint.carbons;
        state.interested = checkpoint.interested;
        state.blocklist = checkpoint.blocklist;
    }
    client.show();
    client.inbound.lock().enable(device.inbound, true);
    client
        .out
        .lock()
        .restore(checkpoint.acked, checkpoint.unacked);
    *client.resume.lock() = Some(Resume { id: id.to_owned() });
    client
        .server
        .resumable
        .lock()
        .insert(id.to_owned(), client.clone());
    *client.own::<parking_lot::Mutex<Option<Revival>>>().lock() = Some(Revival {
        upto: begun.seq,
        presence: checkpoint.presence,
        features: checkpoint.features,
    });
    keep(&client, id, None).await;
    Ok(driven)
}

/// What is left to do once the client was told that it is resumed.
struct Revival {
    upto: Seq,
    presence: Option<presence::Kept>,
    features: Vec<(String, Vec<u8>)>,
}

/// What happened since the checkpoint comes from the log; presence and rooms come back.
async fn revive(client: &Arc<Client>) {
    let revival = client
        .own::<parking_lot::Mutex<Option<Revival>>>()
        .lock()
        .take();
    let Some(revival) = revival else { return };
    if let Some(kept) = revival.presence {
        presence::restore(client, kept).await;
    }
    let after = client.state.lock().cursor;
    client.lag.lock().missed(Vec::new(), after, revival.upto);
    for (name, kept) in revival.features {
        let feature = feature::FEATURES.iter().find(|f| f.name == name);
        if let Some(restore) = feature.and_then(|f| f.restore) {
            restore(client.clone(), kept).await;
        }
    }
}

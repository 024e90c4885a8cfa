//! Asking for a slot (XEP-0363 §4).

use std::sync::Arc;

use super::{Full, Open, SLOT_MS, Uploads};
use crate::client::Client;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::pep::form;
use crate::pep::read;
use crate::wire::{Condition, Element, ErrorType, StanzaError, ns};
use sammen_core::Timestamp;
use sammen_net::files::disposition::{media_type, sanitised};
use sammen_net::files::{self, Name};

/// File upload.
pub static FEATURE: Feature = Feature {
    name: "file upload",
    disco: |at| match at {
        Where::Upload => &[ns::DISCO_INFO, ns::HTTP_UPLOAD],
        _ => &[],
    },
    identities: |at| match at {
        Where::Upload => &[("store", "file")],
        _ => &[],
    },
    iqs: &[
        IqHandler {
            name: "request",
            ns: ns::HTTP_UPLOAD,
            get: true,
            set: false,
            at: &[Where::Upload],
            handle,
        },
        IqHandler {
            name: "query",
            ns: ns::DISCO_INFO,
            get: true,
            set: false,
            at: &[Where::Upload],
            handle: info,
        },
        IqHandler {
            name: "query",
            ns: ns::DISCO_ITEMS,
            get: true,
            set: false,
            at: &[Where::Upload],
            handle: |_, iq| Box::pin(async move { Ok(Some(iq.child.shell())) }),
        },
    ],
    ..Feature::NONE
};

/// disco#info of the host, with the form that tells the largest file (XEP-0363 §3).
fn info(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        if iq.get("node").is_some() {
            return Err(StanzaError::new(Condition::ItemNotFound));
        }
        let identity = Element::new(ns::DISCO_INFO, "identity")
            .attr("category", "store")
            .attr("type", "file")
            .attr("name", "Files");
        let feature = |var| Element::new(ns::DISCO_INFO, "feature").attr("var", var);
        let most = client.node.limits().blob_bytes.to_string();
        let form = form::form("result", ns::HTTP_UPLOAD).child(form::field(
            "max-file-size",
            "text-single",
            &[&most],
        ));
        Ok(Some(
            iq.child
                .shell()
                .child(identity)
                .child(feature(ns::DISCO_INFO))
                .child(feature(ns::HTTP_UPLOAD))
                .child(form),
        ))
    })
}

fn handle(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move { request(&client, &iq.child).await.map(Some) })
}

async fn request(client: &Client, request: &Element) -> Result<Element, StanzaError> {
    let bad = |why| StanzaError::new(Condition::BadRequest).with_text(why);
    let uploads: Arc<Uploads> = client.server.shared();
    let base = uploads.base().ok_or_else(|| {
        StanzaError::new(Condition::ServiceUnavailable)
            .with_text("this node has no HTTPS address for files")
    })?;
    let name = request
        .get("filename")
        .filter(|n| !n.is_empty())
        .ok_or_else(|| bad("which file?"))?;
    let size: u64 = request
        .get("size")
        .and_then(|s| s.parse().ok())
        .filter(|s| *s > 0)
        .ok_or_else(|| bad("how large is it?"))?;
    let limits = client.node.limits();
    let (most, quota) = (limits.blob_bytes, limits.blob_quota);
    if size > most {
        return Err(too_large(most));
    }
    let name = Name {
        name: sanitised(name),
        media_type: request.get("content-type").and_then(media_type),
    };
    let account = client.account.clone();
    let used = read(&client.node, move |node| {
        node.store()
            .blob_usage(&account)
            .map_err(|e| sammen_core::Refusal::from(e).into())
    });
    let used = used.await?;
    let (now, clock) = (client.node.now(), client.node.clock());
    let slot = format!("{:032x}", clock.random());
    let key = format!("{:032x}", clock.random());
    let open = Open {
        account: client.account.clone(),
        key: key.clone(),
        size,
        name: name.clone(),
        until: Timestamp(now.0 + SLOT_MS),
        busy: false,
    };
    uploads
        .open(slot.clone(), open, now, used, quota)
        .map_err(|full| match full {
            Full::Slots => resource(Timestamp(now.0 + SLOT_MS)),
            // When room comes back nobody knows; tomorrow is as good as any time.
            Full::Quota => resource(Timestamp(now.0 + 86_400_000)),
        })?;
    let get = format!("{base}{}", files::path(&slot, &name.name));
    let url =
        |kind: &'static str, url: String| Element::new(ns::HTTP_UPLOAD, kind).attr("url", url);
    Ok(Element::new(ns::HTTP_UPLOAD, "slot")
        .child(url("put", format!("{get}?k={key}")))
        .child(url("get", get)))
}

/// XEP-0363 §5, example 7.
fn too_large(most: u64) -> StanzaError {
    let size = Element::new(ns::HTTP_UPLOAD, "max-file-size").text(most.to_string());
    let app = Element::new(ns::HTTP_UPLOAD, "file-too-large").child(size);
    StanzaError::new(Condition::NotAcceptable)
        .with_app(app)
        .with_text(format!("files may have {most} bytes at most"))
}

/// XEP-0363 §5, example 8.
fn resource(again: Timestamp) -> StanzaError {
    let app = Element::new(ns::HTTP_UPLOAD, "retry").attr("stamp", crate::time::stamp(again));
    StanzaError::new(Condition::ResourceConstraint)
        .with_type(ErrorType::Wait)
        .with_app(app)
        .with_text("your files take as much room as they may")
}

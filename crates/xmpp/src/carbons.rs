//! XEP-0280 Message Carbons: a copy of each message for the other devices.

use bytes::BytesMut;

use crate::client::Client;
use crate::feature::{Feature, IqHandler};
use crate::iq::Where;
use crate::wire::write::{self, Out};
use crate::wire::{Context, ns};

/// The feature.
pub static FEATURE: Feature = Feature {
    name: "carbons",
    disco: |at| match at {
        Where::Server | Where::OwnAccount => &[ns::CARBONS, "urn:xmpp:carbons:rules:0"],
        _ => &[],
    },
    iqs: &[switch("enable"), switch("disable")],
    ..Feature::NONE
};

const fn switch(name: &'static str) -> IqHandler {
    IqHandler {
        name,
        ns: ns::CARBONS,
        get: false,
        set: true,
        at: &[Where::OwnAccount, Where::Server],
        handle: |client, iq| {
            Box::pin(async move {
                client.state.lock().carbons = iq.child.name() == "enable";
                client.show();
                Ok(None)
            })
        },
    }
}

/// Writes a copy: `direction` is `sent` or `received`, `kind` the message's type (§6), `message` writes what is copied.
pub fn wrap(
    out: &mut BytesMut,
    client: &Client,
    direction: &'static str,
    kind: &str,
    message: impl FnOnce(&mut BytesMut),
) {
    let mut inside = BytesMut::with_capacity(1024);
    inside.put(b"<");
    inside.put(direction.as_bytes());
    inside.put(b" xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>");
    message(&mut inside);
    inside.put(b"</forwarded></");
    inside.put(direction.as_bytes());
    inside.put(b">");
    let attrs = [
        ("from", client.bare.as_str()),
        ("to", client.jid.as_str()),
        ("type", kind),
    ];
    write::envelope(
        out,
        "message",
        ns::CLIENT,
        &attrs,
        &[&inside],
        &[],
        Context::CLIENT,
    );
}

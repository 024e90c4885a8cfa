//! Personal eventing (XEP-0163): publish-subscribe (XEP-0060) at the address of each account.
//!
//! ```text
//! iq.rs → publish · owner · subscribe (decided and done inside the writer) → shelf (core's documents) → notify → sessions
//!       → query (read from what is committed)          last: the last items for a client that comes
//! access, config: decisions without looking anything up       effects, mds: what publishing means beyond the node
//! ```

pub mod access;
pub mod authorize;
pub mod config;
pub mod disco;
mod effects;
pub mod errors;
pub mod form;
mod iq;
mod last;
pub mod mds;
pub mod notify;
mod owner;
pub mod publish;
mod query;
pub mod shelf;
mod subscribe;

use sammen_core::tx::Tx;
use sammen_core::{Address, Node};

use crate::client::Client;
use crate::feature::{Feature, IqHandler};
use crate::iq::Where;
use crate::wire::{StanzaError, ns};

pub use last::newly_allowed;

const ACCOUNTS: &[Where] = &[Where::OwnAccount, Where::OtherAccount];

/// Personal eventing.
pub static FEATURE: Feature = Feature {
    name: "personal eventing",
    disco: |at| match at {
        Where::OwnAccount => disco::OWN,
        Where::OtherAccount => disco::FEATURES,
        _ => &[],
    },
    identities: |at| match at {
        Where::OwnAccount | Where::OtherAccount => &[("pubsub", "pep")],
        _ => &[],
    },
    iqs: &[
        IqHandler {
            name: "pubsub",
            ns: ns::PUBSUB,
            get: true,
            set: true,
            at: ACCOUNTS,
            handle: iq::pubsub,
        },
        IqHandler {
            name: "pubsub",
            ns: ns::PUBSUB_OWNER,
            get: true,
            set: true,
            at: ACCOUNTS,
            handle: iq::owner,
        },
    ],
    state: Some(mds::on_read),
    custom: Some(
        |client, payload| match payload.clone().downcast::<notify::Push>() {
            Ok(push) => {
                push.deliver(client);
                true
            }
            Err(_) => false,
        },
    ),
    caps: Some(last::on_caps),
    available: Some(last::on_caps),
    gone: Some(last::on_gone),
    state_lost: Some(last::on_state_lost),
    ..Feature::NONE
};

/// Runs a write whose errors are stanza errors; nothing is changed where it refuses.
///
/// # Errors
/// What it refused with.
pub async fn write<T: Send + 'static>(
    node: &Node,
    write: impl FnOnce(&mut Tx<'_>) -> Result<T, StanzaError> + Send + 'static,
) -> Result<T, StanzaError> {
    node.write(move |tx| Ok(write(tx))).await?
}

/// Reads from what is committed, on a blocking thread.
///
/// # Errors
/// What the reading refused with.
pub async fn read<T: Send + 'static>(
    node: &Node,
    read: impl FnOnce(&Node) -> Result<T, StanzaError> + Send + 'static,
) -> Result<T, StanzaError> {
    node.read(move |node| Ok(read(node))).await?
}

/// Publishes at the client's own account: for what the node does on its behalf (XEP-0490 §3.4).
///
/// # Errors
/// See [`publish::publish`].
pub async fn publish_own(
    client: &Client,
    out: publish::Publication,
) -> Result<String, StanzaError> {
    let actor = publish::Actor::of(client, &client.account);
    write(&client.node, move |tx| publish::publish(tx, &actor, &out)).await
}

/// Whether a node of an account is made by this node of what core knows, so that it is there without being published.
fn is_made(account: &Address, reader: &Address, node: &str) -> bool {
    account == reader && matches!(node, ns::BOOKMARKS | ns::BOOKMARKS_OLD | ns::MDS)
}

//! The server's signing key (server-server API, "Publishing Keys"): made once, kept on the node's own shelf.

use ruma::serde::Base64;
use ruma::signatures::Ed25519KeyPair;
use sammen_core::document::Owner;
use sammen_core::tx::Expect;
use sammen_core::{Node, Outcome, Refusal};
use serde::{Deserialize, Serialize};

use crate::shelf;

/// The namespace.
const NAMESPACE: &str = "matrix.key";
/// The key of the only document in it.
const CURRENT: &str = "current";

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Its name behind `ed25519:`.
    version: String,
    /// PKCS#8.
    secret: Base64,
}

/// The key that signs what this server sends, made if there is none.
///
/// # Errors
/// When it can't be read or written.
pub async fn signing_key(node: &Node) -> Outcome<Ed25519KeyPair> {
    let read = |node: &Node| -> Outcome<Option<Kept>> {
        let found = node
            .store()
            .document(&Owner::Node, NAMESPACE, CURRENT)?
            .and_then(|d| d.value);
        // One that can't be read must not be replaced: everything that was signed hangs on it.
        let read = |value: bytes::Bytes| shelf::decode(&value).ok_or(Refusal::TryLater);
        found.map(read).transpose()
    };
    let mut kept = node.read(read).await?;
    if kept.is_none() {
        let version = format!("{:08x}", node.clock().random() as u32);
        let secret = Base64::new(Ed25519KeyPair::generate().to_vec());
        let value = shelf::encode(&Kept { version, secret })?;
        let made = node.write(move |tx| {
            tx.put_document(
                &Owner::Node,
                NAMESPACE,
                CURRENT,
                Expect::Absent,
                Some(value),
            )
        });
        match made.await {
            // Another was faster.
            Ok(_) | Err(Refusal::Conflict) => kept = node.read(read).await?,
            Err(why) => return Err(why),
        }
    }
    let kept = kept.ok_or(Refusal::TryLater)?;
    Ed25519KeyPair::from_der(kept.secret.as_bytes(), kept.version).map_err(|error| {
        tracing::error!(%error, "the server's signing key can't be read");
        Refusal::TryLater
    })
}

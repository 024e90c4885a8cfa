//! The first administrator: while nobody has an account, the node prints a link that makes one, once.

use std::sync::Arc;

use bytes::Bytes;
use sammen_core::document::Owner;
use sammen_core::ops::accounts;
use sammen_core::tx::Expect;
use sammen_core::{Address, Refusal};
use sammen_net::invitations::{self, Offer, Token};

use crate::audit::note;
use crate::problem::Answer;
use crate::server::Web;

/// The node's shelf.
const SHELF: &str = "switches";
const KEY: &str = "first-administrator";
/// How long the link holds; a restart makes another one.
const DAYS_MS: i64 = 7 * 86_400_000;

/// A link that makes the first administrator; `None` where somebody has an account already. A link that was printed
/// before no longer holds then.
///
/// # Errors
/// When the store can't be read or written.
pub async fn link(web: &Arc<Web>) -> Result<Option<String>, Refusal> {
    let node = web.node.clone();
    let empty = web
        .node
        .read(move |_| Ok(node.store().accounts(None, 1)?.is_empty()))
        .await?;
    if !empty {
        return Ok(None);
    }
    let token = Token::random(&mut rand::rng());
    let kept = token.clone();
    let until = web.node.now().plus_ms(DAYS_MS);
    web.node
        .write(move |tx| {
            let before = tx.document(&Owner::Node, SHELF, KEY)?.and_then(|d| d.value);
            if let Some(id) = before.as_deref().and_then(|b| std::str::from_utf8(b).ok()) {
                // It may be gone by itself.
                let _ = invitations::revoke(tx, id, None);
            }
            let offer = Offer {
                account: true,
                uses: Some(1),
                expires: Some(until),
                by_operator: true,
                label: Some("first administrator".into()),
                ..Offer::default()
            };
            let made = invitations::create(tx, offer, &kept)?;
            let id = Some(Bytes::from(made.id));
            tx.put_document(&Owner::Node, SHELF, KEY, Expect::Anything, id)?;
            Ok(())
        })
        .await?;
    Ok(Some(invitations::landing(&web.base(), &token)))
}

/// Whether an invitation is the one that makes the first administrator.
pub(super) async fn is(web: &Arc<Web>, id: &str) -> Answer<bool> {
    let id = id.to_owned();
    web.read(move |web| {
        let known = web.node.store().document(&Owner::Node, SHELF, KEY);
        let known = known.map_err(Refusal::from)?.and_then(|d| d.value);
        Ok(known.is_some_and(|k| k == id.as_bytes()))
    })
    .await
}

/// Makes the account that came by it an administrator.
pub(super) async fn crown(web: &Arc<Web>, id: &str, account: &Address) -> Answer<()> {
    let (id, account) = (id.to_owned(), account.clone());
    web.node
        .write(move |tx| {
            let known = tx.document(&Owner::Node, SHELF, KEY)?.and_then(|d| d.value);
            if known.is_none_or(|k| k != id.as_bytes()) {
                return Err(Refusal::NotFound);
            }
            tx.put_document(&Owner::Node, SHELF, KEY, Expect::Anything, None)?;
            accounts::change(tx, &account, |a| a.admin = true)?;
            note(tx, None, "first administrator", account.as_str(), None)
        })
        .await?;
    Ok(())
}

//! The pictures of accounts for protocols that have no PEP: read from it and written to it, so that there is one truth.

use std::sync::Arc;

use bytes::Bytes;
use sammen_core::principal::Origin;
use sammen_core::{Address, Outcome, Refusal};

use crate::avatar::{self, Hashes, Photo};
use crate::pep::publish::Actor;
use crate::pep::write;
use crate::server::Server;
use crate::wire::Str;

/// What tells one picture of an account from the next. Blocking, unless it is remembered.
pub fn version(server: &Server, account: &Address) -> Option<String> {
    let hashes: Arc<Hashes> = server.shared();
    avatar::known_hash(&server.node, &hashes, account).map(|hash| hash.to_string())
}

/// Media type and bytes of the picture that everyone may see. Blocking.
///
/// # Errors
/// When the store can't be read.
pub fn get(server: &Server, account: &Address) -> Outcome<Option<(String, Bytes)>> {
    let mut look = &server.node;
    let photo = avatar::photo(&mut look, account, false)?;
    Ok(photo.and_then(|p| Some((p.media_type.clone(), p.bytes()?.into()))))
}

/// Sets the account's picture as its own app would; `None` takes it away.
///
/// # Errors
/// [`Refusal::TooLarge`] when it does not fit.
pub async fn set(
    server: &Server,
    account: &Address,
    picture: Option<(String, Bytes)>,
) -> Outcome<()> {
    let bare: Str = server.bare(account).into();
    let actor = Actor {
        account: account.clone(),
        bare: bare.clone(),
        who: account.clone(),
        who_bare: bare,
        origin: Origin::default(),
        domains: server.node.domains().into(),
        avatars: server.shared(),
    };
    let photo = picture.map(|(media_type, bytes)| Photo::of_bytes(&media_type, &bytes));
    write(&server.node, move |tx| {
        tx.account(&actor.account)?.ok_or(Refusal::NotFound)?;
        avatar::set_photo(tx, &actor, photo.as_ref())
    })
    .await
    .map_err(|error| {
        tracing::debug!(?error, "a picture was not taken");
        Refusal::TooLarge
    })
}

//! Name and password, and what a browser is told where they are wrong.

use std::sync::Arc;

use sammen_core::Address;
pub use sammen_net::login::{LoginRefused, Proven};
use sammen_net::{Peer, Secret};

use crate::problem::{Answer, Problem};
use crate::server::Web;

/// The name of this protocol in the scopes of app passwords.
pub const SCOPE: &str = "web";

impl From<LoginRefused> for Problem {
    fn from(refused: LoginRefused) -> Self {
        match refused {
            LoginRefused::Wrong | LoginRefused::Disabled => Self::wrong_login(),
            LoginRefused::Throttled(wait) => {
                Self::throttled(wait.as_millis().div_ceil(1000) as u64)
            }
            LoginRefused::TryLater => Self::try_later(),
        }
    }
}

/// Checks name and password, as slowly as the throttle says.
pub async fn sign_in(
    web: &Web,
    peer: Option<&Arc<Peer>>,
    name: &str,
    password: &Secret,
) -> Answer<Proven> {
    let peer = peer.map(AsRef::as_ref);
    let checked = web.logins.check(web.domain(), peer, name, password).await;
    Ok(checked?)
}

/// Asks an account that is signed in for its passphrase once more; app passwords don't count.
pub async fn passphrase(
    web: &Web,
    peer: Option<&Arc<Peer>>,
    account: &Address,
    passphrase: &Secret,
) -> Answer<()> {
    let peer = peer.map(AsRef::as_ref);
    let logins = &web.logins;
    logins
        .passphrase(web.domain(), peer, account, passphrase)
        .await?;
    Ok(())
}

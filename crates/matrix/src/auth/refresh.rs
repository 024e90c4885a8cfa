//! New access tokens for old refresh tokens ("Refreshing access tokens"), and tokens that sign another device in.

use std::sync::Arc;
use std::time::Duration;

use ruma::api::client::session::{get_login_token, refresh_token};
use sammen_net::Secret;
use sammen_net::login::Proven;

use super::vault::Vault;
use super::{token, uia};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// How long a login token is good for (MSC3882 asks for minutes).
const LOGIN_TOKEN: Duration = Duration::from_secs(120);
/// Login tokens at a time.
const MOST: usize = 4096;

/// Tokens that sign another device of the account in, once.
pub struct LoginTokens(Vault<Proven>);

impl Default for LoginTokens {
    fn default() -> Self {
        Self(Vault::new(MOST))
    }
}

impl LoginTokens {
    /// Uses a token up; whose it was.
    pub(super) fn take(&self, matrix: &Matrix, token: &Secret) -> Answer<Proven> {
        let found = self.0.take(token, matrix.node.now());
        let (_, proven) = found.ok_or_else(|| Fault::forbidden("this token is not valid"))?;
        Ok(proven)
    }
}

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(refresh);
    table.on(login_token);
}

async fn refresh(
    matrix: Arc<Matrix>,
    ask: Ask<refresh_token::v3::Request>,
) -> Answer<refresh_token::v3::Response> {
    let shown = Secret::new(ask.request.refresh_token);
    let (fresh, _) = token::refresh(&matrix, &shown, None).await?;
    let mut answer = refresh_token::v3::Response::new(fresh.access.expose().to_owned());
    answer.expires_in_ms = fresh.expires_in();
    answer.refresh_token = fresh.refresh.map(|token| token.expose().to_owned());
    Ok(answer)
}

async fn login_token(
    matrix: Arc<Matrix>,
    ask: Ask<get_login_token::v1::Request>,
) -> Answer<get_login_token::v1::Response> {
    let (who, peer, auth) = (ask.who, ask.peer, ask.request.auth);
    uia::confirm(&matrix, &who, peer.as_deref(), "login token", auth).await?;
    // The new device ends with what this one came in by.
    let proven = Proven {
        account: who.address().clone(),
        credential: who.device.credential.clone(),
        stamp: who.account.stamp,
    };
    let clock = matrix.node.clock();
    let token = matrix.auth.login_tokens.0.put(clock, LOGIN_TOKEN, proven);
    let token = token.expose().to_owned();
    Ok(get_login_token::v1::Response::new(LOGIN_TOKEN, token))
}

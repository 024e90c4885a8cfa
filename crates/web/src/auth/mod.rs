//! Who asks: cookies of browsers, tokens of scripts, what each may do, and that no other page asks in their name.

mod csrf;
mod login;
pub(crate) mod token;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Extension;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sammen_core::principal::Origin;
use sammen_core::{Account, Address, Device, Principal};
use sammen_net::Peer;

use crate::problem::{Answer, Problem};
use crate::server::Web;

pub use csrf::HEADER;
pub(crate) use csrf::same_origin;
pub(crate) use login::{SCOPE, passphrase, sign_in};

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing.
    Nobody,
    /// A session or a token.
    Account,
    /// A session that began with the passphrase.
    Passphrase,
    /// The same, of an administrator.
    Admin,
}

/// How somebody showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A browser's cookie.
    Cookie,
    /// A script's token.
    Token,
}

/// Who asks.
#[derive(Clone)]
pub struct Caller {
    /// The account, as it is now.
    pub account: Arc<Account>,
    /// The device that asks.
    pub device: Arc<Device>,
    /// How it showed who it is.
    pub kind: Kind,
}

impl Caller {
    /// The account's address.
    pub fn address(&self) -> &Address {
        &self.account.address
    }

    /// On whose behalf.
    pub fn principal(&self) -> Principal {
        Principal::Of(self.account.address.clone())
    }

    /// From which device.
    pub fn origin(&self) -> Origin {
        Origin {
            session: None,
            device: Some(self.device.id),
            inbound: None,
        }
    }

    /// Signed in with the passphrase, in a browser.
    pub fn full(&self) -> bool {
        self.kind == Kind::Cookie && self.device.credential.is_none()
    }

    fn may(&self, need: Need) -> Answer<()> {
        let passphrase = || {
            Problem::new(
                axum::http::StatusCode::FORBIDDEN,
                "passphrase-needed",
                "Sign in with your passphrase to do that",
            )
        };
        match need {
            Need::Nobody | Need::Account => Ok(()),
            Need::Admin if !self.account.admin => {
                Err(Problem::forbidden("only administrators do that"))
            }
            Need::Passphrase | Need::Admin if !self.full() => Err(passphrase()),
            Need::Passphrase | Need::Admin => Ok(()),
        }
    }
}

/// Who asks, where a route lets everyone in.
#[derive(Clone, Default)]
pub struct MaybeCaller(pub Option<Caller>);

/// From where the request came.
#[derive(Clone, Copy, Debug)]
pub struct From(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let found = parts.extensions.get::<MaybeCaller>();
        found
            .and_then(|m| m.0.clone())
            .ok_or_else(Problem::not_signed_in)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MaybeCaller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let found = parts.extensions.get::<MaybeCaller>();
        Ok(found.cloned().unwrap_or_default())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for From {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(from(parts.extensions.get::<Arc<Peer>>())))
    }
}

pub(crate) fn from(peer: Option<&Arc<Peer>>) -> IpAddr {
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |p| p.address.ip())
}

/// Lets a request through to its route, or not. Every route stands behind it.
pub async fn guard(
    State((web, need)): State<(Arc<Web>, Need)>,
    peer: Option<Extension<Arc<Peer>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let from = from(peer.as_deref());
    match check(
        &web,
        need,
        from,
        request.method().clone(),
        request.headers(),
    )
    .await
    {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn check(
    web: &Arc<Web>,
    need: Need,
    from: IpAddr,
    method: axum::http::Method,
    headers: &HeaderMap,
) -> Answer<MaybeCaller> {
    let caller = match token::presented(headers) {
        Some((kind, text)) => match token::caller(web, kind, &text).await? {
            Some(caller) => Some(caller),
            None if need == Need::Nobody => None,
            None => {
                // Who guesses tokens is slowed down like a stranger.
                web.rates.stranger(from)?;
                return Err(Problem::not_signed_in());
            }
        },
        None => None,
    };
    match &caller {
        Some(caller) => web.rates.account(caller.address())?,
        None => web.rates.stranger(from)?,
    }
    let by_token = caller.as_ref().is_some_and(|c| c.kind == Kind::Token);
    if !method.is_safe() && !by_token {
        csrf::check(web, headers)?;
    }
    if need > Need::Nobody {
        caller
            .as_ref()
            .ok_or_else(Problem::not_signed_in)?
            .may(need)?;
    }
    Ok(MaybeCaller(caller))
}

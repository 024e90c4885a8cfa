//! What a request says and who asks: ruma's types, read strictly.

use std::sync::Arc;

use axum::extract::{FromRequestParts as _, Path, Request};
use axum::http::StatusCode;
use ruma::api::auth_scheme::{
    AccessToken, AccessTokenOptional, AppserviceTokenOptional, AuthScheme, NoAccessToken,
    NoAuthentication,
};
use ruma::api::error::{DeserializationError, ErrorKind, FromHttpRequestError};
use ruma::api::{IncomingRequest, IncomingRequestExt as _};
use sammen_core::Address;
use sammen_net::Peer;

use crate::auth::Caller;
use crate::fault::{Answer, Fault};
use crate::server::Matrix;

/// Most bytes of a JSON body. An event is at most 65,536 (client-server API, "Size limits"); uploads of keys are larger.
pub const BODY: usize = 1024 * 1024;

/// A request.
pub struct Ask<T: IncomingRequest>
where
    T::Authentication: Door,
{
    /// What it says.
    pub request: T,
    /// Who asks, as far as the endpoint wants to know.
    pub who: <T::Authentication as Door>::Who,
    /// From which connection; `None` in tests without a socket.
    pub peer: Option<Arc<Peer>>,
}

/// How an endpoint wants to know who asks.
pub trait Door: AuthScheme {
    /// What it learns.
    type Who: Send;
    /// Nobody is let in without an access token.
    const NEEDED: bool = false;
    /// Whose requests are counted; `None` where nobody showed who they are.
    fn counted(who: &Self::Who) -> Option<&Address>;
    /// Lets the asker in.
    fn admit(
        matrix: &Arc<Matrix>,
        head: &axum::http::request::Parts,
    ) -> impl Future<Output = Answer<Self::Who>> + Send;
}

impl Door for NoAuthentication {
    type Who = ();
    fn counted((): &()) -> Option<&Address> {
        None
    }
    async fn admit(_: &Arc<Matrix>, _: &axum::http::request::Parts) -> Answer<()> {
        Ok(())
    }
}

impl Door for NoAccessToken {
    type Who = ();
    fn counted((): &()) -> Option<&Address> {
        None
    }
    async fn admit(_: &Arc<Matrix>, _: &axum::http::request::Parts) -> Answer<()> {
        Ok(())
    }
}

/// Application services are not spoken: everybody comes as a client.
impl Door for AppserviceTokenOptional {
    type Who = ();
    fn counted((): &()) -> Option<&Address> {
        None
    }
    async fn admit(_: &Arc<Matrix>, _: &axum::http::request::Parts) -> Answer<()> {
        Ok(())
    }
}

impl Door for AccessToken {
    type Who = Caller;
    const NEEDED: bool = true;
    fn counted(who: &Caller) -> Option<&Address> {
        Some(who.address())
    }
    async fn admit(matrix: &Arc<Matrix>, head: &axum::http::request::Parts) -> Answer<Caller> {
        let token = crate::auth::presented(head).ok_or_else(Fault::missing_token)?;
        crate::auth::caller(matrix, &token, leaving(head)).await
    }
}

impl Door for AccessTokenOptional {
    type Who = Option<Caller>;
    fn counted(who: &Option<Caller>) -> Option<&Address> {
        who.as_ref().map(Caller::address)
    }
    async fn admit(
        matrix: &Arc<Matrix>,
        head: &axum::http::request::Parts,
    ) -> Answer<Option<Caller>> {
        match crate::auth::presented(head) {
            Some(token) => {
                let caller = crate::auth::caller(matrix, &token, false).await?;
                Ok(Some(caller))
            }
            None => Ok(None),
        }
    }
}

/// "Account locking": who is locked out may still sign out.
fn leaving(head: &axum::http::request::Parts) -> bool {
    let path = head.uri.path();
    let path = path.strip_prefix("/_matrix/client/").unwrap_or_default();
    ["r0/logout", "v3/logout", "r0/logout/all", "v3/logout/all"].contains(&path)
}

/// Lets in who shows an access token, and counts them: for handlers that are not typed by ruma.
///
/// # Errors
/// M_MISSING_TOKEN, M_UNKNOWN_TOKEN, M_LIMIT_EXCEEDED.
pub async fn authenticate(
    matrix: &Arc<Matrix>,
    head: &axum::http::request::Parts,
) -> Answer<Caller> {
    admit::<AccessToken>(matrix, head, true).await
}

/// The same by any door; `limited` says whether the request is counted. Wrong tokens are.
///
/// # Errors
/// As [`authenticate`].
pub(crate) async fn admit<D: Door>(
    matrix: &Arc<Matrix>,
    head: &axum::http::request::Parts,
    limited: bool,
) -> Answer<D::Who> {
    let peer = head.extensions.get::<Arc<Peer>>().map(AsRef::as_ref);
    let rates = &matrix.auth.rates;
    let who = D::admit(matrix, head).await.or_else(|fault| {
        // Who guesses tokens is slowed down like a stranger.
        if crate::auth::presented(head).is_some() {
            rates.stranger(peer)?;
        }
        Err(fault)
    })?;
    match D::counted(&who) {
        _ if !limited => {}
        Some(account) => rates.account(account)?,
        None => rates.stranger(peer)?,
    }
    Ok(who)
}

/// Reads a request; who asks is looked at before the body is. `expected` is how many variables its path has.
pub async fn read<T>(matrix: &Arc<Matrix>, request: Request, expected: usize) -> Answer<Ask<T>>
where
    T: IncomingRequest,
    T::Authentication: Door,
{
    let (mut head, body) = request.into_parts();
    let peer = head.extensions.get::<Arc<Peer>>().cloned();
    let who = admit::<T::Authentication>(matrix, &head, T::RATE_LIMITED).await?;
    let path: Path<Vec<(String, String)>> = Path::from_request_parts(&mut head, &())
        .await
        .map_err(|_| Fault::invalid("the path is not readable"))?;
    let body = axum::body::to_bytes(body, BODY)
        .await
        .map_err(|_| Fault::too_large())?;
    let mut args: Vec<&str> = path.0.iter().map(|(_, value)| value.as_str()).collect();
    // A state key that is left out is the empty one.
    args.resize(args.len().max(expected), "");
    let request = axum::http::Request::from_parts(head, &*body);
    // Clients leave out a body in which nothing is needed (matrix-nio, when it joins).
    let blank = (body.is_empty() && request.method() == axum::http::Method::POST)
        .then(|| request.clone().map(|_| &b"{}"[..]))
        .and_then(|request| T::try_from_http_request(request, &args).ok());
    let request = match blank {
        Some(request) => request,
        None => {
            T::try_from_http_request(request, &args).map_err(|error| unreadable(&error, &body))?
        }
    };
    Ok(Ask { request, who, peer })
}

fn unreadable(error: &FromHttpRequestError, body: &[u8]) -> Fault {
    let FromHttpRequestError::Deserialization(error) = error else {
        return Fault::new(
            StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::Unrecognized,
            "this can't be done here",
        );
    };
    let text = error.to_string();
    match error {
        DeserializationError::Json(_) if !is_json(body) => {
            Fault::new(StatusCode::BAD_REQUEST, ErrorKind::NotJson, text)
        }
        DeserializationError::Json(_) => Fault::bad_json(text),
        _ => Fault::invalid(text),
    }
}

/// What begins with the wrong type may still be no JSON at all.
fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

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
    /// Lets the asker in.
    fn admit(
        matrix: &Arc<Matrix>,
        head: &axum::http::request::Parts,
    ) -> impl Future<Output = Answer<Self::Who>> + Send;
}

impl Door for NoAuthentication {
    type Who = ();
    async fn admit(_: &Arc<Matrix>, _: &axum::http::request::Parts) -> Answer<()> {
        Ok(())
    }
}

impl Door for NoAccessToken {
    type Who = ();
    async fn admit(_: &Arc<Matrix>, _: &axum::http::request::Parts) -> Answer<()> {
        Ok(())
    }
}

/// Application services are not spoken: everybody comes as a client.
impl Door for AppserviceTokenOptional {
    type Who = ();
    async fn admit(_: &Arc<Matrix>, _: &axum::http::request::Parts) -> Answer<()> {
        Ok(())
    }
}

impl Door for AccessToken {
    type Who = Caller;
    async fn admit(matrix: &Arc<Matrix>, head: &axum::http::request::Parts) -> Answer<Caller> {
        let token = crate::auth::presented(head).ok_or_else(Fault::missing_token)?;
        crate::auth::caller(matrix, &token).await
    }
}

impl Door for AccessTokenOptional {
    type Who = Option<Caller>;
    async fn admit(
        matrix: &Arc<Matrix>,
        head: &axum::http::request::Parts,
    ) -> Answer<Option<Caller>> {
        match crate::auth::presented(head) {
            Some(token) => crate::auth::caller(matrix, &token).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Reads a request; who asks is looked at before the body is. `expected` is how many variables its path has.
pub async fn read<T>(matrix: &Arc<Matrix>, request: Request, expected: usize) -> Answer<Ask<T>>
where
    T: IncomingRequest,
    T::Authentication: Door,
{
    let (mut head, body) = request.into_parts();
    let who = T::Authentication::admit(matrix, &head).await?;
    let path: Path<Vec<(String, String)>> = Path::from_request_parts(&mut head, &())
        .await
        .map_err(|_| Fault::invalid("the path is not readable"))?;
    let peer = head.extensions.get::<Arc<Peer>>().cloned();
    let body = axum::body::to_bytes(body, BODY)
        .await
        .map_err(|_| Fault::too_large())?;
    let mut args: Vec<&str> = path.0.iter().map(|(_, value)| value.as_str()).collect();
    // A state key that is left out is the empty one.
    args.resize(args.len().max(expected), "");
    let request = axum::http::Request::from_parts(head, &*body);
    let request = T::try_from_http_request(request, &args).map_err(|error| unreadable(&error))?;
    Ok(Ask { request, who, peer })
}

fn unreadable(error: &FromHttpRequestError) -> Fault {
    let FromHttpRequestError::Deserialization(error) = error else {
        return Fault::new(
            StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::Unrecognized,
            "this can't be done here",
        );
    };
    let text = error.to_string();
    match error {
        DeserializationError::Json(e) if !e.is_data() => {
            Fault::new(StatusCode::BAD_REQUEST, ErrorKind::NotJson, text)
        }
        DeserializationError::Json(_) => Fault::bad_json(text),
        _ => Fault::invalid(text),
    }
}

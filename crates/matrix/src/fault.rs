//! Errors as clients get them: a status and an errcode (client-server API, "Standard error response").

use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use bytes::BytesMut;
use ruma::api::OutgoingResponseExt as _;
use ruma::api::client::uiaa::UiaaResponse;
use ruma::api::error::{
    Error, ErrorBody, ErrorKind, LimitExceededErrorData, RetryAfter, StandardErrorBody,
    UnknownTokenErrorData,
};
use sammen_core::Refusal;
use sammen_net::accounts::AccountError;
use sammen_net::credentials::CredentialError;
use sammen_net::login::LoginRefused;

/// What a handler returns.
pub type Answer<T> = Result<T, Fault>;

/// Why a request got no good answer. Boxed: it is rare.
#[derive(Debug)]
pub struct Fault(Box<UiaaResponse>);

impl Fault {
    /// An errcode with its status and a sentence for people.
    pub fn new(status: StatusCode, kind: ErrorKind, message: impl Into<String>) -> Self {
        let body = StandardErrorBody::new(kind, message.into());
        let error = Error::new(status, ErrorBody::Standard(body));
        Self(Box::new(UiaaResponse::MatrixError(error)))
    }

    /// 401 with the stages that are left (client-server API, "User-Interactive Authentication").
    pub fn stages(info: ruma::api::client::uiaa::UiaaInfo) -> Self {
        Self(Box::new(UiaaResponse::AuthResponse(info)))
    }

    /// The status that it goes out with.
    pub fn status(&self) -> StatusCode {
        match &*self.0 {
            UiaaResponse::AuthResponse(_) => StatusCode::UNAUTHORIZED,
            UiaaResponse::MatrixError(error) => error.status_code,
        }
    }

    /// 403 M_FORBIDDEN.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorKind::Forbidden, message)
    }

    /// 404 M_NOT_FOUND.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, message)
    }

    /// 404 M_UNRECOGNIZED: no such endpoint.
    pub fn unrecognized() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            ErrorKind::Unrecognized,
            "there is no such endpoint here",
        )
    }

    /// 400 M_INVALID_PARAM.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorKind::InvalidParam, message)
    }

    /// 400 M_WEAK_PASSWORD.
    pub fn weak_password(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorKind::WeakPassword, message)
    }

    /// 400 M_BAD_JSON.
    pub fn bad_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorKind::BadJson, message)
    }

    /// 400 M_INVALID_SIGNATURE, for which ruma has no kind.
    pub fn invalid_signature(message: &str) -> Self {
        let body = serde_json::json!({ "errcode": "M_INVALID_SIGNATURE", "error": message });
        let error = Error::new(StatusCode::BAD_REQUEST, ErrorBody::Json(body));
        Self(Box::new(UiaaResponse::MatrixError(error)))
    }

    /// 413 M_TOO_LARGE.
    pub fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::TooLarge,
            "that is too large",
        )
    }

    /// 401 M_MISSING_TOKEN.
    pub fn missing_token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            ErrorKind::MissingToken,
            "an access token is needed",
        )
    }

    /// 401 M_UNKNOWN_TOKEN; `soft` where the client may refresh it and keep what it has ("Soft logout").
    pub fn unknown_token(soft: bool) -> Self {
        let mut data = UnknownTokenErrorData::default();
        data.soft_logout = soft;
        Self::new(
            StatusCode::UNAUTHORIZED,
            ErrorKind::UnknownToken(data),
            "this access token is not valid",
        )
    }

    /// 401 M_USER_LOCKED: the account is disabled for now ("Account locking").
    pub fn locked() -> Self {
        // ruma's word for it has no place for `soft_logout`.
        let body = serde_json::json!({
            "errcode": "M_USER_LOCKED",
            "error": "this account is locked",
            "soft_logout": true,
        });
        let error = Error::new(StatusCode::UNAUTHORIZED, ErrorBody::Json(body));
        Self(Box::new(UiaaResponse::MatrixError(error)))
    }

    /// 429 M_LIMIT_EXCEEDED with `retry_after_ms` and the header.
    pub fn limited(wait: Duration) -> Self {
        let mut data = LimitExceededErrorData::default();
        data.retry_after = Some(RetryAfter::Delay(wait));
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::LimitExceeded(data),
            "that is too much at once",
        )
    }

    /// 500 M_UNKNOWN.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::Unknown,
            message,
        )
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::NotFound | Refusal::Gone(_) => Self::not_found(text),
            Refusal::TooLarge => Self::too_large(),
            Refusal::Invalid(_) | Refusal::InvalidName => Self::invalid(text),
            Refusal::Taken | Refusal::Conflict => {
                Self::new(StatusCode::BAD_REQUEST, ErrorKind::RoomInUse, text)
            }
            Refusal::TooMany => Self::limited(Duration::from_secs(5)),
            Refusal::DiskFull | Refusal::TryLater | Refusal::Unreachable => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unknown, text)
            }
            Refusal::NotAcceptable(_)
            | Refusal::Forbidden(_)
            | Refusal::NotJoined
            | Refusal::Banned
            | Refusal::MembersOnly
            | Refusal::PasswordRequired
            | Refusal::RoomFull
            | Refusal::NoVoice
            | Refusal::Blocked
            | Refusal::OtherAuthor => Self::forbidden(text),
        }
    }
}

impl From<AccountError> for Fault {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Refused(refusal) => refusal.into(),
            AccountError::Credentials(CredentialError::Damaged(why)) => {
                tracing::error!(%why, "credentials can't be read");
                Refusal::TryLater.into()
            }
            AccountError::Credentials(other) => Self::weak_password(other.to_string()),
        }
    }
}

impl From<LoginRefused> for Fault {
    fn from(refused: LoginRefused) -> Self {
        let text = refused.to_string();
        match refused {
            LoginRefused::Wrong => Self::forbidden(text),
            LoginRefused::Disabled => Self::locked(),
            LoginRefused::Throttled(wait) => Self::limited(wait),
            LoginRefused::TryLater => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unknown, text)
            }
        }
    }
}

impl From<sammen_core::store::StoreError> for Fault {
    fn from(error: sammen_core::store::StoreError) -> Self {
        Refusal::from(error).into()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response<Body> {
        match (*self.0).try_into_http_response::<BytesMut>() {
            Ok(answer) => answer.map(|body| Body::from(body.freeze())),
            Err(error) => {
                tracing::error!(%error, "an error could not be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

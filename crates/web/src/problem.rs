//! RFC 9457: what went wrong, as JSON that programs and people understand.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use sammen_core::Refusal;
use sammen_net::accounts::AccountError;
use sammen_net::credentials::CredentialError;
use schemars::JsonSchema;
use serde::Serialize;

/// The media type.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A problem.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Problem {
    /// A URI that names the kind of problem: `tag:sammen.org,2026:CODE`.
    #[serde(rename = "type")]
    #[schemars(with = "String")]
    pub kind: Kind,
    /// The same in short: what programs look at.
    pub code: &'static str,
    /// The kind of problem in words.
    #[schemars(with = "String")]
    pub title: Cow<'static, str>,
    /// The status of the answer.
    pub status: u16,
    /// This problem in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub detail: Option<Box<str>>,
    /// Seconds after which it may work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The field of the request that is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
}

/// The kind of a problem, by its code.
#[derive(Clone, Copy, Debug)]
pub struct Kind(&'static str);

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("tag:sammen.org,2026:{}", self.0))
    }
}

/// What handlers answer.
pub type Answer<T> = Result<T, Problem>;

impl Problem {
    /// A problem of a kind.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            kind: Kind(code),
            code,
            title: title.into(),
            status: status.as_u16(),
            detail: None,
            retry_after: None,
            field: None,
        }
    }

    /// With words about this one.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With the field at fault.
    #[must_use]
    pub fn field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// What was sent can't be read.
    pub fn bad_request(detail: impl Into<Box<str>>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "The request can't be read",
        )
        .detail(detail)
    }

    /// What was sent can be read and makes no sense.
    pub fn invalid(field: &'static str, detail: impl Into<Box<str>>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "Something in the request is not usable",
        )
        .field(field)
        .detail(detail)
    }

    /// Nobody is signed in.
    pub fn not_signed_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not-signed-in", "Sign in first")
    }

    /// Name or password is wrong; which of them is not told.
    pub fn wrong_login() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "wrong-login",
            "The name or the password is wrong",
        )
    }

    /// There is no such thing that the asker may know of.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "There is no such thing here",
        )
    }

    /// The caller may not.
    pub fn forbidden(detail: impl Into<Box<str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "You may not do that").detail(detail)
    }

    /// Too often; to be tried again after so many seconds.
    pub fn throttled(seconds: u64) -> Self {
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "throttled",
            "Too much at once; wait a little",
        );
        problem.retry_after = Some(seconds.max(1));
        problem
    }

    /// More than an account may have.
    pub fn too_many(detail: impl Into<Box<str>>) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many",
            "That is too many",
        )
        .detail(detail)
    }

    /// Larger than a limit.
    pub fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "That is too large",
        )
    }

    /// Passing trouble.
    pub fn try_later() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "try-later",
            "That does not work now; try later",
        )
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let text = serde_json::to_vec(&self).unwrap_or_default();
        let mut answer = Response::new(Body::from(text));
        *answer.status_mut() = self.status();
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == 401 {
            // RFC 9110 §11.6.1: scripts sign in with a token.
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"sammen\""),
            );
        }
        answer
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match &refusal {
            Refusal::NotFound => return Self::not_found(),
            Refusal::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Refusal::NotJoined => (StatusCode::FORBIDDEN, "not-joined"),
            Refusal::Banned => (StatusCode::FORBIDDEN, "banned"),
            Refusal::MembersOnly => (StatusCode::FORBIDDEN, "members-only"),
            Refusal::PasswordRequired => (StatusCode::FORBIDDEN, "password-required"),
            Refusal::RoomFull => (StatusCode::CONFLICT, "room-full"),
            Refusal::NoVoice => (StatusCode::FORBIDDEN, "no-voice"),
            Refusal::Taken => (StatusCode::CONFLICT, "taken"),
            Refusal::InvalidName => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-name"),
            Refusal::Blocked => (StatusCode::FORBIDDEN, "blocked"),
            Refusal::NotAcceptable(_) => (StatusCode::CONFLICT, "not-acceptable"),
            Refusal::TooLarge => return Self::too_large(),
            Refusal::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many"),
            Refusal::Gone(_) => (StatusCode::GONE, "gone"),
            Refusal::Conflict => (StatusCode::CONFLICT, "conflict"),
            Refusal::OtherAuthor => (StatusCode::FORBIDDEN, "other-author"),
            Refusal::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Refusal::Unreachable => (StatusCode::BAD_GATEWAY, "unreachable"),
            Refusal::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "disk-full"),
            Refusal::TryLater => return Self::try_later(),
        };
        Self::new(status, code, refusal.to_string())
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Refused(refusal) => refusal.into(),
            AccountError::Credentials(error) => error.into(),
        }
    }
}

impl From<CredentialError> for Problem {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Damaged(why) => {
                tracing::error!(%why, "credentials can't be read");
                Self::try_later()
            }
            CredentialError::TooMany(_) => Self::too_many(error.to_string()),
            other => Self::invalid("password", other.to_string()),
        }
    }
}

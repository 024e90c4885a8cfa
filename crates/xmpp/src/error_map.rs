//! Core's refusals as stanza errors: one table for everything.

use sammen_core::Refusal;

use crate::wire::{Condition, ErrorType, StanzaError};

/// The stanza error (RFC 6120 §8.3.3) that says what core refused.
pub fn stanza_error(refusal: &Refusal) -> StanzaError {
    use Condition as C;
    let (condition, kind) = match refusal {
        Refusal::NotFound => (C::ItemNotFound, None),
        Refusal::Forbidden(_) => (C::Forbidden, None),
        // XEP-0045 §7.4: who is not in the room may not speak in it.
        Refusal::NotJoined => (C::NotAcceptable, None),
        Refusal::Banned => (C::Forbidden, None),
        Refusal::MembersOnly => (C::RegistrationRequired, None),
        Refusal::PasswordRequired => (C::NotAuthorized, None),
        // XEP-0045 §7.2.9.
        Refusal::RoomFull => (C::ServiceUnavailable, Some(ErrorType::Wait)),
        Refusal::NoVoice => (C::Forbidden, None),
        Refusal::Taken => (C::Conflict, None),
        Refusal::InvalidName => (C::JidMalformed, None),
        // RFC 6121 §8.5 and XEP-0191 §3.2: a blocked sender learns nothing.
        Refusal::Blocked | Refusal::Unreachable => (C::ServiceUnavailable, None),
        Refusal::NotAcceptable(_) => (C::NotAcceptable, Some(ErrorType::Modify)),
        Refusal::TooLarge => (C::PolicyViolation, Some(ErrorType::Modify)),
        Refusal::TooMany => (C::ResourceConstraint, Some(ErrorType::Wait)),
        Refusal::Gone(_) => (C::Gone, None),
        Refusal::Conflict => (C::Conflict, None),
        Refusal::OtherAuthor => (C::Forbidden, None),
        Refusal::Invalid(_) => (C::BadRequest, None),
        Refusal::DiskFull => (C::ResourceConstraint, Some(ErrorType::Wait)),
        Refusal::TryLater => (C::InternalServerError, Some(ErrorType::Wait)),
    };
    let mut error = StanzaError::new(condition);
    if let Some(kind) = kind {
        error = error.with_type(kind);
    }
    match refusal {
        Refusal::Blocked | Refusal::Unreachable => error,
        other => error.with_text(other.to_string()),
    }
}

impl From<Refusal> for StanzaError {
    fn from(refusal: Refusal) -> Self {
        stanza_error(&refusal)
    }
}

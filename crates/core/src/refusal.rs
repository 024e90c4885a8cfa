//! Why core refuses: one closed set that each protocol turns into its own errors.

use crate::address::Address;
use crate::store::StoreError;

/// Why something was not done. Nothing of it was stored or shown.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such account, room, event or document that the asker may know of.
    #[error("there is no such thing here")]
    NotFound,
    /// The asker's standing or role does not allow it.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Only people in the room may do it.
    #[error("you are not in this room")]
    NotJoined,
    /// The room banned the asker.
    #[error("you are banned from this room")]
    Banned,
    /// The room is for its members and invited people.
    #[error("this room is for its members")]
    MembersOnly,
    /// The room's password was missing or wrong.
    #[error("this room has a password")]
    PasswordRequired,
    /// The room is full.
    #[error("this room is full")]
    RoomFull,
    /// No voice in a moderated room.
    #[error("this room is moderated and you have no voice")]
    NoVoice,
    /// The nick, name or key is somebody else's.
    #[error("that name is taken")]
    Taken,
    /// The text is no valid name, nick or address.
    #[error("that is not a valid name")]
    InvalidName,
    /// The recipient blocked the asker, or the other way round.
    #[error("one of the two has blocked the other")]
    Blocked,
    /// Encryption rules forbid it; the text says what would be allowed.
    #[error("{0}")]
    NotAcceptable(String),
    /// Bigger than a limit.
    #[error("that is too large")]
    TooLarge,
    /// More than a limit.
    #[error("that is too many")]
    TooMany,
    /// The room was destroyed, or has another address now: this one.
    #[error("this room is gone{}", .0.as_ref().map(|to| format!(", to {to}")).unwrap_or_default())]
    Gone(Option<Address>),
    /// A document changed meanwhile, or exists.
    #[error("it was changed meanwhile")]
    Conflict,
    /// The event belongs to another author.
    #[error("only its author can do that")]
    OtherAuthor,
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// Nobody there can take it now.
    #[error("nobody there can take it now")]
    Unreachable,
    /// The disk is full: writing can be tried later.
    #[error("the node's disk is full; try later")]
    DiskFull,
    /// Passing trouble.
    #[error("try later")]
    TryLater,
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Refusal::DiskFull,
            StoreError::TryLater(_) | StoreError::Fatal(_) | StoreError::Damaged(_) => {
                Refusal::TryLater
            }
        }
    }
}

/// What core returns.
pub type Outcome<T> = Result<T, Refusal>;

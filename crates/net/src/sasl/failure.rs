//! Why a login failed: many private reasons for the log, few public answers for the client.

/// The private reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The mechanism is unknown, or not on offer on this connection.
    #[error("mechanism not on offer")]
    NoSuchMechanism,
    /// A message breaks the mechanism's grammar.
    #[error("malformed message: {0}")]
    Malformed(&'static str),
    /// A message is over [`super::MAX_MESSAGE`].
    #[error("message too long")]
    TooLong,
    /// A message came when none was due.
    #[error("message out of turn")]
    OutOfTurn,
    /// No account of that name.
    #[error("no such account")]
    NoSuchAccount,
    /// No password of the account matches.
    #[error("wrong password")]
    WrongPassword,
    /// The token was proven, but it is over: expired, or what it came from was taken back. XMPP says
    /// `<credentials-expired/>` (XEP-0484 §5.2).
    #[error("the token is over")]
    TokenOver,
    /// The token was proven under a count that was used before (XEP-0484 §4.4).
    #[error("the token's count was used before")]
    Replayed,
    /// The certificate does not belong to the account.
    #[error("certificate is not one of the account's")]
    UnknownCertificate,
    /// The client wants to act as somebody else.
    #[error("authorisation as another identity")]
    OtherIdentity,
    /// The app password or certificate is not for this protocol.
    #[error("password is not for this protocol")]
    OutOfScope,
    /// The account is disabled.
    #[error("account is disabled")]
    Disabled,
    /// The client thinks we cannot bind channels, or binds where it said it would not: someone in between may have
    /// taken mechanisms off the list (RFC 5802 §6).
    #[error("channel binding was negotiated away")]
    BindingDowngrade,
    /// A type of binding that this connection does not have.
    #[error("channel binding type not on offer")]
    BindingType,
    /// The client is bound to another TLS connection than ours.
    #[error("channel binding does not match")]
    BindingMismatch,
    /// Too many failures from this address or for this account; the caller says so through [`super::Sasl::stop`].
    #[error("throttled")]
    Throttled,
    /// Too many password checks at once.
    #[error("too many password checks at once")]
    Overloaded,
    /// The store could not be asked.
    #[error("accounts cannot be read now")]
    Unavailable,
    /// The client gave up.
    #[error("aborted by the client")]
    Aborted,
}

/// What the client may know; protocols map these to their own conditions (RFC 6120 §6.5, IRC numerics 904–907).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `<not-authorized/>`, 904.
    NotAuthorized,
    /// `<invalid-mechanism/>`, 908 + 904.
    InvalidMechanism,
    /// `<malformed-request/>`, 904.
    MalformedRequest,
    /// `<malformed-request/>`, 905.
    TooLong,
    /// `<invalid-authzid/>`, 904. Only after a password was proven.
    InvalidAuthzid,
    /// `<account-disabled/>`, 904. Only after a password was proven.
    AccountDisabled,
    /// `<temporary-auth-failure/>`, 904.
    TemporaryFailure,
    /// `<aborted/>`, 906.
    Aborted,
}

impl Failure {
    /// What the client is told.
    pub fn answer(self) -> Answer {
        match self {
            Self::NoSuchMechanism => Answer::InvalidMechanism,
            Self::Malformed(_) | Self::OutOfTurn => Answer::MalformedRequest,
            Self::TooLong => Answer::TooLong,
            Self::NoSuchAccount
            | Self::WrongPassword
            | Self::TokenOver
            | Self::Replayed
            | Self::UnknownCertificate
            | Self::OutOfScope
            | Self::BindingDowngrade
            | Self::BindingType
            | Self::BindingMismatch => Answer::NotAuthorized,
            Self::OtherIdentity => Answer::InvalidAuthzid,
            Self::Disabled => Answer::AccountDisabled,
            Self::Throttled | Self::Overloaded | Self::Unavailable => Answer::TemporaryFailure,
            Self::Aborted => Answer::Aborted,
        }
    }

    /// Whether this counts as a guess: what the throttle has to hear of.
    pub fn is_a_guess(self) -> bool {
        matches!(
            self,
            Self::NoSuchAccount | Self::WrongPassword | Self::UnknownCertificate | Self::OutOfScope
        )
    }
}

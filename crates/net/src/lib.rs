//! `sammen-net`: what every protocol needs of the outside. It knows TCP, TLS, passwords and patience, and no protocol.
//!
//! ```text
//!              Listener ──────────────► Connection { stream, peer }              one task per connection
//!   limits, first byte, TLS,              │        └ who: address, TlsInfo, seat, shutdown
//!   handshake timeout, drain              │
//!                                         ├─► Link: queue(Bytes) ⇄ input, rates, write timeout ──► a session
//!                                         └─► http::serve: axum routes (files, host-meta, WebSocket, web, metrics)
//!
//!   Sasl (no IO) ──Lookup──► the caller's accounts ──► Credentials (verifiers of ≤ 33 passwords)
//!        │  └──────Check───► PasswordChecker (blocking thread, remembers what matched)
//!        └── Success { account, login, … } │ Failure ──answer()──► what the client may know
//!   Throttle: begin(account, address, known device, now) before each password is looked at
//! ```
//!
//! What strangers make the node fetch (previews of links, push services) goes through [`fetch`] and nothing else.
//!
//! A login, as a session does it: offer [`sasl::Policy::offers`] for [`Peer::channel`]; start a [`sasl::Sasl`]; at
//! [`sasl::Step::Lookup`] ask [`Throttle::begin`] and find the account; at [`sasl::Step::Check`] await
//! [`sasl::PasswordChecker::check`]; at the end tell the throttle: [`Throttle::succeeded`] on success,
//! [`Throttle::aborted`] where [`sasl::Failure::is_a_guess`] is false. Making or changing [`credentials`] takes
//! milliseconds of PBKDF2: do it on a blocking thread.
//!
//! Standards: RFC 4422 (SASL), 4616 (PLAIN), 5802 and 7677 (SCRAM), 4013 (SASLprep), 5929 and 9266 (channel bindings),
//! 7301 (ALPN), 8446 and 5246 (TLS 1.3, 1.2, through rustls), XEP-0438 (password storage), XEP-0484 and
//! draft-schmaus-kitten-sasl-ht (tokens).
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test may fail"
    )
)]

pub mod accounts;
mod address;
mod connection;
pub mod credentials;
pub mod dial;
pub mod fetch;
pub mod files;
mod hash;
pub mod http;
pub mod invitations;
mod limits;
mod link;
mod links;
mod listener;
pub mod lockdown;
pub mod login;
mod outbox;
pub mod password;
mod pictures;
pub mod preview;
mod rate;
mod rates;
pub mod relay;
pub mod sasl;
mod secret;
mod stall;
mod throttle;
pub mod thumbnail;
pub mod tls;
pub mod tokens;
mod verifier;

pub use address::place;
pub use connection::{Connection, Peer, StartTlsError, Stream};
pub use hash::Hash;
pub use limits::{ConnectionLimits, Seat};
pub use link::{Link, LinkConfig, LinkError, Turn};
pub use links::Links;
pub use listener::{ListenError, Listener, ListenerConfig, Security};
pub use outbox::Overflow;
pub use pictures::{NoPictures, Pictures};
pub use rate::{Bucket, Rate};
pub use rates::Rates;
pub use secret::Secret;
pub use throttle::{Attempt, Throttle, ThrottleConfig, Throttled};
pub use tokio_util::sync::CancellationToken;
pub use verifier::{Decoy, Params};

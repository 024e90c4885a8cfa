//! What every protocol needs of the outside.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

mod address;
mod connection;
pub mod credentials;
mod hash;
pub mod http;
mod limits;
mod link;
mod listener;
mod outbox;
pub mod password;
mod rate;
pub mod sasl;
mod secret;
mod stall;
mod throttle;
pub mod tls;
mod verifier;

pub use address::place;
pub use connection::{Connection, Peer, StartTlsError, Stream};
pub use hash::Hash;
pub use limits::{ConnectionLimits, Seat};
pub use link::{Link, LinkConfig, LinkError, Turn};
pub use listener::{ListenError, Listener, ListenerConfig, Security};
pub use outbox::Overflow;
pub use rate::{Bucket, Rate};
pub use secret::Secret;
pub use throttle::{Attempt, Throttle, ThrottleConfig, Throttled};
pub use tokio_util::sync::CancellationToken;
pub use verifier::{Decoy, Params};

//! What every protocol needs of the outside.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod credentials;
mod hash;
pub mod password;
pub mod sasl;
mod secret;
pub mod tls;
mod verifier;

pub use hash::Hash;
pub use secret::Secret;
pub use verifier::{Decoy, Params};

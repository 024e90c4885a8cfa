//! `sammen-matrix`: the Matrix client-server API.
//!
//! ```text
//! http.rs ── routes.rs (the table: one line per endpoint, typed by ruma) ── extract.rs (who asks, what) ── fault.rs (errcodes)
//!    ├── discovery.rs   what the server is and can do
//!    ├── auth/          tokens, devices
//!    ├── rooms/         rooms, what is said there, state, history
//!    ├── media/         files and pictures
//!    ├── profile/       names, pictures, looking for people
//!    ├── account_data/  what clients keep on the server
//!    ├── sync/          what clients hear
//!    ├── push/          what is worth a notification
//!    ├── keys/          end-to-end encryption: keys of devices, cross-signing, one-time keys, who has to look again
//!    ├── to_device/     messages for devices
//!    └── backup/        keys that clients encrypted for their later devices
//! chain/                rooms: conversations of core as chains of PDUs; translate/ their words
//! server.rs, bell.rs    what all requests share, and what wakes those that wait
//! names.rs              core's addresses as Matrix ids, and back
//! shelf.rs              this crate's documents
//! ```
//! Standard: the Matrix specification, client-server API, v1.16 and what newer versions made stable.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test may fail"
    )
)]

pub mod account_data;
pub mod auth;
mod backup;
pub mod bell;
pub mod chain;
mod config;
mod discovery;
pub mod extract;
pub mod fault;
mod fields;
pub mod http;
pub mod json;
pub mod keys;
pub mod media;
pub mod names;
mod oauth;
mod pages;
mod presence;
pub mod profile;
pub mod push;
mod rates;
pub mod receipts;
mod rooms;
pub mod routes;
mod server;
pub mod shelf;
pub mod sync;
pub mod to_device;
pub mod translate;
mod typing;

pub use config::Config;
pub use rates::Limits;
pub use server::Matrix;

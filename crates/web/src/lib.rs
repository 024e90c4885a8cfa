//! `sammen-web`: the node's own HTTP API, its stream, its pages without scripts, and the client.
//!
//! ```text
//! http.rs ── routes.rs (the table: method, path, need, types) ─┬─► Router, every route behind auth/ (guard)
//!    │                                                        └─► openapi.rs ─► typescript.rs
//!    ├── api/      what members do            translate.rs, person.rs, summary.rs: core's words as one reader sees them
//!    ├── admin/    what administrators do     audit.rs: every act, in the batch that does it
//!    ├── stream/   the WebSocket that tails the log
//!    ├── push/     tells browsers whose page is closed
//!    ├── pages/    invitations, without scripts
//!    └── client.rs client/dist, inside the binary
//! ```
//! A browser's session and a script's token are devices of core; see [`auth`]. What a route needs of its caller stands in
//! the table and nowhere else, so that a test can go through all of them.
//!
//! Standards: RFC 9110 (HTTP), 9457 (problems), 6455 (WebSocket), 6265bis (cookies), 6750 (bearer tokens), OpenAPI 3.1,
//! 8030, 8188, 8291, 8292 (Web Push),
//! CSP 3, Fetch metadata.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test may fail"
    )
)]

mod admin;
mod api;
pub mod audit;
pub mod auth;
mod client;
mod config;
mod extract;
pub mod http;
pub mod lockdown;
mod markdown;
pub mod openapi;
mod pages;
mod person;
pub mod problem;
pub mod push;
mod rates;
mod reports;
pub mod routes;
mod server;
mod slack;
mod stream;
mod summary;
mod translate;
pub mod types;
pub mod typescript;

pub use config::{Config, Door, Host, NoHost};
pub use pages::first;
pub use server::Web;

//! IRC for Sammen: the client side (RFC 1459, RFC 2812, modern.ircdocs.horse, IRCv3).
//!
//! ```text
//! socket ─► connection ─► wire ─► session ─► commands/<verb> ─► translate::inward ─► core
//!    ▲                                                                                │
//!    └── connection ◄── wire ◄── translate::out ◄── deliver ◄── the session's mailbox ┘
//! ```
//!
//! The nick is the account's; one nick may have many clients. JOIN and PART are membership: who disconnects stays in
//! the room. A channel `#town` is the room `town`, the same that XMPP apps are in. A message's id is core's event id.

mod commands;
pub mod config;
pub mod connection;
mod deliver;
pub mod filehost;
mod gather;
mod leave;
mod login;
mod modes;
mod multiline;
pub mod names;
mod occupancy;
mod pace;
mod refresh;
mod refusal;
mod registration;
mod replay;
mod reply;
pub mod server;
pub mod session;
pub mod translate;
pub mod websocket;
pub mod whole;
pub mod wire;

pub use config::Config;
pub use connection::{serve, serve_stream};
pub use server::Server;
pub use session::{Client, Session};

/// What VERSION says.
pub const VERSION: &str = concat!("sammen-", env!("CARGO_PKG_VERSION"));

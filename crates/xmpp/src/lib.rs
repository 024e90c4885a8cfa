//! XMPP for Sammen: clients (RFC 6120, RFC 6121, RFC 7395) and other servers (see [`s2s`]).
//!
//! ```text
//! socket → c2s/connection → wire → c2s/negotiation → Client → stanza.rs → feature.rs handlers → core
//! core's mailbox → deliver.rs → Client's queue (stream management) → c2s/connection → socket
//! ```

#![allow(
    clippy::result_large_err,
    reason = "a stanza error is rare and answered at once: a box would only add noise"
)]
#![allow(
    clippy::type_complexity,
    reason = "the table of features is made of function pointers, each written out once"
)]

pub mod access;
pub mod address;
pub mod avatar;
pub mod blocking;
pub mod bookmarks;
pub mod bosh;
pub mod c2s;
pub mod caps;
pub mod carbons;
pub mod client;
pub mod commands;
pub mod config;
pub mod deliver;
pub mod disco;
pub mod elsewhere;
pub mod error_map;
pub mod feature;
pub mod host_meta;
pub mod http;
pub mod iq;
pub mod live_stanza;
pub mod mam;
pub mod message;
pub mod muc;
pub mod node_resource;
pub mod pep;
pub mod pictures;
pub mod presence;
pub mod private;
pub mod register;
pub mod roster;
pub mod s2s;
pub mod server;
pub mod services;
pub mod small;
pub mod stanza;
pub mod time;
pub mod translate;
pub mod upload;
pub mod vcard;
pub mod websocket;
pub mod wire;

pub use c2s::connection::serve;
pub use client::Client;
pub use config::Config;
pub use server::Server;

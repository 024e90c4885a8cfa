//! XMPP for Sammen: the client side (RFC 6120, RFC 6121, RFC 7395).
//!
//! ```text
//! socket → c2s/connection → wire → c2s/session (negotiation) → Client → stanza.rs → feature.rs handlers → core
//! core's mailbox → deliver.rs → Client's queue (stream management) → c2s/connection → socket
//! ```

pub mod address;
pub mod c2s;
pub mod caps;
pub mod client;
pub mod config;
pub mod error_map;
pub mod feature;
pub mod iq;
pub mod server;
pub mod wire;

pub use client::Client;
pub use config::Config;
pub use server::Server;

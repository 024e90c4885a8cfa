//! The Sammen node as a program: command line, configuration, wiring. The only crate that knows all others.
//!
//! ```text
//! main ─▶ cli ─┬─▶ trial ─┐
//!              ├─▶ serve ─┴─▶ run: store ─▶ Node ─▶ Accounts ─▶ protocols ─▶ listeners, admin socket, metrics
//!              └─▶ account, room, backup, check ─▶ admin: through the running node's socket, or on the store itself
//! ```

pub mod admin;
pub mod card;
pub mod check;
pub mod cli;
pub mod config;
pub mod federation;
pub mod limits;
pub mod listen;
pub mod logging;
pub mod metered;
pub mod metrics;
pub mod notify;
pub mod print;
pub mod protocols;
pub mod run;
pub mod serve;
pub mod suggest;
pub mod trial;
pub mod web_host;

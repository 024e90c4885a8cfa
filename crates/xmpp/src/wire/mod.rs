//! Bytes ↔ types of XMPP: no IO, no clock, no account; what strangers send arrives here first.
//!
//! ```text
//! bytes → stream (frames) → parse → Element → session
//! bytes ← write  ← Element | Payload ← session
//! ```
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

pub mod body;
mod chars;
pub mod element;
pub mod error;
pub mod fault;
pub mod framing;
pub mod fuzz;
pub mod jid;
pub mod ns;
mod parse;
pub mod payload;
mod prepare;
mod scan;
pub mod stream;
pub mod stream_error;
pub mod write;

pub use element::{Attr, Element, Node, Str};
pub use error::{Condition, ErrorType, StanzaError};
pub use fault::StreamFault;
pub use jid::{Jid, JidError};
pub use payload::Payload;
pub use stream::{Frame, Limits, StreamOpen, StreamParser};
pub use stream_error::{StreamCondition, StreamError};
pub use write::Context;

//! The narrow waist of Sammen: people, conversations, events, permissions, delivery.
//!
//! No socket, no SQL, no wire format. Protocol crates bring core's words in and take them out; a store keeps them.

pub mod account;
pub mod address;
pub mod blob;
pub mod clock;
pub mod conversation;
pub mod document;
pub mod event;
pub mod ids;
pub mod member;
pub mod network;
pub mod store;

pub use account::{Account, Device, Switches};
pub use address::{Address, AddressParts, Domain, Name, NetworkName, RoomName};
pub use clock::{Clock, SystemClock};
pub use conversation::{Conversation, ConversationKey, Home, Settings};
pub use event::{Content, Event, Message, Native, Protocol};
pub use ids::{ConversationId, DeviceId, EventId, Pos, Seq, SessionId, Timestamp};
pub use member::{Member, Membership, Role, Standing};

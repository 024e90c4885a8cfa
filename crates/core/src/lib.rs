//! The narrow waist of Sammen: people, conversations, events, permissions, delivery.
//!
//! No socket, no SQL, no wire format. Protocol crates bring core's words in and take them out; a store keeps them.

pub mod account;
pub mod address;
pub mod blob;
pub mod clock;
pub mod contact;
pub mod conversation;
pub mod convo;
mod directory;
pub mod document;
pub mod encryption;
pub mod event;
pub mod history;
pub mod ids;
pub mod limits;
pub mod live;
pub mod mailbox;
pub mod member;
pub mod memory;
pub mod network;
pub mod node;
pub mod ops;
pub mod outbox;
pub mod permission;
pub mod principal;
pub mod readers;
pub mod refusal;
pub mod sent;
pub mod setting;
mod shelves;
pub mod store;
pub mod token;
mod tombstones;
pub mod tx;
pub mod upkeep;
pub mod words;
mod writer;

pub use account::{Account, Credential, Device, Switches};
pub use address::{Address, AddressParts, Domain, Name, NetworkName, RoomName};
pub use clock::{Clock, SystemClock};
pub use conversation::{Conversation, ConversationKey, Home, Settings};
pub use convo::Convo;
pub use event::{Content, Event, Message, Native, Protocol};
pub use ids::{ConversationId, DeviceId, EventId, Pos, Seq, SessionId, Timestamp};
pub use mailbox::{CloseReason, Delivery, Mailbox};
pub use member::{Member, Membership, Role, Standing};
pub use node::{Node, Options};
pub use principal::{Origin, Principal};
pub use refusal::{Outcome, Refusal};
pub use sent::Sent;

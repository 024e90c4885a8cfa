//! A room of Matrix is a conversation of core, shown as a chain of PDUs.
//!
//! ```text
//! rooms.rs ── all rooms: of an account, by id, opening
//!   ├── room.rs       one: its links, its state now and earlier, where what is      (documents of the node: names.rs)
//!   ├── scribe.rs     follows core's log and adds to chains: wrote.rs what people wrote, people.rs who comes and goes;
//!   │                 begin.rs how they begin, reconcile.rs what the log does not tell,
//!   │                 levels.rs who may what
//!   ├── add.rs        what clients add without a word of core's
//!   ├── sheet.rs      new links: the room's rules, hashes, signatures                (link.rs, key.rs)
//!   ├── late.rs       history that came later, beside the chain
//!   ├── state.rs      state events by type and key
//!   ├── sight.rs      who sees what
//!   └── render.rs     links as clients get them
//! ```

mod add;
mod begin;
mod key;
mod late;
pub mod levels;
mod link;
mod names;
mod people;
mod reconcile;
mod render;
mod room;
mod rooms;
mod scribe;
mod sheet;
mod sight;
mod state;
mod wrote;

pub use begin::write_new;
pub use late::Late;
pub use link::{Core, Link, Relates};
pub use names::MEMBER;
pub use render::STRIPPED;
pub use room::RoomRecord;
pub use room::{Direction, Room};
pub use rooms::{Place, Rooms};
pub use sheet::{Child, Draft, Frame, Head, PDU, Sheet, Unfit};
pub use sight::Sight;
pub use state::{State, membership};

//! Under which names a chain's documents stand on the node's shelf.

/// Namespace of the rooms, by name.
pub const ROOMS: &str = "matrix.room";
/// Namespace of which room shows a conversation now, by the conversation's number.
pub const CURRENT: &str = "matrix.current";
/// Namespace of the names of rooms, by room id.
pub const ROOM_IDS: &str = "matrix.roomid";
/// Namespace on an account's shelf: where it stands in which room, by the room's name.
pub const MEMBER: &str = "matrix.member";

/// Namespace of a chain's links, the newest first.
pub fn chain(room: &str) -> String {
    format!("matrix.chain.{room}")
}

/// Namespace of where which event is: by its id, and by the id of core's event behind a `~`.
pub fn ids(room: &str) -> String {
    format!("matrix.id.{room}")
}

/// Namespace of the current state: where it is, by type and state key.
pub fn state(room: &str) -> String {
    format!("matrix.state.{room}")
}

/// Namespace of what is related to which event.
pub fn children(room: &str) -> String {
    format!("matrix.child.{room}")
}

/// Key of a link: so that the newest is the first.
pub fn place(ordinal: u64) -> String {
    format!("{:016x}", u64::MAX - ordinal)
}

/// The ordinal of a key.
pub fn ordinal(place: &str) -> Option<u64> {
    Some(u64::MAX - u64::from_str_radix(place, 16).ok()?)
}

/// Key of a state event.
pub fn state_key(kind: &str, key: &str) -> String {
    format!("{kind}\u{1}{key}")
}

/// Key of a relation.
pub fn child(target: u64, child: u64) -> String {
    format!("{target:016x}{child:016x}")
}

/// Key of what a device sent under a transaction id, where core does not know it.
pub fn transaction(device: u64, id: &str) -> String {
    format!("x{device}/{id}")
}

/// Namespace of the roots of threads, by ordinal; how a thread is called elsewhere stands behind a `~`.
pub fn threads(room: &str) -> String {
    format!("matrix.thread.{room}")
}

/// Key of a root.
pub fn root(ordinal: u64) -> String {
    format!("{ordinal:016x}")
}

//! People, plays, a virtual clock, a scripted network and the store conformance suite.

pub mod clock;
pub mod network;
pub mod people;
pub mod store_suite;

pub use clock::TestClock;
pub use network::ScriptedNetwork;
pub use people::{Person, Stage};

//! Plays between people on the IRC side of a node in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

mod filehost;
mod history;
mod hostile;
mod long;
mod messages;
mod metadata;
mod people;
mod rooms;
mod settings;
mod sign_in;
mod translation;
mod websocket;
mod world;

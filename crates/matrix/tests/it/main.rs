//! Plays of the Matrix side without a socket.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod chain;
mod devices;
mod discovery;
#[allow(dead_code, reason = "plays of other parts use the rest")]
mod house;
mod keys;
mod media;
mod profile;
mod rooms;
mod sign_in;
mod sync_kept;
mod tokens;
mod verify;

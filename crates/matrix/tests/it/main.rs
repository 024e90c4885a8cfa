//! Plays of the Matrix side without a socket.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod account;
mod chain;
mod devices;
mod discovery;
mod every;
#[allow(dead_code, reason = "plays of other parts use the rest")]
mod house;
mod keys;
mod knock;
mod late;
mod media;
mod oauth;
mod others;
mod profile;
mod push;
mod ranks;
mod rates;
mod register;
mod relations;
mod reports;
mod rooms;
mod sight;
mod sign_in;
mod sync_kept;
mod sync_rooms;
mod sync_sliding;
mod tokens;
mod verify;

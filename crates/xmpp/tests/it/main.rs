//! Plays between people with XMPP clients, over loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod archive;
mod contacts;
mod messages;
mod people;
mod resumption;
mod streams;

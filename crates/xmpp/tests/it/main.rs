//! Plays between people with XMPP clients, over loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod across;
mod archive;
mod bosh;
mod commands;
mod contacts;
mod desk;
mod elsewhere;
mod federation;
mod meaning;
mod messages;
mod muc;
mod people;
mod pep;
mod pep_authorize;
mod pep_limits;
mod register;
mod resumption;
mod signin;
mod signup;
mod streams;
mod tables;
mod upload;
mod web;

//! Plays of the web side: people who ask over HTTP, without a socket.

mod contract;
mod house;
mod invitations;
mod permission;
mod recovery;
mod rooms;
mod sign_in;
mod talking;

//! What can be done: one file per subject, each a few functions that run inside the writer.

pub mod accounts;
pub mod announce;
pub mod contacts;
pub mod erase;
pub mod files;
pub mod home;
pub mod presence;
pub mod projection;
pub mod reports;
pub mod rooms;
pub mod send;
pub mod sessions;

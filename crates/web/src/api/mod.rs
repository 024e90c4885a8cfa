//! The routes, by what they are about.

mod account;
mod blocking;
pub(crate) mod contacts;
pub(crate) mod conversations;
pub(crate) mod credentials;
pub(crate) mod devices;
mod entries;
mod export;
mod files;
pub(crate) mod hooks;
pub(crate) mod invitations;
mod lost;
pub(crate) mod members;
mod previews;
pub(crate) mod profile;
mod push;
mod readers;
pub(crate) mod recovery;
pub(crate) mod reports;
pub(crate) mod rooms;
mod search;
mod session;
mod timeline;

use crate::routes::Table;

/// Adds all routes but those of administration.
pub fn routes(table: &mut Table) {
    session::routes(table);
    account::routes(table);
    profile::routes(table);
    devices::routes(table);
    credentials::routes(table);
    recovery::routes(table);
    push::routes(table);
    lost::routes(table);
    export::routes(table);
    conversations::routes(table);
    timeline::routes(table);
    entries::routes(table);
    previews::routes(table);
    readers::routes(table);
    search::routes(table);
    files::routes(table);
    rooms::routes(table);
    members::routes(table);
    contacts::routes(table);
    blocking::routes(table);
    reports::routes(table);
    hooks::routes(table);
    invitations::routes(table);
}

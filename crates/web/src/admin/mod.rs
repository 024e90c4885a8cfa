//! Administration: for administrators who signed in with their passphrase. No route here shows what people wrote, and
//! every act is noted in the audit log in the batch that does it.

mod accounts;
mod invitations;
mod node;
mod reports;
mod rooms;
mod sessions;

use crate::routes::Table;

/// Adds the routes.
pub fn routes(table: &mut Table) {
    accounts::routes(table);
    rooms::routes(table);
    sessions::routes(table);
    invitations::routes(table);
    reports::routes(table);
    node::routes(table);
}

/// Entries of one page.
fn most(asked: Option<usize>) -> usize {
    asked.unwrap_or(50).clamp(1, 200)
}

//! Notifications (client-server API, "Push Notifications"): rules, what they say of an event, unread counts, pushers.

pub mod evaluate;
pub mod notifications;
pub mod pushers;
pub mod rules;
pub mod unread;

use crate::routes::Table;

pub use pushers::Pushers;
pub use rules::Rules;
pub use unread::Unread;

/// The endpoints.
pub fn routes(table: &mut Table) {
    rules::routes(table);
    pushers::routes(table);
    notifications::routes(table);
}

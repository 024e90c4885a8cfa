//! Notifications (client-server API, "Push Notifications"): rules, what they say of an event, unread counts, pushers.

pub mod evaluate;
pub mod rules;
pub mod unread;

pub use rules::Rules;
pub use unread::Unread;

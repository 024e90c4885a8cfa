//! Notifications (client-server API, "Push Notifications"): rules, what they say of an event, unread counts, pushers.

pub mod rules;

pub use rules::Rules;

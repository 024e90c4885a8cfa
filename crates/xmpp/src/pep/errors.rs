//! Errors of publish-subscribe (XEP-0060 §16.3): stanza errors with their own conditions.

use crate::wire::{Condition, Element, ErrorType, StanzaError, ns};

fn with(condition: Condition, app: &'static str) -> StanzaError {
    StanzaError::new(condition).with_app(Element::new(ns::PUBSUB_ERRORS, app))
}

/// §7.1.5: the node is not as the publisher needs it.
pub fn precondition() -> StanzaError {
    with(Condition::Conflict, "precondition-not-met")
}

/// §8.1.2: an access model that this node does not have.
pub fn unsupported_access() -> StanzaError {
    with(Condition::NotAcceptable, "unsupported-access-model")
}

/// §8.2.3.3: a value that means nothing.
pub fn bad_option() -> StanzaError {
    StanzaError::new(Condition::NotAcceptable)
        .with_text("a field of the form has a value that means nothing here")
}

/// No node was named.
pub fn node_required() -> StanzaError {
    with(Condition::BadRequest, "nodeid-required")
}

/// §7.2.3.4: no item was named.
pub fn item_required() -> StanzaError {
    with(Condition::BadRequest, "item-required")
}

/// §7.1.3.6: an item without a payload.
pub fn payload_required() -> StanzaError {
    with(Condition::BadRequest, "payload-required")
}

/// §7.1.3.5: more than one payload, or one of another namespace.
pub fn invalid_payload() -> StanzaError {
    with(Condition::BadRequest, "invalid-payload")
}

/// §7.1.3.4.
pub fn payload_too_big() -> StanzaError {
    with(Condition::NotAcceptable, "payload-too-big")
}

/// No such node or item.
pub fn not_found() -> StanzaError {
    StanzaError::new(Condition::ItemNotFound)
}

/// The asker's affiliation does not allow it.
pub fn forbidden() -> StanzaError {
    StanzaError::new(Condition::Forbidden)
}

/// §6.5.9.2: only whom the owner let subscribe.
pub fn not_authorized() -> StanzaError {
    with(Condition::NotAuthorized, "not-subscribed")
}

/// §6.1.3.7: the owner has not said anything yet.
pub fn pending() -> StanzaError {
    with(Condition::NotAuthorized, "pending-subscription")
}

/// §6.5.9.4: one has to see the owner's presence.
pub fn presence_required() -> StanzaError {
    with(Condition::NotAuthorized, "presence-subscription-required")
}

/// §6.5.9.5: one has to be in certain groups of the owner's roster.
pub fn not_in_group() -> StanzaError {
    with(Condition::NotAuthorized, "not-in-roster-group")
}

/// §6.5.9.6: the owner names who may.
pub fn closed_node() -> StanzaError {
    with(Condition::NotAllowed, "closed-node")
}

/// §6.1.3.1: only oneself can be subscribed.
pub fn invalid_jid() -> StanzaError {
    with(Condition::BadRequest, "invalid-jid")
}

/// §6.2.3.2.
pub fn not_subscribed() -> StanzaError {
    with(Condition::UnexpectedRequest, "not-subscribed").with_type(ErrorType::Cancel)
}

/// A feature that this node does not have.
pub fn unsupported(feature: &'static str) -> StanzaError {
    let app = Element::new(ns::PUBSUB_ERRORS, "unsupported").attr("feature", feature);
    StanzaError::new(Condition::FeatureNotImplemented).with_app(app)
}

/// More than an account may have.
pub fn too_many(what: &'static str) -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_text(what)
}

// What the API's strings mean.

/** `alice@example.org`, `#town@example.org`, `xmpp:bob@other.net`. */
export type Address = string;
/** Opaque; `direct:ADDRESS` before the first message. */
export type ConversationId = string;
/** An entry's id, which is a cursor too. */
export type EventId = string;

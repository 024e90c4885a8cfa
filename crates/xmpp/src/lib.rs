//! XMPP for Sammen: the client side (RFC 6120, RFC 6121, RFC 7395).

pub mod wire;

//! IRC, the client side: bytes and types of the protocol in [`wire`].

pub mod wire;

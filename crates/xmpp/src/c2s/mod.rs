//! A client's stream: negotiation, queues, stream management, the connection.

pub mod inbound;
pub mod out;

//! A client's stream: negotiation, queues, stream management, the connection.

pub mod auth;
pub mod bind;
pub mod bind2;
pub mod connection;
pub mod drive;
pub mod exchange;
pub mod inbound;
pub mod lag;
pub mod negotiation;
pub mod out;
pub mod sasl2;
pub mod signup;
pub mod sm;
pub mod upgrade;

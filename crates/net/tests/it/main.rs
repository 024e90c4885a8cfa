//! Plays between clients and what `sammen-net` offers them, over loopback.

mod accounts;
mod client;
mod full_disk;
mod http;
mod listener;
mod sasl;
mod tls;
mod world;

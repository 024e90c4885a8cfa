//! The binary from outside: started, administered, killed, backed up; and what the repository says about itself.

mod config;
mod endpoints;
mod imports;
mod node;
mod plays;
mod reload;
mod standards;

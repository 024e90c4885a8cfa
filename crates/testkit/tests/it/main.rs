//! Plays on core itself, over the in-memory store.

mod direct;
mod elsewhere;
mod erasure;
mod partings;
mod rooms;
mod store;

use std::sync::Arc;

use sammen_core::memory::MemoryStore;
use sammen_testkit::Stage;

fn stage() -> Stage {
    Stage::on(Arc::new(MemoryStore::new()))
}

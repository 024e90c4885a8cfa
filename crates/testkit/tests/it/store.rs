//! The in-memory store does what every store must.

use sammen_core::memory::MemoryStore;
use sammen_testkit::store_suite::Fixture;

fn make() -> Fixture {
    Fixture {
        store: Box::new(MemoryStore::new()),
        keep: Box::new(()),
    }
}

sammen_testkit::store_suite!(crate::store::make);

//! SQLite does what every store must, and what only a store on disk must.

mod backup;
mod differential;
mod erasure;
mod folder;
mod golden;

use sammen_store::SqliteStore;
use sammen_testkit::store_suite::Fixture;

fn make() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    Fixture {
        store: Box::new(SqliteStore::open(folder.path().join("data")).unwrap()),
        keep: Box::new(folder),
    }
}

mod sqlite {
    sammen_testkit::store_suite!(crate::make);
}

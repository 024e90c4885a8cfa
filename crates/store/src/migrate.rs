//! Brings a database of any earlier version up to this one, step by step, each in a transaction of its own.

use rusqlite::{Connection, params};
use sammen_core::store::{StoreError, StoreResult};

use crate::error;

/// One step: from version `n` (its place in the list) to `n + 1`.
pub struct Step {
    /// What it does to the tables.
    pub sql: &'static str,
    /// What SQL alone can't do.
    pub then: Option<fn(&Connection) -> rusqlite::Result<()>>,
}

/// All steps from an empty file on. Only ever appended to.
pub const STEPS: &[Step] = &[
    Step {
        sql: include_str!("migrations/0001.sql"),
        then: Some(new_epoch),
    },
    Step {
        sql: include_str!("migrations/0002.sql"),
        then: None,
    },
];

/// A random epoch: what restoring a backup begins.
pub fn new_epoch(db: &Connection) -> rusqlite::Result<()> {
    // 63 bits, since SQLite's integers are signed.
    let epoch = (rand::random::<u64>() >> 1) as i64;
    db.execute(
        "INSERT INTO meta (name, value) VALUES ('epoch', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1",
        params![epoch],
    )?;
    Ok(())
}

/// The version of this program's tables.
pub fn newest() -> i64 {
    STEPS.len() as i64
}

/// The version of a database.
pub fn version(db: &Connection) -> StoreResult<i64> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(error::reading)
}

/// Takes the steps that are missing, up to version `upto`.
pub fn migrate_to(db: &mut Connection, upto: i64) -> StoreResult<()> {
    let at = version(db)?;
    if at > newest() {
        return Err(StoreError::Fatal(format!(
            "the data folder is of version {at}, made by a newer Sammen; this one knows up to {}",
            newest()
        )));
    }
    for (n, step) in STEPS.iter().enumerate() {
        let reached = n as i64 + 1;
        if reached <= at || reached > upto {
            continue;
        }
        let mut steps = || -> rusqlite::Result<()> {
            let tx = db.transaction()?;
            tx.execute_batch(step.sql)?;
            if let Some(then) = step.then {
                then(&tx)?;
            }
            tx.pragma_update(None, "user_version", reached)?;
            tx.commit()
        };
        steps().map_err(|e| error::writing(e, || false))?;
    }
    Ok(())
}

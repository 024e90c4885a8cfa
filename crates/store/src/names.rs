//! Authors by number: the log and the aliases carry a small number instead of an address.

use std::collections::HashMap;

use parking_lot::RwLock;
use rusqlite::{Connection, OptionalExtension as _, params};
use sammen_core::Address;
use sammen_core::store::StoreResult;

use crate::error;

/// More names than this are not kept in memory.
const MOST: usize = 200_000;

/// What of the table `name` is in memory.
#[derive(Default)]
pub struct Names {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    by_number: HashMap<i64, Address>,
    by_address: HashMap<Address, i64>,
}

impl Names {
    /// The address with this number.
    pub fn address(&self, db: &Connection, number: i64) -> StoreResult<Address> {
        if let Some(address) = self.known.read().by_number.get(&number) {
            return Ok(address.clone());
        }
        let text: String = db
            .prepare_cached("SELECT address FROM name WHERE id = ?1")
            .and_then(|mut s| s.query_row(params![number], |row| row.get(0)))
            .map_err(error::reading)?;
        let address = Address::new(&text).map_err(error::record)?;
        self.learn(number, &address);
        Ok(address)
    }

    /// The number of this address, if any event or alias has it.
    pub fn number(&self, db: &Connection, address: &Address) -> StoreResult<Option<i64>> {
        if let Some(number) = self.known.read().by_address.get(address) {
            return Ok(Some(*number));
        }
        let number = db
            .prepare_cached("SELECT id FROM name WHERE address = ?1")
            .and_then(|mut s| {
                s.query_row(params![address.as_str()], |row| row.get(0))
                    .optional()
            })
            .map_err(error::reading)?;
        if let Some(number) = number {
            self.learn(number, address);
        }
        Ok(number)
    }

    /// What is committed and may be kept in memory.
    pub fn learn(&self, number: i64, address: &Address) {
        let mut known = self.known.write();
        if known.by_number.len() >= MOST {
            *known = Known::default();
        }
        known.by_number.insert(number, address.clone());
        known.by_address.insert(address.clone(), number);
    }

    /// Forgets all: a batch was rolled back, and numbers that were read inside it may not exist.
    pub fn forget(&self) {
        *self.known.write() = Known::default();
    }

    /// From memory alone.
    pub fn remembered(&self, address: &Address) -> Option<i64> {
        self.known.read().by_address.get(address).copied()
    }
}

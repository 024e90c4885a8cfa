//! Connections that read: a few, lent out one at a time, each with its prepared statements.

use std::ops::Deref;
use std::path::PathBuf;

use parking_lot::{Condvar, Mutex};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use sammen_core::store::StoreResult;

use crate::error;

/// Most connections at once; a further reader waits for one.
const MOST: usize = 8;

/// The connections.
pub struct Pool {
    path: PathBuf,
    idle: Mutex<Idle>,
    returned: Condvar,
}

#[derive(Default)]
struct Idle {
    free: Vec<Connection>,
    lent: usize,
}

/// A connection on loan.
pub struct Reader<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Pool {
    /// Connections to this database.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    /// Takes a connection, waiting for one if all are lent. Nobody may take a second one while holding one.
    pub fn reader(&self) -> StoreResult<Reader<'_>> {
        let mut idle = self.idle.lock();
        while idle.free.is_empty() && idle.lent >= MOST {
            self.returned.wait(&mut idle);
        }
        let connection = match idle.free.pop() {
            Some(connection) => connection,
            None => open_reader(&self.path).map_err(error::reading)?,
        };
        idle.lent += 1;
        Ok(Reader {
            pool: self,
            connection: Some(connection),
        })
    }
}

fn open_reader(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "query_only", true)?;
    keep_plans(&connection)?;
    Ok(connection)
}

/// Keeps statements as they were prepared. Without it, this SQLite (built with STAT4) prepares a statement anew each
/// time a bound is set that the plan could depend on: two thirds of the cost of a small reading.
pub fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
}

impl Deref for Reader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("a reader holds its connection until it is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock();
        idle.lent -= 1;
        // A reading that broke off inside a transaction would hold its snapshot for ever.
        idle.free
            .extend(self.connection.take().filter(Connection::is_autocommit));
        drop(idle);
        self.pool.returned.notify_one();
    }
}

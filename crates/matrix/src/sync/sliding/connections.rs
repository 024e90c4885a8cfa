//! What clients were told on their connections: the last two answers of each, so that one that was lost can be asked for
//! again. Bounded, and forgotten after a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ruma::UInt;
use sammen_core::token::Token;
use sammen_core::{DeviceId, Seq};
use tokio::time::Instant;

use super::Wanted;

/// Connections that are remembered, and for how long.
const MOST: usize = 4_096;
const STANDS: Duration = Duration::from_secs(3_600);
/// Connections of one device.
const OF_ONE: usize = 8;

/// The connections.
#[derive(Default)]
pub struct Connections(Mutex<HashMap<(DeviceId, String), Connection>>);

struct Connection {
    used: Instant,
    told: Vec<Arc<Told>>,
}

/// What was told of a room.
#[derive(Clone, Debug)]
pub struct Known {
    /// Everything up to here.
    pub seen: Seq,
    /// What was wanted of it.
    pub(in super::super) wanted: Wanted,
}

/// Rooms by name.
pub type Rooms = HashMap<String, Known>;

/// What an answer told, beside what all before it did.
pub struct Sent {
    /// Of rooms.
    pub rooms: Rooms,
    /// How long lists are.
    pub sizes: Vec<(String, UInt)>,
}

/// What a client knows by an answer.
#[derive(Default)]
pub struct Told {
    number: u64,
    /// Up to where.
    pub token: String,
    /// Of rooms.
    pub sent: Arc<Rooms>,
    /// How long lists were.
    pub sizes: Vec<(String, UInt)>,
}

impl Connections {
    /// What the answer told that gave this `pos`.
    pub fn at(&self, key: &(DeviceId, String), pos: &str) -> Option<Arc<Told>> {
        let (number, token) = pos.split_once('/')?;
        let number: u64 = number.parse().ok()?;
        let mut all = self.0.lock();
        let connection = all.get_mut(key)?;
        if connection.used.elapsed() > STANDS {
            all.remove(key);
            return None;
        }
        connection.used = Instant::now();
        let mut told = connection.told.iter();
        told.find(|t| t.number == number && t.token == token)
            .cloned()
    }

    /// Remembers an answer to one who knew `before`; its `pos`.
    pub fn put(
        &self,
        key: (DeviceId, String),
        before: &Arc<Told>,
        now: Token,
        sent: Sent,
    ) -> String {
        let mut all = self.0.lock();
        if !all.contains_key(&key) {
            all.retain(|_, c| c.used.elapsed() <= STANDS);
            let same = all.iter().filter(|(other, _)| other.0 == key.0);
            let oldest = same.min_by_key(|(_, c)| c.used).map(|(k, _)| k.clone());
            let many = all.keys().filter(|other| other.0 == key.0).count() >= OF_ONE;
            if let (true, Some(oldest)) = (many, oldest) {
                all.remove(&oldest);
            }
            if all.len() >= MOST {
                all.clear();
            }
        }
        let connection = all.entry(key).or_insert_with(|| Connection {
            used: Instant::now(),
            told: Vec::new(),
        });
        connection.used = Instant::now();
        let number = connection.told.iter().map(|t| t.number).max().unwrap_or(0) + 1;
        // The client has the answer that it asks behind: what came before that one is no longer needed.
        connection.told.retain(|t| t.number == before.number);
        let told = Told {
            number,
            token: now.encode(),
            sent: Arc::new(sent.rooms),
            sizes: sent.sizes,
        };
        let pos = format!("{number}/{}", told.token);
        connection.told.push(Arc::new(told));
        pos
    }
}

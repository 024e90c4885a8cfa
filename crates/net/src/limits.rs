//! How many connections there may be, in total and from one place.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::address::place;

/// More connections than any machine has.
const MOST: usize = 1 << 28;

/// Limits that listeners may share.
pub struct ConnectionLimits {
    total: Arc<Semaphore>,
    per_place: AtomicUsize,
    most: AtomicUsize,
    places: Mutex<HashMap<IpAddr, usize>>,
}

impl ConnectionLimits {
    /// At most `total` connections, and `per_place` from one IPv4 address or IPv6 /64.
    pub fn new(total: usize, per_place: usize) -> Arc<Self> {
        let most = total.min(MOST);
        Arc::new(Self {
            total: Arc::new(Semaphore::new(most)),
            per_place: per_place.into(),
            most: most.into(),
            places: Mutex::default(),
        })
    }

    /// Other numbers from now on. Connections that are too many then stay; new ones wait until enough of them have gone.
    /// Needs a runtime.
    pub fn change(&self, total: usize, per_place: usize) {
        self.per_place.store(per_place, Ordering::Relaxed);
        let most = total.min(MOST);
        let before = self.most.swap(most, Ordering::Relaxed);
        if most >= before {
            self.total.add_permits(most - before);
            return;
        }
        let (total, gone) = (self.total.clone(), before - most);
        tokio::spawn(async move {
            let gone = u32::try_from(gone).unwrap_or(u32::MAX);
            if let Ok(seats) = total.acquire_many_owned(gone).await {
                seats.forget();
            }
        });
    }

    /// Waits until one more connection may be. Whoever connects meanwhile waits in the kernel's queue.
    pub(crate) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.total).acquire_owned().await.ok()
    }

    /// A seat for a connection from `address`, or `None` where its place has too many.
    pub(crate) fn seat(
        self: &Arc<Self>,
        room: OwnedSemaphorePermit,
        address: IpAddr,
    ) -> Option<Seat> {
        let place = place(address);
        let mut places = self.places.lock();
        let taken = places.entry(place).or_insert(0);
        if *taken >= self.per_place.load(Ordering::Relaxed) {
            return None; // `taken` is over 0, or nobody may connect at all.
        }
        *taken += 1;
        Some(Seat {
            limits: Arc::clone(self),
            place,
            _room: room,
        })
    }

    /// Connections from one place now.
    pub fn from(&self, address: IpAddr) -> usize {
        self.places
            .lock()
            .get(&place(address))
            .copied()
            .unwrap_or(0)
    }

    /// Connections that could still be taken.
    pub fn free(&self) -> usize {
        self.total.available_permits()
    }
}

/// Counts as one connection until dropped.
pub struct Seat {
    limits: Arc<ConnectionLimits>,
    place: IpAddr,
    _room: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut places = self.limits.places.lock();
        if let Some(taken) = places.get_mut(&self.place) {
            *taken -= 1;
            if *taken == 0 {
                places.remove(&self.place); // So that the map is never longer than there are connections.
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_has_its_own_limit_and_seats_come_back() {
        let limits = ConnectionLimits::new(3, 2);
        let (home, away) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let one = limits.seat(limits.room().await.unwrap(), home);
        let two = limits.seat(limits.room().await.unwrap(), home);
        assert!(one.is_some() && two.is_some());
        assert!(limits.seat(limits.room().await.unwrap(), home).is_none());
        assert_eq!(limits.free(), 1, "a refused connection holds nothing");
        let three = limits.seat(limits.room().await.unwrap(), away);
        assert_eq!((limits.free(), limits.from(home)), (0, 2));
        drop((one, two, three));
        assert_eq!((limits.free(), limits.from(home)), (3, 0));
        assert!(limits.places.lock().is_empty());
    }
}

//! One sender, many receivers: what rooms of both protocols share. Closed window or fixed schedule.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::STALLED;
use crate::conn::Tap;
use crate::latency::Latencies;
use crate::marker::Markers;
use crate::pace::Pace;
use crate::seen::{Seen, Verdict};

/// How a run is driven.
#[derive(Clone, Copy)]
pub struct Drive {
    /// Messages.
    pub count: u32,
    /// Messages that may be under way (a message is under way until its last receiver has it).
    pub window: u32,
    /// Messages a second; 0 for a closed window.
    pub rate: f64,
    /// How long to wait for arrivals after the last message has left.
    pub patience: Duration,
}

/// What came out.
pub struct Fanned {
    /// When the last delivery arrived.
    pub ended: Instant,
    /// Deliveries.
    pub deliveries: u64,
    /// Exactly once, in order?
    pub verdict: Verdict,
    /// Time of each delivery since its message left, or was meant to.
    pub latencies: Latencies,
}

struct Shared {
    times: RefCell<Vec<Instant>>,
    arrivals: RefCell<Vec<u32>>,
    complete: Cell<u32>,
    deliveries: Cell<u64>,
    last: Cell<Instant>,
    latencies: RefCell<Latencies>,
    moved: Notify,
    markers: Markers,
}

/// Sends on `sender` and waits until each of `receivers` (which may include the sender) has everything. With `drain` the
/// sender gets no copy and is only kept empty. `write` makes a message of its number.
pub async fn run(
    sender: Rc<Tap>,
    receivers: &[Rc<Tap>],
    drain: bool,
    drive: Drive,
    write: impl Fn(&mut Vec<u8>, u32),
) -> io::Result<Fanned> {
    let many = receivers.len() as u32;
    let now = Instant::now();
    let shared = Rc::new(Shared {
        times: RefCell::new(vec![now; drive.count as usize]),
        arrivals: RefCell::new(vec![0; drive.count as usize]),
        complete: Cell::new(0),
        deliveries: Cell::new(0),
        last: Cell::new(now),
        latencies: RefCell::default(),
        moved: Notify::new(),
        markers: Markers::new(),
    });
    let mut tasks = Vec::new();
    let seen: Vec<_> = receivers
        .iter()
        .map(|_| Rc::new(RefCell::new(Seen::new(drive.count))))
        .collect();
    for (tap, seen) in receivers.iter().zip(&seen) {
        let (tap, seen, shared) = (tap.clone(), seen.clone(), shared.clone());
        tasks.push(tokio::task::spawn_local(async move {
            let mut pong = Vec::new();
            let look = |bytes: &[u8], pong: &mut Vec<u8>| {
                let now = Instant::now();
                answer_pings(bytes, pong);
                let (mut seen, mut arrivals) = (seen.borrow_mut(), shared.arrivals.borrow_mut());
                let (mut latencies, times) = (shared.latencies.borrow_mut(), shared.times.borrow());
                let mut fresh = 0;
                let keep = shared.markers.scan(bytes, |seq| {
                    if seen.mark(seq) {
                        fresh += 1;
                        let at = seq as usize;
                        latencies.push(now.saturating_duration_since(times[at]));
                        arrivals[at] += 1;
                        if arrivals[at] == many {
                            shared.complete.set(shared.complete.get() + 1);
                            shared.moved.notify_one();
                        }
                    }
                });
                if fresh > 0 {
                    shared.deliveries.set(shared.deliveries.get() + fresh);
                    shared.last.set(now);
                }
                keep
            };
            while tap.read(|bytes| look(bytes, &mut pong)).await.is_ok() {
                if !pong.is_empty() && tap.send(&std::mem::take(&mut pong)).await.is_err() {
                    return;
                }
            }
        }));
    }
    if drain {
        let tap = sender.clone();
        tasks.push(tokio::task::spawn_local(async move {
            let mut pong = Vec::new();
            let look = |bytes: &[u8], pong: &mut Vec<u8>| {
                answer_pings(bytes, pong);
                0
            };
            while tap.read(|bytes| look(bytes, &mut pong)).await.is_ok() {
                if !pong.is_empty() && tap.send(&std::mem::take(&mut pong)).await.is_err() {
                    return;
                }
            }
        }));
    }

    if drive.rate > 0.0 {
        paced(&sender, &shared, drive, &write).await?;
    } else {
        windowed(&sender, &shared, drive, &write).await?;
    }
    while shared.complete.get() < drive.count {
        let before = shared.deliveries.get();
        let moved = timeout(STALLED.min(drive.patience), shared.moved.notified()).await;
        if moved.is_err() && shared.deliveries.get() == before {
            let complete = shared.complete.get();
            eprintln!(
                "load: {complete} of {} messages reached everybody",
                drive.count
            );
            break;
        }
    }
    tasks.iter().for_each(|task| task.abort());
    for task in tasks {
        // Aborted on purpose: the result carries nothing.
        let _ = task.await;
    }
    let mut verdict = Verdict::default();
    seen.iter().for_each(|seen| verdict.add(&seen.borrow()));
    Ok(Fanned {
        ended: shared.last.get(),
        deliveries: shared.deliveries.get(),
        verdict,
        latencies: shared.latencies.take(),
    })
}

async fn windowed(
    sender: &Tap,
    shared: &Shared,
    drive: Drive,
    write: &impl Fn(&mut Vec<u8>, u32),
) -> io::Result<()> {
    let (mut sent, mut out) = (0, Vec::new());
    while sent < drive.count {
        out.clear();
        let now = Instant::now();
        while sent < drive.count && sent - shared.complete.get() < drive.window {
            shared.times.borrow_mut()[sent as usize] = now;
            write(&mut out, sent);
            sent += 1;
        }
        sender.send(&out).await?;
        if sent < drive.count
            && timeout(STALLED.min(drive.patience), shared.moved.notified())
                .await
                .is_err()
        {
            eprintln!(
                "load: nothing arrives any more; the sender hears: {}",
                sender.leftovers()
            );
            break;
        }
    }
    Ok(())
}

async fn paced(
    sender: &Tap,
    shared: &Shared,
    drive: Drive,
    write: &impl Fn(&mut Vec<u8>, u32),
) -> io::Result<()> {
    let start = Instant::now() + Duration::from_millis(20);
    let gap = Duration::from_secs_f64(1.0 / drive.rate);
    for (n, time) in shared.times.borrow_mut().iter_mut().enumerate() {
        *time = start + gap * n as u32;
    }
    let mut pace = Pace::new(start, gap);
    let (mut sent, mut out) = (0, Vec::new());
    while sent < drive.count {
        pace.next().await;
        let now = Instant::now();
        out.clear();
        while sent < drive.count && start + gap * sent <= now {
            write(&mut out, sent);
            sent += 1;
        }
        sender.send(&out).await?;
    }
    Ok(())
}

/// IRC servers ask now and then whether one is alive. (No message of ours has this word.)
fn answer_pings(bytes: &[u8], pong: &mut Vec<u8>) {
    if let Some(at) = memmem::find(bytes, b"PING ") {
        let rest = &bytes[at + 5..];
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        pong.extend_from_slice(b"PONG ");
        pong.extend_from_slice(&rest[..end]);
        pong.extend_from_slice(b"\r\n");
    }
}

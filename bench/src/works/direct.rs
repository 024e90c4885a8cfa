//! Direct messages between pairs: as fast as a closed window lets them (throughput, CPU), or on a fixed schedule (latency).

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{STALLED, Setting, Stretch, add_latencies, add_verdict, crowd};
use crate::conn::Tap;
use crate::latency::Latencies;
use crate::marker::{self, Markers};
use crate::pace::Pace;
use crate::seen::{Seen, Verdict};
use crate::xmpp::{Server, archive_count, archive_pages};

/// How many, how fast, what.
pub struct Plan {
    /// Pairs of one sender and one receiver.
    pub pairs: usize,
    /// Measured messages of each pair.
    pub count: u32,
    /// Messages of each pair that may be under way.
    pub window: u32,
    /// Messages a second over all pairs; 0 for a closed window.
    pub rate: f64,
    /// Messages of each pair before the clock starts.
    pub warmup: u32,
    /// `light`: body and origin-id; `rich`: also chat state, receipt request, markable.
    pub payload: String,
    /// Whether to ask the archive afterwards.
    pub archive: bool,
}

struct Pair {
    a: Tap,
    b: Tap,
    to: String,
    tag: String,
    seen: RefCell<Seen>,
    latencies: RefCell<Latencies>,
    sent: Cell<u32>,
}

struct Shared {
    left: Cell<u64>,
    last: Cell<Instant>,
    done: Notify,
    markers: Markers,
}

/// Runs it.
pub async fn run(
    server: Rc<Server>,
    setting: &Setting,
    plan: &Plan,
) -> io::Result<Map<String, Value>> {
    let total = plan.warmup + plan.count;
    let pairs = crowd(plan.pairs, 20, |i| {
        let (server, prefix) = (server.clone(), setting.prefix.clone());
        async move {
            let mut b = server.sign_in(&format!("{prefix}{}", 2 * i + 1)).await?;
            server.present(&mut b).await?;
            let mut a = server.sign_in(&format!("{prefix}{}", 2 * i)).await?;
            server.present(&mut a).await?;
            a.take();
            b.take();
            Ok(Rc::new(Pair {
                a: a.into_plain()?,
                b: b.into_plain()?,
                to: format!("{prefix}{}@{}", 2 * i + 1, server.domain),
                tag: format!("{prefix}{i}x"),
                seen: RefCell::new(Seen::new(total)),
                latencies: RefCell::default(),
                sent: Cell::new(0),
            }))
        }
    })
    .await?;

    if plan.warmup > 0 {
        closed(&pairs, plan, plan.warmup, setting.patience).await?;
        pairs.iter().for_each(|pair| drop(pair.latencies.take()));
        setting.meter.quiet(Duration::from_secs(5)).await;
    }
    let stretch = Stretch::start(&setting.meter);
    let ended = if plan.rate > 0.0 {
        open(&pairs, plan, setting.patience).await?
    } else {
        closed(&pairs, plan, total, setting.patience).await?
    };
    let units = u64::from(plan.count) * plan.pairs as u64;
    let mut result = stretch
        .stop(
            ended,
            if plan.rate > 0.0 {
                "direct-open"
            } else {
                "direct"
            },
            units,
        )
        .await;

    let (mut verdict, mut latencies) = (Verdict::default(), Latencies::default());
    for pair in &pairs {
        verdict.add(&pair.seen.borrow());
        latencies.extend(&pair.latencies.borrow());
    }
    add_verdict(&mut result, &verdict);
    add_latencies(&mut result, &mut latencies);
    result.insert("rate".to_owned(), json!(plan.rate));
    if plan.archive {
        result.insert(
            "archive".to_owned(),
            archive(pairs, &server, setting, total).await?,
        );
    }
    Ok(result)
}

/// Every pair keeps its window full until message `until` has arrived. Answers when the last one did.
async fn closed(
    pairs: &[Rc<Pair>],
    plan: &Plan,
    until: u32,
    patience: Duration,
) -> io::Result<Instant> {
    let left = pairs
        .iter()
        .map(|pair| u64::from(until - pair.sent.get()))
        .sum();
    let shared = Shared::new(left);
    let (window, rich) = (plan.window, plan.payload == "rich");
    for pair in pairs {
        let (pair, shared) = (pair.clone(), shared.clone());
        tokio::task::spawn_local(async move {
            let (mut out, mut times) = (Vec::new(), vec![Instant::now(); window as usize]);
            let from = pair.sent.get();
            let mut arrived = 0;
            loop {
                let now = Instant::now();
                out.clear();
                while pair.sent.get() < until && pair.sent.get() - from - arrived < window {
                    times[(pair.sent.get() % window) as usize] = now;
                    pair.write(&mut out, rich);
                }
                if pair.a.send(&out).await.is_err() || arrived == until - from {
                    return;
                }
                let read = pair.b.read(|bytes| {
                    let now = Instant::now();
                    let mut latencies = pair.latencies.borrow_mut();
                    shared.markers.scan(bytes, |seq| {
                        if pair.seen.borrow_mut().mark(seq) {
                            arrived += 1;
                            latencies.push(now - times[(seq % window) as usize]);
                            shared.arrived(now);
                        }
                    })
                });
                if read.await.is_err() {
                    return;
                }
            }
        });
    }
    shared.wait(pairs, patience).await
}

/// Messages leave at `start + n / rate`, whatever has arrived; a message's time counts from when it was meant to leave.
async fn open(pairs: &[Rc<Pair>], plan: &Plan, patience: Duration) -> io::Result<Instant> {
    let from = pairs.first().map_or(0, |pair| pair.sent.get());
    let messages = u64::from(plan.count) * pairs.len() as u64;
    let shared = Shared::new(messages);
    let start = Instant::now() + Duration::from_millis(20);
    let gap = 1.0 / plan.rate;
    let due = move |n: u64| start + Duration::from_secs_f64(n as f64 * gap);
    let many = pairs.len() as u64;
    for (i, pair) in pairs.iter().enumerate() {
        let (pair, shared) = (pair.clone(), shared.clone());
        tokio::task::spawn_local(async move {
            let looks = |bytes: &[u8]| {
                let now = Instant::now();
                let mut latencies = pair.latencies.borrow_mut();
                shared.markers.scan(bytes, |seq| {
                    if pair.seen.borrow_mut().mark(seq) {
                        let meant = due(u64::from(seq - from) * many + i as u64);
                        latencies.push(now.saturating_duration_since(meant));
                        shared.arrived(now);
                    }
                })
            };
            while pair.b.read(looks).await.is_ok() {}
        });
    }
    let mut pace = Pace::new(start, Duration::from_secs_f64(gap.max(0.000_2)));
    let rich = plan.payload == "rich";
    let (mut next, mut out) = (0, Vec::new());
    while next < messages {
        pace.next().await;
        let now = Instant::now();
        if now > start + patience + Duration::from_secs_f64(messages as f64 * gap) {
            break;
        }
        while next < messages && due(next) <= now {
            let pair = &pairs[(next % many) as usize];
            out.clear();
            pair.write(&mut out, rich);
            pair.a.send(&out).await?;
            next += 1;
        }
    }
    shared.wait(pairs, patience).await
}

/// Counts both archives of every pair, and reads two pairs' archives whole.
async fn archive(
    pairs: Vec<Rc<Pair>>,
    server: &Rc<Server>,
    setting: &Setting,
    total: u32,
) -> io::Result<Value> {
    let domain = &server.domain;
    let many = pairs.len();
    drop(pairs);
    let (mut expected, mut found, mut counted) = (0, 0, true);
    let mut pages = Verdict::default();
    for i in 0..many {
        let (a, b) = (
            format!("{}{}", setting.prefix, 2 * i),
            format!("{}{}", setting.prefix, 2 * i + 1),
        );
        for (me, other) in [(&a, &b), (&b, &a)] {
            let mut conn = server.sign_in(me).await?;
            let with = format!("{other}@{domain}");
            expected += u64::from(total);
            let count = archive_count(&mut conn, "", &with).await?;
            if i < 2 || count.is_none() {
                let mut seen = Seen::new(total);
                let results = archive_pages(&mut conn, "", &with, &mut seen).await?;
                pages.add(&seen);
                counted &= count.is_some();
                found += count.unwrap_or(results);
            } else {
                found += count.unwrap_or(0);
            }
        }
    }
    Ok(
        json!({"expected": expected, "found": found, "by": if counted { "count" } else { "pages" },
        "pages_exactly_once": pages.perfect()}),
    )
}

impl Pair {
    fn write(&self, out: &mut Vec<u8>, rich: bool) {
        let seq = self.sent.get();
        self.sent.set(seq + 1);
        out.extend_from_slice(b"<message to='");
        out.extend_from_slice(self.to.as_bytes());
        out.extend_from_slice(b"' type='chat' id='");
        out.extend_from_slice(self.tag.as_bytes());
        marker::push_number(out, seq);
        out.extend_from_slice(b"'><body>");
        marker::push(out, seq);
        out.extend_from_slice(b" the tea is ready, come over when you like</body>");
        if rich {
            out.extend_from_slice(
                b"<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
                  <markable xmlns='urn:xmpp:chat-markers:0'/>",
            );
        }
        out.extend_from_slice(b"<origin-id xmlns='urn:xmpp:sid:0' id='");
        out.extend_from_slice(self.tag.as_bytes());
        marker::push_number(out, seq);
        out.extend_from_slice(b"'/></message>");
    }
}

impl Shared {
    fn new(left: u64) -> Rc<Self> {
        Rc::new(Self {
            left: Cell::new(left),
            last: Cell::new(Instant::now()),
            done: Notify::new(),
            markers: Markers::new(),
        })
    }

    fn arrived(&self, now: Instant) {
        self.left.set(self.left.get().saturating_sub(1));
        self.last.set(now);
        if self.left.get() == 0 {
            self.done.notify_one();
        }
    }

    /// Waits for the last arrival. If it does not come, says what the first pairs' sockets hold and goes on: the verdict
    /// counts the loss.
    async fn wait(&self, pairs: &[Rc<Pair>], patience: Duration) -> io::Result<Instant> {
        let end = Instant::now() + patience;
        while self.left.get() > 0 {
            let before = self.left.get();
            let done = timeout(STALLED.min(patience), self.done.notified())
                .await
                .is_ok();
            if done || (self.left.get() < before && Instant::now() < end) {
                continue;
            }
            eprintln!("load: {} messages did not arrive", self.left.get());
            for pair in pairs.iter().take(3) {
                eprintln!(
                    "load: to the sender of {}: {}",
                    pair.tag,
                    pair.a.leftovers()
                );
            }
            break;
        }
        Ok(self.last.get())
    }
}

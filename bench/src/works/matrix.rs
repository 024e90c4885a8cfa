//! Matrix: rooms in which one writes and everybody syncs, and the first sync of a large account.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::fan::Drive;
use super::{STALLED, Setting, Stretch, add_latencies, add_verdict, crowd};
use crate::http::Http;
use crate::latency::Latencies;
use crate::marker::{self, Markers};
use crate::pace::Pace;
use crate::seen::{Seen, Verdict};

/// `{"room":{"timeline":{"limit":100}}}`: more than any window, so that no sync leaves a gap.
const FILTER: &str = "%7B%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A100%7D%7D%7D";

/// How many rooms of how many, and what one in each of them writes.
pub struct Plan {
    /// The server's plain HTTP listener.
    pub addr: SocketAddr,
    /// Rooms; everybody is in one.
    pub rooms: usize,
    /// People in each, the one who writes too. All of them sync.
    pub people: usize,
    /// Everybody's password.
    pub password: String,
    /// The messages of all rooms together; each room has its part of count and rate, and a window of its own.
    pub drive: Drive,
}

/// Somebody who is signed in.
struct Person {
    http: Http,
    token: String,
}

struct Room {
    id: String,
    times: RefCell<Vec<Instant>>,
    arrivals: RefCell<Vec<u32>>,
    complete: Cell<u32>,
    moved: Notify,
}

struct Shared {
    rooms: Vec<Room>,
    latencies: RefCell<Latencies>,
    last: Cell<Instant>,
    deliveries: Cell<u64>,
    markers: Markers,
}

/// Runs it.
pub async fn run(setting: &Setting, plan: &Rc<Plan>) -> io::Result<Map<String, Value>> {
    let each = plan.drive.count / plan.rooms as u32;
    let mut people = crowd(plan.rooms * plan.people, 20, |i| {
        let (plan, name) = (plan.clone(), format!("{}{i}", setting.prefix));
        async move { sign_in(plan.addr, &name, &plan.password).await }
    })
    .await?;
    let now = Instant::now();
    let mut rooms = Vec::new();
    for members in people.chunks_mut(plan.people) {
        let mut id = String::new();
        for person in members {
            id = person.enter(&id).await?;
        }
        rooms.push(Room {
            id,
            times: RefCell::new(vec![now; each as usize]),
            arrivals: RefCell::new(vec![0; each as usize]),
            complete: Cell::new(0),
            moved: Notify::new(),
        });
    }
    let shared = Rc::new(Shared {
        rooms,
        latencies: RefCell::default(),
        last: Cell::new(now),
        deliveries: Cell::new(0),
        markers: Markers::new(),
    });
    let seen: Vec<_> = people
        .iter()
        .map(|_| Rc::new(RefCell::new(Seen::new(each))))
        .collect();
    let tokens: Vec<_> = people.iter().map(|p| p.token.clone()).collect();
    let mut readers = Vec::new();
    for (i, mut person) in people.into_iter().enumerate() {
        let since = person.sync("").await?.1;
        let (plan, shared, seen) = (plan.clone(), shared.clone(), seen[i].clone());
        readers.push(tokio::task::spawn_local(async move {
            let mut since = since;
            loop {
                match person.sync(&since).await {
                    Ok((answer, next)) => {
                        shared.arrived(i / plan.people, plan.people, &answer, &seen);
                        since = next;
                    }
                    Err(why) => return eprintln!("load: a sync failed: {why}"),
                }
            }
        }));
    }
    setting.meter.quiet(Duration::from_secs(10)).await;

    let stretch = Stretch::start(&setting.meter);
    let started = Instant::now() + Duration::from_millis(20);
    let writers: Vec<_> = (0..plan.rooms)
        .map(|room| {
            let (plan, shared) = (plan.clone(), shared.clone());
            let token = tokens[room * plan.people].clone();
            tokio::task::spawn_local(async move {
                write(&shared.rooms[room], &plan, &token, each, started).await
            })
        })
        .collect();
    for writer in writers {
        writer.await.map_err(io::Error::other)??;
    }
    for room in &shared.rooms {
        while room.complete.get() < each {
            let before = shared.deliveries.get();
            let moved = timeout(STALLED.min(plan.drive.patience), room.moved.notified()).await;
            if moved.is_err() && shared.deliveries.get() == before {
                eprintln!("load: {} of {each} reached everybody", room.complete.get());
                break;
            }
        }
    }
    let work = if plan.drive.rate > 0.0 {
        "matrix-paced"
    } else {
        "matrix"
    };
    let units = u64::from(each) * plan.rooms as u64;
    let mut result = stretch.stop(shared.last.get(), work, units).await;
    readers.iter().for_each(|reader| reader.abort());
    let mut verdict = Verdict::default();
    seen.iter().for_each(|seen| verdict.add(&seen.borrow()));
    add_verdict(&mut result, &verdict);
    add_latencies(&mut result, &mut shared.latencies.take());
    let mut archived = Verdict::default();
    let mut found = 0;
    for (i, room) in shared.rooms.iter().enumerate() {
        let mut reader = Person {
            http: Http::open(plan.addr).await?,
            token: tokens[i * plan.people].clone(),
        };
        let seen = reader.history(&room.id, each, &shared.markers).await?;
        found += seen.distinct;
        archived.add(&seen);
    }
    archived.disordered = 0; // It is read backwards.
    result.insert(
        "archive".to_owned(),
        json!({"expected": units, "found": found, "pages_exactly_once": archived.perfect()}),
    );
    for (key, value) in [("people", plan.people), ("rooms", plan.rooms)] {
        result.insert(key.to_owned(), json!(value));
    }
    Ok(result)
}

/// An account in many rooms with much said in them signs in and syncs for the first time, `times` times.
pub async fn first(
    setting: &Setting,
    plan: &Rc<Plan>,
    times: usize,
) -> io::Result<Map<String, Value>> {
    let name = format!("{}0", setting.prefix);
    let each = plan.drive.count / plan.rooms as u32;
    let mut owner = sign_in(plan.addr, &name, &plan.password).await?;
    let mut ids = Vec::new();
    for _ in 0..plan.rooms {
        ids.push(owner.enter("").await?);
    }
    let token = owner.token.clone();
    crowd(plan.rooms, 20, |i| {
        let (plan, token, id) = (plan.clone(), token.clone(), ids[i].clone());
        async move {
            let mut http = Http::open(plan.addr).await?;
            for seq in 0..each {
                say(&mut http, &token, &id, seq).await?;
            }
            Ok(())
        }
    })
    .await?;
    // What is made at the first look of all is not what a second device pays.
    let size = owner.first_sync().await?;
    setting.meter.quiet(Duration::from_secs(30)).await;
    let stretch = Stretch::start(&setting.meter);
    let mut latencies = Latencies::default();
    for _ in 0..times {
        let mut device = sign_in(plan.addr, &name, &plan.password).await?;
        let before = Instant::now();
        device.first_sync().await?;
        latencies.push(before.elapsed());
    }
    let mut result = stretch
        .stop(Instant::now(), "matrix-first", times as u64)
        .await;
    add_latencies(&mut result, &mut latencies);
    for (key, value) in [("rooms", plan.rooms), ("bytes", size)] {
        result.insert(key.to_owned(), json!(value));
    }
    result.insert("messages".to_owned(), json!(plan.drive.count));
    Ok(result)
}

async fn sign_in(addr: SocketAddr, name: &str, password: &str) -> io::Result<Person> {
    let mut http = Http::open(addr).await?;
    let who = json!({"type": "m.id.user", "user": name});
    let proof = json!({"type": "m.login.password", "identifier": who, "password": password});
    let answer = http
        .json("POST", "/_matrix/client/v3/login", "", &proof)
        .await?;
    let token = text(&answer, "access_token")?;
    Ok(Person { http, token })
}

impl Person {
    /// Joins a room, or makes one if there is none yet.
    async fn enter(&mut self, room: &str) -> io::Result<String> {
        let (path, body) = if room.is_empty() {
            (
                "/_matrix/client/v3/createRoom".to_owned(),
                json!({"preset": "public_chat"}),
            )
        } else {
            (format!("/_matrix/client/v3/join/{room}"), json!({}))
        };
        let answer = self.http.json("POST", &path, &self.token, &body).await?;
        text(&answer, "room_id")
    }

    /// A sync as apps do it, waiting for news if it is not the first; the answer, and where to go on.
    async fn sync(&mut self, since: &str) -> io::Result<(Vec<u8>, String)> {
        let mut path = format!("/_matrix/client/v3/sync?filter={FILTER}");
        if !since.is_empty() {
            path.push_str(&format!("&timeout=30000&since={since}"));
        }
        let answer = self.http.ask("GET", &path, &self.token, "").await?;
        let next =
            next_batch(&answer).ok_or_else(|| io::Error::other("a sync without next_batch"))?;
        Ok((answer, next))
    }

    /// As apps do it that load the members they need; how many bytes came.
    async fn first_sync(&mut self) -> io::Result<usize> {
        const LAZY: &str = "%7B%22room%22%3A%7B%22state%22%3A%7B%22lazy_load_members%22%3Atrue%7D%2C%22timeline%22%3A%7B%22limit%22%3A20%7D%7D%7D";
        let path = format!("/_matrix/client/v3/sync?filter={LAZY}");
        Ok(self.http.ask("GET", &path, &self.token, "").await?.len())
    }

    /// Everything said in a room, read page by page.
    async fn history(&mut self, room: &str, each: u32, markers: &Markers) -> io::Result<Seen> {
        let mut seen = Seen::new(each);
        let mut from = String::new();
        loop {
            let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=100{from}");
            let page = self.http.ask("GET", &path, &self.token, "").await?;
            markers.scan(&page, |seq| {
                seen.mark(seq);
            });
            let page: Value = serde_json::from_slice(&page)?;
            match page["end"].as_str() {
                Some(end) if page["chunk"].as_array().is_some_and(|c| !c.is_empty()) => {
                    from = format!("&from={end}");
                }
                _ => return Ok(seen),
            }
        }
    }
}

impl Shared {
    fn arrived(&self, room: usize, people: usize, answer: &[u8], seen: &RefCell<Seen>) {
        let (now, room) = (Instant::now(), &self.rooms[room]);
        let mut arrivals = room.arrivals.borrow_mut();
        self.markers.scan(answer, |seq| {
            if !seen.borrow_mut().mark(seq) {
                return;
            }
            let at = seq as usize;
            let took = now.saturating_duration_since(room.times.borrow()[at]);
            self.latencies.borrow_mut().push(took);
            self.deliveries.set(self.deliveries.get() + 1);
            self.last.set(now);
            arrivals[at] += 1;
            if arrivals[at] as usize == people {
                room.complete.set(room.complete.get() + 1);
                room.moved.notify_one();
            }
        });
    }
}

/// One after the other, as apps do; no further ahead of the slowest reader than the window, or on a schedule.
async fn write(
    room: &Room,
    plan: &Plan,
    token: &str,
    each: u32,
    started: Instant,
) -> io::Result<()> {
    let mut http = Http::open(plan.addr).await?;
    let gap = Duration::from_secs_f64(if plan.drive.rate > 0.0 {
        plan.rooms as f64 / plan.drive.rate
    } else {
        0.0
    });
    let mut pace = Pace::new(started, gap);
    for seq in 0..each {
        if gap.is_zero() {
            while seq - room.complete.get() >= plan.drive.window {
                let patience = STALLED.min(plan.drive.patience);
                if timeout(patience, room.moved.notified()).await.is_err() {
                    return Ok(eprintln!("load: nothing arrives any more"));
                }
            }
            room.times.borrow_mut()[seq as usize] = Instant::now();
        } else {
            room.times.borrow_mut()[seq as usize] = started + gap * seq;
            pace.next().await;
        }
        say(&mut http, token, &room.id, seq).await?;
    }
    Ok(())
}

async fn say(http: &mut Http, token: &str, room: &str, seq: u32) -> io::Result<()> {
    let mut body = br#"{"msgtype":"m.text","body":""#.to_vec();
    marker::push(&mut body, seq);
    body.extend_from_slice(br#" the tea is ready, come over when you like"}"#);
    let body = String::from_utf8(body).map_err(io::Error::other)?;
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/b{seq}");
    http.ask("PUT", &path, token, &body).await.map(drop)
}

/// Looked for rather than parsed: a generator must cost less than the server.
fn next_batch(answer: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\"next_batch\":";
    let at = memchr::memmem::rfind(answer, KEY)? + KEY.len();
    let rest = answer.get(at..)?;
    let open = memchr::memchr(b'"', rest)? + 1;
    let rest = rest.get(open..)?;
    let close = memchr::memchr(b'"', rest)?;
    String::from_utf8(rest.get(..close)?.to_vec()).ok()
}

fn text(answer: &Value, key: &str) -> io::Result<String> {
    let found = answer[key].as_str().map(str::to_owned);
    found.ok_or_else(|| io::Error::other(format!("no {key} in {answer}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_position_is_found_wherever_it_stands() {
        for text in [
            r#"{"next_batch":"s1_2","rooms":{}}"#,
            r#"{"rooms":{"join":{}},"next_batch": "s1_2"}"#,
        ] {
            assert_eq!(next_batch(text.as_bytes()).as_deref(), Some("s1_2"));
        }
    }
}

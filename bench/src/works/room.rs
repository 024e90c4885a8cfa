//! An XMPP room: everybody enters at once, then one person writes.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use memchr::memmem;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::fan::{self, Drive};
use super::{Setting, Stretch, add_latencies, add_verdict, crowd};
use crate::conn::Tap;
use crate::marker;
use crate::seen::{Seen, Verdict};
use crate::xmpp::{Server, archive_count, archive_pages, iq, refused};

/// How many people, and what the sender does.
pub struct Plan {
    /// People, the sender included.
    pub people: usize,
    /// The sender's messages.
    pub drive: Drive,
    /// The room's name.
    pub room: String,
    /// Whether to ask the room's archive afterwards.
    pub archive: bool,
}

/// Runs both works on the same people; two results.
pub async fn run(
    server: Rc<Server>,
    setting: &Setting,
    plan: &Plan,
) -> io::Result<Vec<Map<String, Value>>> {
    let room = format!("{}@{}", plan.room, server.rooms);
    let conns = crowd(plan.people, 20, |i| {
        let (server, name) = (server.clone(), format!("{}{i}", setting.prefix));
        async move {
            let mut conn = server.sign_in(&name).await?;
            server.present(&mut conn).await?;
            conn.take();
            Ok(conn)
        }
    })
    .await?;
    let mut conns = conns.into_iter();
    let mut owner = conns
        .next()
        .ok_or_else(|| io::Error::other("a room needs people"))?;
    owner.send(&join(&room, 0)).await?;
    let entered = owner
        .until(|buf| {
            let at = memmem::find(buf, b"'110'")
                .or_else(|| memmem::find(buf, b"\"110\""))
                .or_else(|| memmem::find(buf, b"<error"))?;
            memmem::find(&buf[at..], b"</presence>").map(|end| at + end + 11)
        })
        .await?;
    if memmem::find(&entered, b"<error").is_some() {
        return Err(refused("entering the room", &entered));
    }
    // XEP-0045 §10.1.2: an instant room.
    let form = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>";
    iq(&mut owner, "set", "instant", &room, form).await?;
    owner.take();

    let mut taps = vec![Rc::new(owner.into_plain()?)];
    for conn in conns {
        taps.push(Rc::new(conn.into_plain()?));
    }
    setting.meter.quiet(Duration::from_secs(5)).await;
    let mut results = vec![everybody_enters(&taps, setting, &room).await?];

    setting.meter.quiet(Duration::from_secs(10)).await;
    let stretch = Stretch::start(&setting.meter);
    let head = format!("<message to='{room}' type='groupchat' id='");
    let tag = format!("{}r", setting.prefix);
    let fanned = fan::run(taps[0].clone(), &taps, false, plan.drive, |out, seq| {
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(tag.as_bytes());
        marker::push_number(out, seq);
        out.extend_from_slice(b"'><body>");
        marker::push(out, seq);
        out.extend_from_slice(b" the tea is ready, come over when you like</body>");
        out.extend_from_slice(b"<origin-id xmlns='urn:xmpp:sid:0' id='");
        out.extend_from_slice(tag.as_bytes());
        marker::push_number(out, seq);
        out.extend_from_slice(b"'/></message>");
    })
    .await?;
    let work = if plan.drive.rate > 0.0 {
        "room-open"
    } else {
        "room"
    };
    let mut result = stretch.stop(fanned.ended, work, fanned.deliveries).await;
    let mut latencies = fanned.latencies;
    add_verdict(&mut result, &fanned.verdict);
    add_latencies(&mut result, &mut latencies);
    result.insert("people".to_owned(), json!(plan.people));
    if plan.archive {
        let owner = Rc::into_inner(taps.swap_remove(0))
            .ok_or_else(|| io::Error::other("the owner is still busy"))?;
        let mut owner = owner.into_conn();
        let count = archive_count(&mut owner, &room, "").await?;
        let (mut seen, mut pages) = (Seen::new(plan.drive.count), Verdict::default());
        archive_pages(&mut owner, &room, "", &mut seen).await?;
        pages.add(&seen);
        // Some rooms archive more than messages (the subject, arrivals): the pages tell which messages are there.
        result.insert(
            "archive".to_owned(),
            json!({"expected": plan.drive.count, "found": seen.distinct, "entries": count, "by": "pages",
                "pages_exactly_once": pages.perfect()}),
        );
    }
    results.push(result);
    Ok(results)
}

struct Arrivals {
    left: Cell<usize>,
    last: Cell<Instant>,
    errors: Cell<u32>,
    done: Notify,
}

/// All but the owner enter at once; it is over when each of them, and the owner, has seen everybody.
async fn everybody_enters(
    taps: &[Rc<Tap>],
    setting: &Setting,
    room: &str,
) -> io::Result<Map<String, Value>> {
    let people = taps.len();
    let shared = Rc::new(Arrivals {
        left: Cell::new(people),
        last: Cell::new(Instant::now()),
        errors: Cell::new(0),
        done: Notify::new(),
    });
    let seen: Vec<_> = (0..people)
        .map(|_| Rc::new(RefCell::new(Seen::new(people as u32))))
        .collect();
    seen[0].borrow_mut().mark(0);
    let stretch = Stretch::start(&setting.meter);
    let mut tasks = Vec::new();
    for (i, (tap, seen)) in taps.iter().zip(&seen).enumerate() {
        let (tap, seen, shared, join) = (tap.clone(), seen.clone(), shared.clone(), join(room, i));
        tasks.push(tokio::task::spawn_local(async move {
            if i > 0 && tap.send(&join).await.is_err() {
                return;
            }
            while seen.borrow().missing() > 0 {
                let read = tap.read(|bytes| {
                    presences(bytes, |presence| match presence {
                        Presence::Here(nick) => {
                            seen.borrow_mut().mark(nick);
                        }
                        Presence::Error => shared.errors.set(shared.errors.get() + 1),
                        Presence::Other => {}
                    })
                });
                if read.await.is_err() {
                    return;
                }
            }
            shared.last.set(Instant::now());
            shared.left.set(shared.left.get() - 1);
            if shared.left.get() == 0 {
                shared.done.notify_one();
            }
        }));
    }
    if timeout(setting.patience, shared.done.notified())
        .await
        .is_err()
    {
        eprintln!(
            "load: {} of {people} people have not seen everybody",
            shared.left.get()
        );
    }
    for task in tasks {
        task.abort();
        // Aborted on purpose: the result carries nothing.
        let _ = task.await;
    }
    let mut result = stretch.stop(shared.last.get(), "join", people as u64).await;
    let missing: u64 = seen
        .iter()
        .map(|seen| u64::from(seen.borrow().missing()))
        .sum();
    result.insert("people".to_owned(), json!(people));
    result.insert("missing".to_owned(), json!(missing));
    result.insert("errors".to_owned(), json!(shared.errors.get()));
    result.insert("exactly_once".to_owned(), json!(missing == 0));
    Ok(result)
}

fn join(room: &str, i: usize) -> Vec<u8> {
    format!(
        "<presence to='{room}/n{i}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
    )
    .into_bytes()
}

#[derive(Debug, PartialEq)]
enum Presence {
    Here(u32),
    Error,
    Other,
}

/// Finds the presences in `bytes` by their start tags; answers how many bytes at the end belong to a cut one.
fn presences(bytes: &[u8], mut each: impl FnMut(Presence)) -> usize {
    const TAG: &[u8] = b"<presence";
    let mut at = 0;
    while let Some(found) = memmem::find(&bytes[at..], TAG) {
        let start = at + found;
        let Some(close) = memchr::memchr(b'>', &bytes[start..]) else {
            return bytes.len() - start;
        };
        let tag = &bytes[start..start + close];
        at = start + close;
        each(match attribute(tag, b" type=") {
            Some(b"error") => Presence::Error,
            Some(_) => Presence::Other,
            None => attribute(tag, b" from=")
                .and_then(nick)
                .map_or(Presence::Other, Presence::Here),
        });
    }
    (bytes.len() - at).min(TAG.len() - 1)
}

fn attribute<'a>(tag: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let from = memmem::find(tag, name)? + name.len();
    let (quote, rest) = tag[from..].split_first()?;
    rest.get(..memchr::memchr(*quote, rest)?)
}

fn nick(from: &[u8]) -> Option<u32> {
    let resource = &from[memchr::memrchr(b'/', from)? + 1..];
    std::str::from_utf8(resource.strip_prefix(b"n")?)
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presences_are_told_apart_however_they_are_quoted_and_cut() {
        let text = b"<presence to=\"a\" from=\"r@rooms/n17\"><x/></presence><presence from='r@rooms/n4' type='unavailable'/>\
            <presence type='error' from='r@rooms/n1'/><presence from='r@rooms/n5'/>";
        for cut in 0..=text.len() {
            let mut seen = Vec::new();
            let keep = presences(&text[..cut], |presence| seen.push(presence));
            presences(&text[cut - keep..], |presence| seen.push(presence));
            assert_eq!(
                seen,
                [
                    Presence::Here(17),
                    Presence::Other,
                    Presence::Error,
                    Presence::Here(5)
                ],
                "cut at {cut}"
            );
        }
    }
}

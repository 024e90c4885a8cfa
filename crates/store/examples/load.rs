//! How fast the store takes events in and gives history out, through the port that core uses.
//!
//! `cargo run --release -p sammen-store --example load [EVENTS] [CONVERSATIONS]`; the data folder is made in TMPDIR.

use std::sync::Arc;
use std::time::Instant;

use sammen_core::event::{Acceptance, Content, Event, Message, Native, Protocol, Scheme};
use sammen_core::member::Interval;
use sammen_core::store::{Anchor, HistoryQuery, Store, Write};
use sammen_core::{Address, ConversationId, DeviceId, EventId, Pos, Seq, Timestamp};
use sammen_store::SqliteStore;

/// CPU time of this process so far, user and system, in seconds (proc(5): fields 14 and 15, in ticks of 10 ms).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

fn noise(n: u64) -> u64 {
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 32)
}

/// An event of about 400 bytes: envelope, 60 bytes of text, a native form of 250 bytes, the sender's id.
fn event(seq: u64, conversations: u64, people: &[Address]) -> Event {
    let random = noise(seq);
    let at = Timestamp(1_700_000_000_000 + seq as i64 / 50);
    let text = format!(
        "message {random:020} with some words about {:010}",
        random % 9973
    );
    let native = format!(
        "<body>{text}</body><origin-id xmlns='urn:xmpp:sid:0' id='{:032x}'/><markable xmlns='urn:xmpp:chat-markers:0'/>\
         <request xmlns='urn:xmpp:receipts'/><active xmlns='http://jabber.org/protocol/chatstates'/>",
        u128::from(random) << 60
    );
    Event {
        seq: Seq(seq),
        pos: Pos(seq as i64 * Pos::STEP),
        id: EventId::new(at, u128::from(random) << 16 | u128::from(seq)),
        conversation: ConversationId(1 + random % conversations),
        author: people[(random % people.len() as u64) as usize].clone(),
        nick: None,
        device: Some(DeviceId(random % 1000)),
        at,
        acceptance: Acceptance::Accepted,
        audience: None,
        historical: false,
        relation: None,
        content: Content::Message(Message::text(text)),
        native: Some(Native {
            protocol: Protocol::Xmpp,
            bytes: native.into(),
            id: Some(format!("{random:016x}-{seq:08x}")),
            kind: Some("chat".into()),
        }),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let events: u64 = args.next().map_or(Ok(300_000), |a| a.parse())?;
    let conversations: u64 = args.next().map_or(Ok(1000), |a| a.parse())?;
    let people: Vec<Address> = (0..200)
        .map(|n| Address::new(&format!("person{n}@example.org")))
        .collect::<Result<_, _>>()?;
    let mut lines = Vec::new();
    for (batch, aliases) in [(256, false), (256, true), (32, false), (32, true)] {
        let folder = std::env::temp_dir().join(format!("sammen-load-{}", std::process::id()));
        let store = SqliteStore::open(&folder)?;
        let mut spent = 0.0;
        let mut lasted = 0.0;
        let mut seq = 0;
        let mut slowest = 0.0_f64;
        while seq < events {
            let writes: Vec<Write> = (0..batch)
                .flat_map(|_| {
                    seq += 1;
                    let event = event(seq, conversations, &people);
                    let alias = aliases.then(|| Write::Alias {
                        conversation: event.conversation,
                        scheme: Scheme::XmppId,
                        author: event.author.clone(),
                        foreign: event
                            .native
                            .as_ref()
                            .and_then(|n| n.id.clone())
                            .unwrap_or_default(),
                        seq: event.seq,
                    });
                    [Some(Write::Event(Arc::new(event))), alias]
                        .into_iter()
                        .flatten()
                })
                .collect();
            // The making of the events is not the store's: only commits are timed. CPU is taken over many batches.
            let begin = (Instant::now(), cpu());
            store.commit(&writes)?;
            let took = begin.0.elapsed().as_secs_f64();
            slowest = slowest.max(took);
            lasted += took;
            spent += cpu() - begin.1;
        }
        let size = std::fs::metadata(folder.join("log.sqlite"))?.len();
        lines.push(format!(
            "batch {batch:3} alias {aliases:5}: {:8.0} events/s, {:5.2} µs wall, {:5.2} µs CPU an event, {:4.0} bytes on disk, slowest batch {:.1} ms",
            seq as f64 / lasted,
            lasted / seq as f64 * 1e6,
            spent / seq as f64 * 1e6,
            size as f64 / seq as f64,
            slowest * 1e3,
        ));
        if batch == 256 && aliases {
            lines.extend(readings(&store, conversations, seq)?);
        }
        drop(store);
        std::fs::remove_dir_all(&folder)?;
    }
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn readings(
    store: &SqliteStore,
    conversations: u64,
    last: u64,
) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let query = |from: u64, n: u64| {
        let conversations = (from..from + n).map(|c| ConversationId(1 + c % conversations));
        let sources = conversations.map(|c| (c, vec![Interval::ALL])).collect();
        HistoryQuery {
            from_end: true,
            ..HistoryQuery::new(sources, 50)
        }
    };
    let mut lines = Vec::new();
    let mut time =
        |what: &str,
         rounds: u64,
         run: &mut dyn FnMut(u64) -> Result<(), Box<dyn std::error::Error>>| {
            let begin = (Instant::now(), cpu());
            for n in 0..rounds {
                run(n)?;
            }
            let each = begin.0.elapsed().as_secs_f64() / rounds as f64;
            lines.push(format!(
                "  {what}: {:.1} µs wall, {:.1} µs CPU",
                each * 1e6,
                (cpu() - begin.1) / rounds as f64 * 1e6
            ));
            Ok::<(), Box<dyn std::error::Error>>(())
        };
    time("last 50 of one conversation", 5000, &mut |n| {
        assert_eq!(store.history(&query(n, 1))?.events.len(), 50);
        Ok(())
    })?;
    time("last 50 of 300 conversations", 100, &mut |n| {
        assert_eq!(store.history(&query(n, 300))?.events.len(), 50);
        Ok(())
    })?;
    let middle = store
        .event(Seq(last / 2))?
        .ok_or("no event in the middle")?;
    let anchor = Some(Anchor {
        at: middle.at,
        pos: middle.pos,
        seq: middle.seq,
    });
    time(
        "50 of 300 conversations before an anchor in the middle",
        100,
        &mut |n| {
            let query = HistoryQuery {
                before: anchor,
                ..query(n, 300)
            };
            assert_eq!(store.history(&query)?.events.len(), 50);
            Ok(())
        },
    )?;
    time(
        "50 of 300 conversations from a time in the middle",
        100,
        &mut |n| {
            let query = HistoryQuery {
                from: Some(middle.at),
                from_end: false,
                ..query(n, 300)
            };
            assert_eq!(store.history(&query)?.events.len(), 50);
            Ok(())
        },
    )?;
    let ids: Vec<ConversationId> = (1..=300).map(ConversationId).collect();
    time(
        "changes of 300 conversations, the last 100,000 seqs, first 100",
        100,
        &mut |_| {
            assert_eq!(
                store
                    .changes(&ids, Seq(last - 100_000), Seq(last), 100)?
                    .len(),
                100
            );
            Ok(())
        },
    )?;
    time("tail", 5000, &mut |n| {
        store.tail(ConversationId(1 + n % conversations))?;
        Ok(())
    })?;
    time("alias that is not there", 20_000, &mut |n| {
        store.alias(
            ConversationId(1 + n % conversations),
            Scheme::XmppId,
            None,
            "nothing",
        )?;
        Ok(())
    })?;
    let mut indexed = 0;
    time("index, 1,000 events", 20, &mut |_| {
        indexed += store.index(1000)?;
        Ok(())
    })?;
    assert_eq!(indexed, 20_000);
    while store.index(5000)? > 0 {}
    time(
        "search of a rare word in 300 conversations",
        100,
        &mut |n| {
            let query = HistoryQuery {
                text: Some(format!("{:010}", noise(n) % 9973)),
                ..query(0, 300)
            };
            store.history(&query)?;
            Ok(())
        },
    )?;
    time(
        "search of a word in each event of 300 conversations",
        3,
        &mut |_| {
            let query = HistoryQuery {
                text: Some("words".into()),
                ..query(0, 300)
            };
            assert_eq!(store.history(&query)?.events.len(), 50);
            Ok(())
        },
    )?;
    Ok(lines)
}

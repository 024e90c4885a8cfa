//! Connections that do nothing: resident memory of the server for each.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use memchr::memmem;
use serde_json::{Map, Value, json};

use super::{Setting, Stretch, crowd};
use crate::conn::Conn;
use crate::xmpp::{Server, iq, refused};

/// How many connections, and how long they are held.
pub struct Plan {
    /// Connections, one account each.
    pub count: usize,
    /// Seconds to hold them before memory is read.
    pub hold: u64,
}

/// Signs all of them in the way a phone does (roster, carbons, stream management, presence) and reads memory before and
/// after. The first twenty come before the first reading, so that code and caches do not count.
pub async fn run(
    server: Rc<Server>,
    setting: &Setting,
    plan: &Plan,
) -> io::Result<Map<String, Value>> {
    let arrive = |first: usize| {
        let (server, prefix) = (server.clone(), setting.prefix.clone());
        move |i: usize| {
            let (server, name) = (server.clone(), format!("{prefix}{}", first + i));
            async move { phone(&server, &name).await }
        }
    };
    let early = 20.min(plan.count / 2);
    let mut phones = crowd(early, 20, arrive(0)).await?;
    setting.meter.quiet(Duration::from_secs(5)).await;
    let stretch = Stretch::start(&setting.meter);
    let before = setting.meter.memory_kib();
    phones.extend(crowd(plan.count - early, 20, arrive(early)).await?);
    let ended = Instant::now();
    tokio::time::sleep(Duration::from_secs(plan.hold)).await;
    let many = (plan.count - early) as u64;
    let mut result = stretch.stop(ended, "idle", many).await;
    let held = setting.meter.memory_kib();
    result.insert(
        "kib_per_connection".to_owned(),
        json!((held as f64 - before as f64) / many as f64),
    );

    // All of them have to be alive still.
    let alive = crowd(phones.len(), 50, {
        let phones: Vec<_> = phones
            .into_iter()
            .map(|conn| Rc::new(tokio::sync::Mutex::new(conn)))
            .collect();
        let server = server.clone();
        move |i| {
            let (conn, server) = (phones[i].clone(), server.clone());
            async move {
                let mut conn = conn.lock().await;
                Ok(iq(
                    &mut conn,
                    "get",
                    "alive",
                    &server.domain,
                    "<ping xmlns='urn:xmpp:ping'/>",
                )
                .await
                .is_ok())
            }
        }
    })
    .await?;
    result.insert(
        "alive".to_owned(),
        json!(alive.iter().filter(|alive| **alive).count()),
    );
    result.insert("connections".to_owned(), json!(plan.count));
    Ok(result)
}

async fn phone(server: &Server, name: &str) -> io::Result<Conn> {
    let mut conn = server.sign_in(name).await?;
    let roster = iq(
        &mut conn,
        "get",
        "roster",
        "",
        "<query xmlns='jabber:iq:roster'/>",
    )
    .await?;
    let carbons = iq(
        &mut conn,
        "set",
        "carbons",
        "",
        "<enable xmlns='urn:xmpp:carbons:2'/>",
    )
    .await?;
    for answer in [roster, carbons] {
        if memmem::find(&answer, b"<error").is_some() {
            return Err(refused("roster or carbons", &answer));
        }
    }
    conn.send(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        .await?;
    conn.until(|buf| {
        let at = memmem::find(buf, b"<enabled").or_else(|| memmem::find(buf, b"<failed"))?;
        memchr::memchr(b'>', &buf[at..]).map(|end| at + end + 1)
    })
    .await
    .and_then(|answer| match memmem::find(&answer, b"<enabled") {
        Some(_) => Ok(()),
        None => Err(refused("stream management", &answer)),
    })?;
    let came = server.present(&mut conn).await?;
    // Presence of oneself and the answered ping: the acknowledgement that lets the server forget both.
    let presences = memmem::find_iter(&came, b"<presence").count();
    conn.send(format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", presences + 1).as_bytes())
        .await?;
    Ok(conn)
}

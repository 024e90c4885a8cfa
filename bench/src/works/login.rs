//! Signing in, over plain TCP or STARTTLS: server CPU per login.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{Setting, Stretch, add_latencies, crowd};
use crate::conn::Conn;
use crate::latency::Latencies;
use crate::xmpp::Server;

/// How many logins of how many accounts.
pub struct Plan {
    /// Different accounts.
    pub accounts: usize,
    /// Measured logins.
    pub count: usize,
    /// Logins under way at a time.
    pub width: usize,
}

/// Each login connects, (secures,) authenticates, binds, and closes its stream. One unmeasured login of each account comes
/// first, so that the generator has its salted passwords and the server its caches.
pub async fn run(
    server: Rc<Server>,
    setting: &Setting,
    plan: &Plan,
) -> io::Result<Map<String, Value>> {
    let name = |i: usize| format!("{}{}", setting.prefix, i % plan.accounts);
    crowd(plan.accounts, plan.width, |i| {
        visit(server.clone(), name(i))
    })
    .await?;
    setting.meter.quiet(Duration::from_secs(5)).await;

    let stretch = Stretch::start(&setting.meter);
    let times = crowd(plan.count, plan.width, |i| visit(server.clone(), name(i))).await?;
    let mut latencies = Latencies::default();
    let mut ended = stretch.started();
    for (took, at) in &times {
        latencies.push(*took);
        ended = ended.max(*at);
    }
    let work = if server.starttls {
        "login-tls"
    } else {
        "login"
    };
    let mut result = stretch.stop(ended, work, times.len() as u64).await;
    add_latencies(&mut result, &mut latencies);
    result.insert("mechanism".to_owned(), json!(server.mechanism));
    Ok(result)
}

/// How long signing in took, and when it was done.
async fn visit(server: Rc<Server>, name: String) -> io::Result<(Duration, Instant)> {
    let started = Instant::now();
    let conn = server.sign_in(&name).await?;
    let at = Instant::now();
    // ejabberd takes a second to answer the end of a stream: nobody waits for it.
    tokio::task::spawn_local(leave(conn));
    Ok((at - started, at))
}

/// Ends the stream and waits until the server has ended its own, or just closed.
async fn leave(mut conn: Conn) {
    if conn.send(b"</stream:stream>").await.is_err() {
        return;
    }
    while conn.more().await.is_ok() {
        if memchr::memmem::find(&conn.take(), b"</stream:stream>").is_some() {
            break;
        }
    }
}

//! What the node counts, in the Prometheus text format (version 0.0.4). No label names a person or an address.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use sammen_core::{Node, Protocol};

/// Upper bounds of the histogram of batch sizes.
const BATCHES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Connections of one protocol.
#[derive(Debug, Default)]
pub struct Connections {
    /// There now.
    pub now: AtomicU64,
    /// There ever.
    pub ever: AtomicU64,
}

/// What the store did.
#[derive(Debug, Default)]
pub struct StoreCounts {
    /// Commits.
    pub commits: AtomicU64,
    /// Events in them.
    pub events: AtomicU64,
    /// Writes in them.
    pub writes: AtomicU64,
    /// Calls that failed.
    pub errors: AtomicU64,
    /// Commits by size; the last is for those above all bounds.
    batches: [AtomicU64; BATCHES.len() + 1],
}

impl StoreCounts {
    /// A commit of so many writes, so many of them events.
    pub fn committed(&self, writes: usize, events: usize) {
        let add = |counter: &AtomicU64, n: usize| {
            counter.fetch_add(n as u64, Ordering::Relaxed);
        };
        add(&self.commits, 1);
        add(&self.writes, writes);
        add(&self.events, events);
        let bucket = BATCHES.partition_point(|bound| *bound < writes);
        if let Some(counter) = self.batches.get(bucket) {
            add(counter, 1);
        }
    }
}

/// Everything that is counted beside what the node knows itself.
#[derive(Debug, Default)]
pub struct Metrics {
    /// The store.
    pub store: Arc<StoreCounts>,
    /// XMPP connections.
    pub xmpp: Arc<Connections>,
    /// Connections of other XMPP servers.
    pub s2s: Arc<Connections>,
    /// IRC connections.
    pub irc: Arc<Connections>,
}

/// One measure of the text format.
struct Text(String);

impl Text {
    fn measure(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(
            self.0,
            "# HELP sammen_{name} {help}\n# TYPE sammen_{name} {kind}\n"
        );
    }

    fn value(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "sammen_{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.measure(name, kind, help);
        self.value(name, "", value);
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Metrics {
    /// The whole text.
    pub fn render(&self, node: &Node, accounts: &sammen_net::accounts::Accounts) -> String {
        let mut text = Text(String::with_capacity(4096));
        let protocols = [Protocol::Xmpp, Protocol::Irc];
        let mut sessions = [0; 2];
        node.live(|live| {
            for session in live.all() {
                if let Some(at) = protocols.iter().position(|p| *p == session.protocol)
                    && let Some(count) = sessions.get_mut(at)
                {
                    *count += 1;
                }
            }
        });
        text.measure("sessions", "gauge", "Signed-in sessions.");
        for (protocol, count) in protocols.iter().zip(sessions) {
            let label = format!("{{protocol=\"{}\"}}", protocol.name());
            text.value("sessions", &label, count);
        }
        let connections = [("xmpp", &self.xmpp), ("s2s", &self.s2s), ("irc", &self.irc)];
        text.measure("connections", "gauge", "Connections.");
        for (name, counts) in connections {
            let label = format!("{{protocol=\"{name}\"}}");
            text.value("connections", &label, load(&counts.now));
        }
        text.measure(
            "connections_total",
            "counter",
            "Connections since the start.",
        );
        for (name, counts) in connections {
            let label = format!("{{protocol=\"{name}\"}}");
            text.value("connections_total", &label, load(&counts.ever));
        }
        let (succeeded, failed) = accounts.throttle.logins();
        text.measure(
            "logins_total",
            "counter",
            "Sign-ins by password or certificate.",
        );
        text.value("logins_total", "{result=\"ok\"}", succeeded);
        text.value("logins_total", "{result=\"failed\"}", failed);
        self.render_store(&mut text);
        let waiting = node.pending_writes() as u64;
        text.one(
            "pending_writes",
            "gauge",
            "Writes that wait for the writer.",
            waiting,
        );
        text.one(
            "last_seq",
            "counter",
            "The greatest committed seq.",
            node.last_seq().0,
        );
        text.0
    }

    fn render_store(&self, text: &mut Text) {
        let store = &self.store;
        text.one(
            "commits_total",
            "counter",
            "Durable commits.",
            load(&store.commits),
        );
        text.one(
            "events_total",
            "counter",
            "Events committed.",
            load(&store.events),
        );
        text.one(
            "store_errors_total",
            "counter",
            "Calls of the store that failed.",
            load(&store.errors),
        );
        text.measure("batch_writes", "histogram", "Writes in a commit.");
        let mut sum = 0;
        for (bound, counter) in BATCHES.iter().zip(&store.batches) {
            sum += load(counter);
            text.value("batch_writes_bucket", &format!("{{le=\"{bound}\"}}"), sum);
        }
        let all = sum + store.batches.last().map_or(0, load);
        text.value("batch_writes_bucket", "{le=\"+Inf\"}", all);
        text.value("batch_writes_sum", "", load(&store.writes));
        text.value("batch_writes_count", "", all);
    }
}

/// `/metrics` and `/health`.
pub fn router(
    metrics: Arc<Metrics>,
    node: Node,
    accounts: Arc<sammen_net::accounts::Accounts>,
) -> Router {
    let health = node.clone();
    Router::new()
        .route(
            "/metrics",
            get(move || async move {
                let text = metrics.render(&node, &accounts);
                ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
            }),
        )
        .route(
            "/health",
            get(move || async move {
                // The writer answers, so commits go through: an empty write costs no fsync.
                match health.write(|_| Ok(())).await {
                    Ok(()) => (axum::http::StatusCode::OK, "ok\n"),
                    Err(_) => (axum::http::StatusCode::SERVICE_UNAVAILABLE, "failing\n"),
                }
            }),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_counted_by_size() {
        let metrics = Metrics::default();
        for size in [1, 3, 256, 300] {
            metrics.store.committed(size, 1);
        }
        let mut text = Text(String::new());
        metrics.render_store(&mut text);
        for line in [
            "sammen_batch_writes_bucket{le=\"1\"} 1",
            "sammen_batch_writes_bucket{le=\"2\"} 1",
            "sammen_batch_writes_bucket{le=\"4\"} 2",
            "sammen_batch_writes_bucket{le=\"256\"} 3",
            "sammen_batch_writes_bucket{le=\"+Inf\"} 4",
            "sammen_batch_writes_sum 560",
            "sammen_batch_writes_count 4",
            "sammen_events_total 4",
        ] {
            assert!(text.0.lines().any(|l| l == line), "{line}\n{}", text.0);
        }
    }
}

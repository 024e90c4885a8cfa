//! The works: what is done to a server, and the numbers that come out.

pub mod direct;
pub mod fan;
pub mod idle;
pub mod irc;
pub mod login;
pub mod matrix;
pub mod room;

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::latency::Latencies;
use crate::meter::{Meter, own_cpu};
use crate::seen::Verdict;

/// When nothing has arrived for so long, nothing will.
const STALLED: Duration = Duration::from_secs(60);

/// What every work needs to know.
pub struct Setting {
    /// The server's processes.
    pub meter: Meter,
    /// The names of the accounts are this and a number.
    pub prefix: String,
    /// The longest that one phase may take.
    pub patience: Duration,
}

/// One measured stretch of work: what it cost the server and this generator.
pub struct Stretch {
    meter: Meter,
    started: Instant,
    cpu: f64,
    own: f64,
    memory: u64,
}

impl Stretch {
    /// Starts the clocks.
    pub fn start(meter: &Meter) -> Self {
        let memory = meter.memory_kib();
        Self {
            cpu: meter.cpu(),
            own: own_cpu(),
            memory,
            meter: meter.clone(),
            started: Instant::now(),
        }
    }

    /// When it started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Stops them at `ended`, just now; then waits until the server is quiet to count what it does behind the last delivery.
    pub async fn stop(self, ended: Instant, work: &str, units: u64) -> Map<String, Value> {
        let took = ended.duration_since(self.started).as_secs_f64();
        let cpu = self.meter.cpu() - self.cpu;
        let own = own_cpu() - self.own;
        self.meter.quiet(Duration::from_secs(30)).await;
        let total = self.meter.cpu() - self.cpu;
        let per_million = |cpu: f64| {
            if units == 0 {
                0.0
            } else {
                cpu * 1e6 / units as f64
            }
        };
        let fields = json!({
            "work": work, "units": units, "seconds": took, "per_second": units as f64 / took,
            "cpu_s": cpu, "cpu_total_s": total,
            "cpu_s_per_million": per_million(cpu), "cpu_total_s_per_million": per_million(total),
            "generator_cpu_s": own, "memory_kib_before": self.memory, "memory_kib": self.meter.memory_kib(),
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

/// Adds delivery times.
pub fn add_latencies(to: &mut Map<String, Value>, latencies: &mut Latencies) {
    let at = latencies.quantiles(&[0.5, 0.99, 0.999, 1.0]);
    for (name, ms) in ["p50_ms", "p99_ms", "p999_ms", "max_ms"].iter().zip(at) {
        to.insert((*name).to_owned(), json!(ms));
    }
}

/// Adds whether everything arrived exactly once and in order.
pub fn add_verdict(to: &mut Map<String, Value>, verdict: &Verdict) {
    to.insert("exactly_once".to_owned(), json!(verdict.perfect()));
    to.insert(
        "arrivals".to_owned(),
        json!({"lost": verdict.lost, "twice": verdict.twice, "disordered": verdict.disordered, "strange": verdict.strange}),
    );
}

/// Does something for `0..n`, at most `width` at a time, and gives the results in order.
pub async fn crowd<T, F, Fut>(n: usize, width: usize, each: F) -> io::Result<Vec<T>>
where
    T: 'static,
    F: Fn(usize) -> Fut,
    Fut: Future<Output = io::Result<T>> + 'static,
{
    let places = Rc::new(Semaphore::new(width));
    let mut set = JoinSet::new();
    for i in 0..n {
        let (places, future) = (places.clone(), each(i));
        set.spawn_local(async move {
            let _place = places.acquire().await;
            future.await.map(|value| (i, value))
        });
    }
    let mut results = Vec::with_capacity(n);
    while let Some(done) = set.join_next().await {
        results.push(done.map_err(io::Error::other)??);
    }
    results.sort_by_key(|(i, _)| *i);
    Ok(results.into_iter().map(|(_, value)| value).collect())
}

//! What the server's processes cost, read from /proc: CPU time and memory of the named processes and all their children.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// Linux reports CPU time in hundredths of a second to every program (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;

/// The processes that make up a server: roots, and whatever descends from them.
#[derive(Clone)]
pub struct Meter(Vec<u32>);

struct Process {
    parent: u32,
    ticks: u64,
}

impl Meter {
    /// Watches these processes.
    pub fn new(roots: Vec<u32>) -> Self {
        Self(roots)
    }

    /// User and system time so far, in seconds, with that of children that have ended and been waited for.
    pub fn cpu(&self) -> f64 {
        let all = processes();
        self.members(&all)
            .iter()
            .map(|pid| all[pid].ticks)
            .sum::<u64>() as f64
            / TICKS
    }

    /// Resident memory in KiB. Pages that several processes share count once between them (Pss).
    pub fn memory_kib(&self) -> u64 {
        let all = processes();
        self.members(&all)
            .iter()
            .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok())
            .filter_map(|text| {
                let line = text.lines().find(|line| line.starts_with("Pss:"))?;
                line.split_whitespace().nth(1)?.parse::<u64>().ok()
            })
            .sum()
    }

    /// Waits until the server has nothing left to do (two hundredths of a second in half a second or less), at most `longest`.
    pub async fn quiet(&self, longest: Duration) {
        let steps = longest.as_millis() / 500;
        let mut before = self.cpu();
        for _ in 0..steps {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.cpu();
            if now - before <= 0.02 {
                return;
            }
            before = now;
        }
    }

    fn members(&self, all: &HashMap<u32, Process>) -> Vec<u32> {
        let mut members: Vec<u32> = self
            .0
            .iter()
            .copied()
            .filter(|pid| all.contains_key(pid))
            .collect();
        let mut at = 0;
        while let Some(&parent) = members.get(at) {
            let children: Vec<u32> = all
                .iter()
                .filter(|(pid, process)| process.parent == parent && !members.contains(pid))
                .map(|(pid, _)| *pid)
                .collect();
            members.extend(children);
            at += 1;
        }
        members
    }
}

/// CPU seconds of the generator itself.
pub fn own_cpu() -> f64 {
    stat(std::process::id()).map_or(0.0, |process| process.ticks as f64 / TICKS)
}

fn processes() -> HashMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return HashMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect()
}

/// proc(5), /proc/PID/stat: after the name in parentheses come state, ppid, …, utime (14), stime, cutime, cstime.
fn stat(pid: u32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = fields
        .get(11..15)?
        .iter()
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        ticks,
    })
}

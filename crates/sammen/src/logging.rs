//! Logs: text or JSON on the standard error stream. What people write never stands in them.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// Handle to change the level while the node runs.
pub struct Logs(Option<reload::Handle<Targets, Registry>>);

/// Writes two lines for each event of a Matrix room at level info; one who wants them names it.
const CHATTY: &str = "ruma_state_res";

/// What `log.level` says.
///
/// # Errors
/// When a part of it is no level.
pub fn filter(text: &str) -> anyhow::Result<Targets> {
    let mut targets = Targets::new();
    for part in text.split(',').map(str::trim) {
        let (of, level) = match part.split_once('=') {
            Some((of, level)) => (Some(of), level),
            None => (None, part),
        };
        let level: LevelFilter = level.parse().map_err(|_| {
            anyhow::anyhow!(
                "log.level: {part:?} is no level: use error, warn, info, debug or trace"
            )
        })?;
        targets = match of {
            Some(of) => targets.with_target(of, level),
            None => targets
                .with_default(level)
                .with_target(CHATTY, level.min(LevelFilter::WARN)),
        };
    }
    Ok(targets)
}

/// Starts logging for the whole process.
///
/// # Errors
/// When the level is none.
pub fn start(log: &Log) -> anyhow::Result<Logs> {
    let (filter, handle) = reload::Layer::new(filter(&log.level)?);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    // Somebody logs already (a test): then that stays.
    Ok(Logs(started.is_ok().then_some(handle)))
}

impl Logs {
    /// Changes the level.
    ///
    /// # Errors
    /// When it is none.
    pub fn set(&self, level: &str) -> anyhow::Result<()> {
        let filter = filter(level)?;
        match &self.0 {
            Some(handle) => Ok(handle.reload(filter)?),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_chatty_library_speaks_only_where_it_is_named() {
        let says = |level: &str| {
            let filter = filter(level).unwrap();
            filter.would_enable("ruma_state_res::event_auth", &Level::INFO)
        };
        assert!(!says("info") && !says("debug") && !says("error,sammen=debug"));
        assert!(says("info,ruma_state_res=info"));
        let own = filter("debug").unwrap();
        assert!(own.would_enable("sammen_matrix::sync", &Level::DEBUG));
    }
}

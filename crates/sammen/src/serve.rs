//! `sammen serve`: a node from its configuration, until a signal or a failing store ends it.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::config::Config;
use crate::logging::{self, Logs};
use crate::notify::notify;
use crate::run::{self, Running};

/// The signals that a node obeys.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// Why a node ends, or what it is to do.
pub enum Word {
    /// End in order.
    Stop,
    /// Read certificates and configuration again.
    Reload,
}

impl Signals {
    /// Listens for them from now on.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Word {
        tokio::select! {
            _ = self.terminate.recv() => Word::Stop,
            _ = self.interrupt.recv() => Word::Stop,
            _ = self.hangup.recv() => Word::Reload,
        }
    }
}

/// Runs the node of a configuration file.
///
/// # Errors
/// When it can't start.
pub async fn serve(path: &Path) -> anyhow::Result<ExitCode> {
    let mut config = Config::read(path)?;
    let logs = logging::start(&config.log)?;
    let mut signals = Signals::listen()?;
    let running = run::start(&config).await?;
    say(&format!(
        "sammen is ready: {} {}",
        config.domain,
        where_it_listens(&running)
    ));
    if let Some(link) = running.first_link().await {
        say(&format!(
            "nobody has an account yet: open {link} to make the first administrator"
        ));
    }
    notify("READY=1");
    // An operator's REHASH: the protocol takes its part at once, everything else follows like after SIGHUP.
    let bell = Arc::new(Notify::new());
    let (ring, file) = (bell.clone(), path.to_owned());
    running.on_rehash(move || {
        ring.notify_one();
        Config::read(&file).ok()
    });
    let code = until_stopped(&running, &mut signals, &bell, || {
        match Config::read(path) {
            Ok(new) => {
                take_in(&running, &logs, &config, &new);
                config = new;
            }
            // A mistake in the file must not take the node down.
            Err(error) => tracing::error!("the configuration stays as it was: {error:#}"),
        }
    })
    .await;
    notify("STOPPING=1");
    running.stop().await;
    Ok(code)
}

fn take_in(running: &Running, logs: &Logs, old: &Config, new: &Config) {
    if let Err(error) = logs.set(&new.log.level) {
        tracing::error!("{error:#}");
    }
    running.reload(old, new);
}

/// Waits for a signal to stop, or for the store to fail. SIGHUP and the bell reload.
pub async fn until_stopped(
    running: &Running,
    signals: &mut Signals,
    bell: &Notify,
    mut reload: impl FnMut(),
) -> ExitCode {
    loop {
        tokio::select! {
            word = signals.next() => match word {
                Word::Stop => return ExitCode::SUCCESS,
                Word::Reload => reload(),
            },
            () = bell.notified() => reload(),
            why = running.failed() => {
                say(&format!("sammen stops, because what it acknowledges would not be safe: {why}"));
                return ExitCode::FAILURE;
            }
        }
    }
}

fn where_it_listens(running: &Running) -> String {
    let addresses = &running.addresses;
    let families = [
        ("xmpp", &addresses.xmpp),
        ("s2s", &addresses.s2s),
        ("irc", &addresses.irc),
        ("http", &addresses.http),
    ];
    let mut words = Vec::new();
    for (name, list) in families {
        for (_, address) in list {
            words.push(format!("{name} {address}"));
        }
    }
    words.extend(
        addresses
            .metrics
            .iter()
            .map(|address| format!("metrics {address}")),
    );
    words.join(", ")
}

/// A line for whoever started the node.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

//! The command line.

use std::io::{BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Parser, Subcommand};
use sammen_net::password::random_app_password;
use serde_json::json;

use crate::admin::{self, Request};
use crate::check;
use crate::config::{self, Config};
use crate::serve::say;
use crate::trial::{self, Trial};
use crate::{print, serve};

mod accounts;
mod invite;
mod rooms;
use accounts::Account;
use invite::Invite;
use rooms::Room;

/// A messaging node: one account, one history, with the app each person likes.
#[derive(Parser)]
#[command(name = "sammen", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Common {
    /// Print one line of JSON.
    #[arg(long, global = true)]
    json: bool,
    /// The data folder.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration [default: /etc/sammen/sammen.toml].
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "data")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a whole node on this computer alone, with two example accounts and a card per client.
    Try {
        /// Ports from here on: XMPP, XMPP with direct TLS, IRC with TLS, IRC in clear, HTTPS, metrics, other servers.
        #[arg(long, value_name = "BASE")]
        ports: Option<u16>,
        /// Further accounts user1, user2, … with one password, for load.
        #[arg(long, value_name = "N", default_value_t = 0)]
        accounts: usize,
        /// How much to log: error, warn, info, debug, trace.
        #[arg(long, value_name = "LEVEL")]
        log: Option<String>,
        /// The trial's domain; localhost if not said.
        #[arg(long, value_name = "DOMAIN")]
        domain: Option<sammen_core::Domain>,
        /// Where another XMPP server is: other.net=127.0.0.1:5269. Only those are spoken with.
        #[arg(long, value_name = "DOMAIN=HOST:PORT")]
        route: Vec<String>,
        /// The authority (PEM) of another server's certificate.
        #[arg(long, value_name = "FILE")]
        trust: Vec<PathBuf>,
    },
    /// Runs the node of a configuration.
    Serve,
    /// Accounts and their passwords.
    #[command(subcommand)]
    Account(Account),
    /// Rooms.
    #[command(subcommand)]
    Room(Room),
    /// Makes a link with which somebody makes an account, or becomes a contact.
    Invite(Invite),
    /// Says what is wrong with configuration, certificates and data.
    Check,
    /// Gives the room of what was erased back to the disk. Nobody can write meanwhile: a second for each 40 MiB or so.
    Compact,
    /// Writes an encrypted backup, also of a running node.
    Backup {
        /// The new file.
        to: PathBuf,
        /// Read the passphrase from the standard input; otherwise one is made up and printed once.
        #[arg(long)]
        stdin: bool,
        /// Then delete the backups in the same folder that are older than so many days. Without it those of
        /// `retention.backup_days` in the configuration; without that none.
        #[arg(long, value_name = "DAYS")]
        keep: Option<u32>,
    },
    /// Makes a new data folder from a backup; its passphrase comes from the standard input.
    Restore {
        /// The backup.
        from: PathBuf,
    },
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.common.json;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(run(cli));
            // What still reads from a store that hangs must not hold up the end.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            if json {
                let _ = print::line(&json!({ "error": print::error(&error) }).to_string());
            }
            say(&format!("sammen: {}", print::error(&error)));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { command, common } = cli;
    let request = match command {
        Command::Try {
            ports,
            accounts,
            log,
            domain,
            route,
            trust,
        } => {
            let trial = Trial {
                domain,
                routes: route,
                trust,
                data: common.data,
                ports,
                accounts,
                json: common.json,
                level: log,
            };
            return trial::run(trial).await;
        }
        Command::Serve => return serve::serve(&common.config_path()).await,
        Command::Check => return check(&common).await,
        Command::Backup { to, stdin, keep } => {
            let answer = backup(&common, &to, stdin, keep).await?;
            print::answer(&answer, common.json)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Restore { from } => {
            let data = common.data()?;
            let passphrase = password(true)?.unwrap_or_default();
            let restored = tokio::task::spawn_blocking(move || {
                admin::backup::restore(&from, &data, passphrase)
            });
            print::answer(&restored.await??, common.json)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Account(account) => account.into_request()?,
        Command::Room(room) => room.into_request(),
        Command::Compact => Request::Compact,
        Command::Invite(invite) => invite.into_request(),
    };
    let answer = common.ask(request).await?;
    print::answer(&answer, common.json)?;
    Ok(ExitCode::SUCCESS)
}

impl Common {
    fn config_path(&self) -> PathBuf {
        let path = self.config.clone();
        path.unwrap_or_else(|| config::DEFAULT_PATH.into())
    }

    /// The data folder: as named, or the configuration's.
    fn data(&self) -> anyhow::Result<PathBuf> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None => Ok(Config::read(&self.config_path())?.data),
        }
    }

    async fn ask(&self, request: Request) -> anyhow::Result<serde_json::Value> {
        match &self.data {
            Some(data) => admin::ask(data, None, request).await,
            None => {
                let config = Config::read(&self.config_path())?;
                admin::ask(&config.data, Some(&config), request).await
            }
        }
    }
}

async fn backup(
    common: &Common,
    to: &Path,
    stdin: bool,
    keep: Option<u32>,
) -> anyhow::Result<serde_json::Value> {
    let given = password(stdin)?;
    let made_up = given.is_none();
    let passphrase =
        given.unwrap_or_else(|| random_app_password(&mut rand::rng()).expose().to_owned());
    let config = match common.data {
        Some(_) => None,
        None => Some(Config::read(&common.config_path())?),
    };
    let data = common.data()?;
    let mut answer = admin::backup::write(&data, config.as_ref(), to, passphrase.clone()).await?;
    if let (true, Some(object)) = (made_up, answer.as_object_mut()) {
        object.insert("passphrase".into(), passphrase.into());
    }
    let days = keep.or(config.and_then(|c| c.retention.backup_days));
    if let (Some(days), Some(object)) = (days, answer.as_object_mut()) {
        object.insert("deleted".into(), admin::backup::expire(to, days)?.into());
    }
    Ok(answer)
}

async fn check(common: &Common) -> anyhow::Result<ExitCode> {
    let config = match common.data {
        Some(_) => None,
        None => Some(Config::read(&common.config_path())?),
    };
    // Checking makes nothing: before the first start there is no folder.
    let new = config
        .as_ref()
        .is_some_and(|c| !c.data.join("log.sqlite").exists());
    let mut answer = if new {
        serde_json::json!({})
    } else {
        common.ask(Request::Check).await?
    };
    let mut faults = Vec::new();
    if let Some(config) = &config {
        let listens = answer.get("listens").cloned().unwrap_or_default();
        let listens: Option<Vec<std::net::SocketAddr>> = serde_json::from_value(listens)?;
        faults = check::surroundings(config, listens.as_deref()).await;
    }
    if let Some(found) = answer.get("faults").and_then(|f| f.as_array()) {
        faults.extend(found.iter().filter_map(|f| f.as_str().map(str::to_owned)));
    }
    let fine = faults.is_empty();
    if let Some(object) = answer.as_object_mut() {
        object.insert("ok".into(), fine.into());
        object.insert("faults".into(), faults.clone().into());
    }
    if common.json {
        print::line(&answer.to_string())?;
    } else if fine {
        print::line("all is well")?;
    } else {
        print::line(&faults.join("\n"))?;
    }
    Ok(if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The first line of the standard input, where one was asked for. Never an argument: those stand in the process list.
pub(crate) fn password(stdin: bool) -> anyhow::Result<Option<String>> {
    if !stdin {
        return Ok(None);
    }
    if std::io::stdin().is_terminal() {
        say("password (it shows as you type):");
    }
    let mut line = String::new();
    let input = std::io::stdin().lock();
    input.take(4096).read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("there is no password on the standard input");
    }
    Ok(Some(password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_may_stand_behind_the_command() {
        let cli = Cli::parse_from([
            "sammen", "account", "add", "carol", "--json", "--data", "/x",
        ]);
        assert!(cli.common.json && cli.common.data.is_some());
    }
}

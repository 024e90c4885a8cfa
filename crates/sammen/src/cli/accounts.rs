//! `sammen account`.

use std::io::BufRead;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;

use super::password;
use crate::admin::{Request, certificates, switches};

/// Accounts and what they sign in with.
#[derive(Subcommand)]
pub enum Account {
    /// Makes an account. Its password is made up and printed once, unless it comes from the standard input.
    Add {
        /// The name: alice.
        name: String,
        /// Read the password from the standard input.
        #[arg(long)]
        stdin: bool,
        /// May administer the node from its apps.
        #[arg(long)]
        admin: bool,
    },
    /// Makes an account for each line of the standard input: a name, a space, a password.
    Import,
    /// All accounts.
    List,
    /// Sets the password and ends all sessions.
    Password {
        /// Whose.
        name: String,
        /// Read the password from the standard input.
        #[arg(long)]
        stdin: bool,
    },
    /// Makes a password for one app; it is printed once.
    AppPassword {
        /// Whose.
        name: String,
        /// What to call it: phone.
        #[arg(required_unless_present_any = ["list", "remove"])]
        label: Option<String>,
        /// Where it may be used: xmpp, irc. Everywhere if not said.
        #[arg(long, value_delimiter = ',', value_name = "PROTOCOLS")]
        only: Vec<String>,
        /// List what there is.
        #[arg(long, conflicts_with_all = ["label", "remove"])]
        list: bool,
        /// Take one away and end the sessions that came in by it.
        #[arg(long, value_name = "ID", conflicts_with = "label")]
        remove: Option<String>,
    },
    /// Client certificates that sign in without a password (SASL EXTERNAL).
    Certificate {
        /// Whose.
        name: String,
        #[command(subcommand)]
        command: Certificate,
    },
    /// Ends all sessions; every device has to sign in anew.
    SignOut {
        /// Whose.
        name: String,
    },
    /// Lets nobody sign in any more.
    Disable {
        /// Which.
        name: String,
    },
    /// Lets its person in again.
    Enable {
        /// Which.
        name: String,
    },
    /// Shows what an account lets others know and how long its direct conversations stay, and changes what is given.
    Settings {
        /// Whose.
        name: String,
        /// Whether its apps send receipts.
        #[arg(long, value_name = "on|off", value_parser = switches::on_or_off)]
        receipts: Option<bool>,
        /// Whether others see it type.
        #[arg(long, value_name = "on|off", value_parser = switches::on_or_off)]
        typing: Option<bool>,
        /// Whether contacts may ask when it was last seen.
        #[arg(long, value_name = "on|off", value_parser = switches::on_or_off)]
        last_seen: Option<bool>,
        /// After how many days its direct conversations (what both wrote) and the files that it uploaded are erased.
        #[arg(long, value_name = "DAYS|none", value_parser = switches::days)]
        retention: Option<u32>,
    },
    /// Removes an account and erases what it wrote. The name is not given out again.
    Remove {
        /// Which.
        name: String,
    },
}

/// Client certificates of an account.
#[derive(Subcommand)]
pub enum Certificate {
    /// Lets the certificate in a PEM file sign in.
    Add {
        /// The file; its key is not needed.
        file: PathBuf,
        /// What to call it [default: the file's name].
        #[arg(long)]
        label: Option<String>,
        /// Where it may be used: xmpp, irc. Everywhere if not said.
        #[arg(long, value_delimiter = ',', value_name = "PROTOCOLS")]
        only: Vec<String>,
    },
    /// Takes one away and ends the sessions that came in by it.
    Remove {
        /// Its SHA-256, in hexadecimal.
        fingerprint: String,
    },
    /// Lists what there is.
    List,
}

impl Account {
    /// What the node is asked for.
    ///
    /// # Errors
    /// When what comes from a file or the standard input is not usable.
    pub fn into_request(self) -> anyhow::Result<Request> {
        Ok(match self {
            Account::Add { name, stdin, admin } => Request::AccountAdd {
                name,
                password: password(stdin)?,
                admin,
            },
            Account::Import => Request::AccountImport { accounts: lines()? },
            Account::List => Request::AccountList,
            Account::Password { name, stdin } => Request::AccountPassword {
                name,
                password: password(stdin)?,
            },
            Account::AppPassword {
                name,
                label,
                only,
                list,
                remove,
            } => match (label, remove) {
                _ if list => Request::AppPasswordList { name },
                (_, Some(id)) => Request::AppPasswordRemove { name, id },
                (Some(label), None) => Request::AppPasswordAdd { name, label, only },
                (None, None) => bail!("say what to call the app password"),
            },
            Account::Certificate { name, command } => match command {
                Certificate::Add { file, label, only } => {
                    let stem = file.file_stem().and_then(|s| s.to_str());
                    Request::CertificateAdd {
                        name,
                        fingerprint: certificates::fingerprint_in(&file)?,
                        label: label.unwrap_or_else(|| stem.unwrap_or("certificate").to_owned()),
                        only,
                    }
                }
                Certificate::Remove { fingerprint } => {
                    Request::CertificateRemove { name, fingerprint }
                }
                Certificate::List => Request::CertificateList { name },
            },
            Account::SignOut { name } => Request::AccountSignOut { name },
            Account::Disable { name } => Request::AccountEnable {
                name,
                enabled: false,
            },
            Account::Enable { name } => Request::AccountEnable {
                name,
                enabled: true,
            },
            Account::Settings {
                name,
                receipts,
                typing,
                last_seen,
                retention,
            } => Request::AccountSettings {
                name,
                wishes: switches::Wishes {
                    receipts,
                    typing,
                    last_seen,
                    retention,
                },
            },
            Account::Remove { name } => Request::AccountRemove { name },
        })
    }
}

fn lines() -> anyhow::Result<Vec<(String, String)>> {
    let mut accounts = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let (name, password) = line.split_once(' ').with_context(|| {
            format!(
                "line {}: write a name, a space, a password",
                accounts.len() + 1
            )
        })?;
        accounts.push((name.to_owned(), password.to_owned()));
    }
    Ok(accounts)
}

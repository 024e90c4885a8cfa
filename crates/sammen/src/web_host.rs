//! What the web and Matrix sides have to ask of the binary: the disk, what is well, and pictures, which XMPP keeps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sammen_core::network::BoxFuture;
use sammen_core::setting::Setting;
use sammen_core::{Address, Outcome};
use sammen_net::Pictures;
use sammen_web::Host;
use sammen_web::types::{Check, Storage};

use crate::check;
use crate::config::Config;

/// The node, as the web side's host.
pub struct NodeHost {
    data: PathBuf,
    config: Setting<Config>,
    xmpp: Arc<sammen_xmpp::Server>,
}

impl NodeHost {
    /// The host of a node.
    pub fn new(config: &Config, xmpp: Arc<sammen_xmpp::Server>) -> Self {
        Self {
            data: config.data.clone(),
            config: Setting::new(config.clone()),
            xmpp,
        }
    }
}

impl NodeHost {
    /// The configuration that holds from now on.
    pub fn reload(&self, config: &Config) {
        self.config.set(config.clone());
    }
}

/// Bytes of a file; none where there is none.
fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// Bytes of all files below a folder.
fn size_below(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size_below(&entry.path()),
            _ => entry.metadata().map_or(0, |m| m.len()),
        })
        .sum()
}

impl Host for NodeHost {
    fn storage(&self) -> Storage {
        let with_log =
            |name: &str| size(&self.data.join(name)) + size(&self.data.join(format!("{name}-wal")));
        Storage {
            log_bytes: with_log("log.sqlite"),
            search_bytes: with_log("search.sqlite"),
            file_bytes: size_below(&self.data.join("blobs")),
            free_bytes: None,
            largest: Vec::new(),
        }
    }

    fn health(&self) -> Vec<Check> {
        let faults = check::certificates(&self.config.get());
        let certificates = Check {
            name: "certificates".into(),
            well: faults.is_empty(),
            text: if faults.is_empty() {
                "in order".into()
            } else {
                faults.join("; ")
            },
        };
        let probe = std::fs::metadata(&self.data);
        let writable = probe.is_ok_and(|m| !m.permissions().readonly());
        let folder = Check {
            name: "data folder".into(),
            well: writable,
            text: if writable {
                format!("{} bytes", size_below(&self.data))
            } else {
                "can't be written".into()
            },
        };
        vec![certificates, folder]
    }
}

impl Pictures for NodeHost {
    fn picture_version(&self, account: &Address) -> Option<String> {
        sammen_xmpp::pictures::version(&self.xmpp, account)
    }

    fn picture(&self, account: &Address) -> Outcome<Option<(String, Bytes)>> {
        sammen_xmpp::pictures::get(&self.xmpp, account)
    }

    fn set_picture<'a>(
        &'a self,
        account: &'a Address,
        picture: Option<(String, Bytes)>,
    ) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(sammen_xmpp::pictures::set(&self.xmpp, account, picture))
    }
}

//! The socket in the data folder through which administration commands reach the running node.
//!
//! One request a connection: a line of JSON in, `{"ok": …}` or `{"error": "…"}` out. Mode 0600, and the other side must be
//! the same user or root.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use sammen_net::CancellationToken;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::{Admin, Request};

const NAME: &str = "admin.socket";
/// Longest request: an import of many accounts.
const MOST: u64 = 16 << 20;
/// For sending a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest path that fits into a socket's address (sockaddr_un has 108 bytes).
const PATH_BYTES: usize = 100;

/// A listening socket; its file goes with it.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A file that stays is found dead and replaced by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Calls `with` with a path to the socket that is short enough, whatever the folder's is.
fn reach<T>(data: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = data.join(NAME);
    if path.as_os_str().len() <= PATH_BYTES {
        return with(&path);
    }
    let folder = File::open(data)?;
    with(&PathBuf::from(format!(
        "/proc/self/fd/{}/{NAME}",
        folder.as_raw_fd()
    )))
}

/// Binds the socket. The store's lock makes sure that nobody else listens there.
///
/// # Errors
/// When the folder can't be written.
pub fn listen(data: &Path) -> anyhow::Result<Socket> {
    let path = data.join(NAME);
    let bind = || -> io::Result<(UnixListener, u32)> {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        // The folder is its owner's alone, so nobody comes in between.
        let listener = reach(data, |path| UnixListener::bind(path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok((listener, fs::symlink_metadata(&path)?.uid()))
    };
    let (listener, owner) =
        bind().with_context(|| format!("cannot listen on {}", path.display()))?;
    Ok(Socket {
        listener,
        path,
        owner,
    })
}

/// Answers requests until `shutdown`; what was begun is finished.
pub async fn serve(socket: Socket, admin: Admin, shutdown: CancellationToken) {
    let mut conversations = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = conversations.join_next() => continue,
            accepted = socket.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let known = stream.peer_cred().is_ok_and(|peer| {
                    let uid = peer.uid();
                    uid == 0 || uid == socket.owner
                });
                if known {
                    let admin = admin.clone();
                    conversations.spawn(async move {
                        if let Err(error) = answer(stream, &admin).await {
                            tracing::debug!(%error, "an administration command went away");
                        }
                    });
                } else {
                    tracing::warn!("another user tried to administer the node");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the admin socket cannot accept");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    drop(socket);
    while conversations.join_next().await.is_some() {}
}

async fn answer(stream: UnixStream, admin: &Admin) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(MOST));
    tokio::time::timeout(PATIENCE, read.read_line(&mut line)).await??;
    let answer = match serde_json::from_str::<Request>(&line) {
        Ok(Request::Backup { passphrase }) => admin.send_backup(passphrase, &mut write).await?,
        Ok(request) => admin.run(request).await,
        Err(error) => Err(error.into()),
    };
    let answer = match answer {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": crate::print::error(&error) }),
    };
    write.write_all(format!("{answer}\n").as_bytes()).await
}

/// Connects to the node that runs on this folder; `None` where none does.
///
/// # Errors
/// When the socket is there but may not be used.
pub async fn connect(data: &Path) -> anyhow::Result<Option<UnixStream>> {
    let path = data.join(NAME);
    let connected = if path.as_os_str().len() <= PATH_BYTES {
        UnixStream::connect(&path).await
    } else if path.exists() {
        let folder = File::open(data)?;
        let short = format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd());
        UnixStream::connect(short).await
    } else {
        return Ok(None);
    };
    match connected {
        Ok(stream) => Ok(Some(stream)),
        // Nobody, or the file of a node that was killed.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(e) => Err(e).with_context(|| format!("cannot use {}", path.display())),
    }
}

/// Asks a running node.
///
/// # Errors
/// What the node says, or that it went away.
pub async fn ask(stream: UnixStream, request: &Request) -> anyhow::Result<Value> {
    let (read, mut write) = stream.into_split();
    let line = serde_json::to_string(request)? + "\n";
    write.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(read).read_line(&mut answer).await?;
    understand(&answer)
}

/// Takes an answer's line apart.
pub(super) fn understand(line: &str) -> anyhow::Result<Value> {
    if line.is_empty() {
        bail!("the node went away before it answered");
    }
    let mut answer: Value = serde_json::from_str(line)?;
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        bail!("{error}");
    }
    Ok(answer.get_mut("ok").map(Value::take).unwrap_or_default())
}

//! Backup of a node, running or not, and its restoration in another folder.
//!
//! The command that asks writes the file; a running node sends the sealed bytes through the socket, so that it needs no
//! right to write anywhere. A frame is a length (4 bytes, big endian) and as many bytes; an empty one ends the backup, and
//! the usual line of JSON follows.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sammen_store::backup::seal::{Cost, Key};
use sammen_store::backup::{self, Extra, Summary};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::{Admin, Request, offline, socket};
use crate::config::Config;
use crate::trial;

/// Bytes of a frame, and frames on their way to a slow reader.
const FRAME: usize = 256 * 1024;
const FRAMES: usize = 4;
/// Document namespaces that must not come back from a backup: what is good once. Matrix's one-time keys: some were given
/// out since. (OMEMO's are items of the apps, which publish new ones; counts of tokens and links of invitations are kept,
/// since forgetting them would end what people still rely on.)
const ONE_TIME: &[&str] = &[sammen_matrix::keys::ONE_TIME];

fn key(passphrase: String) -> Key {
    Key::Passphrase(passphrase, Cost::default())
}

/// What the node keeps in files beside the store, as they are named in backup and folder.
fn beside(data: &Path) -> Vec<Extra> {
    let names = ["tls/ca.pem", "tls/cert.pem", "tls/key.pem", trial::FILE];
    let all = names.map(|name| Extra {
        name: name.to_owned(),
        path: data.join(name),
    });
    all.into_iter()
        .filter(|extra| extra.path.exists())
        .collect()
}

fn told(summary: &Summary) -> Value {
    json!({ "blobs": summary.blobs, "bytes": summary.bytes, "files": summary.extras, "held": summary.held })
}

impl Admin {
    /// Writes a backup of this moment; the node runs on.
    async fn backup(
        &self,
        mut out: impl Write + Send + 'static,
        passphrase: String,
    ) -> anyhow::Result<Value> {
        let (store, extras, now) = (self.store.clone(), beside(&self.data), self.node.now());
        let written = tokio::task::spawn_blocking(move || -> anyhow::Result<Summary> {
            let summary = store.backup(&mut out, &key(passphrase), &extras, now)?;
            out.flush()?;
            Ok(summary)
        });
        Ok(told(&written.await??))
    }

    /// Answers a request for a backup on the socket.
    pub(super) async fn send_backup(
        &self,
        passphrase: String,
        socket: &mut (impl AsyncWriteExt + Unpin),
    ) -> io::Result<anyhow::Result<Value>> {
        let (frames, mut ready) = mpsc::channel::<Vec<u8>>(FRAMES);
        let admin = self.clone();
        let out = io::BufWriter::with_capacity(FRAME, Frames(frames));
        let written = tokio::spawn(async move { admin.backup(out, passphrase).await });
        while let Some(frame) = ready.recv().await {
            socket.write_u32(frame.len() as u32).await?;
            socket.write_all(&frame).await?;
        }
        socket.write_u32(0).await?;
        Ok(written.await.unwrap_or_else(|e| Err(e.into())))
    }
}

/// Hands what is written to it to a task, and waits where that is slow.
struct Frames(mpsc::Sender<Vec<u8>>);

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let frame = bytes.get(..FRAME).unwrap_or(bytes).to_vec();
        let length = frame.len();
        // An empty frame would be the end.
        if length > 0 {
            let sent = self.0.blocking_send(frame);
            sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is there only when it is whole.
struct Unfinished {
    path: PathBuf,
    done: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes a backup of a folder to a new file, whether a node runs there or not.
///
/// # Errors
/// When the file is there already, or something can't be read or written.
pub async fn write(
    data: &Path,
    config: Option<&Config>,
    to: &Path,
    passphrase: String,
) -> anyhow::Result<Value> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .with_context(|| format!("cannot write {}", to.display()))?;
    let mut unfinished = Unfinished {
        path: to.to_owned(),
        done: false,
    };
    let answer = match socket::connect(data).await? {
        Some(stream) => receive(stream, passphrase, &file).await?,
        None => {
            let assembled = offline::open(data, config).await?;
            let answer = assembled
                .admin()
                .backup(file.try_clone()?, passphrase)
                .await;
            assembled.close().await;
            answer?
        }
    };
    file.sync_all()?;
    sync_folder_of(to)?;
    unfinished.done = true;
    Ok(answer)
}

/// Deletes the backups beside `beside` that were made more than so many days ago, and returns their names. `beside` is
/// the newest and stays.
///
/// # Errors
/// When the folder can't be read or a file not be deleted.
pub fn expire(beside: &Path, days: u32) -> anyhow::Result<Vec<String>> {
    let folder = beside.parent().filter(|f| !f.as_os_str().is_empty());
    let now = sammen_core::Clock::now(&sammen_core::SystemClock);
    let before = now.plus_ms(-i64::from(days) * 86_400_000);
    let gone = backup::expire(folder.unwrap_or(Path::new(".")), before)
        .context("the backup is written, but older ones could not be deleted")?;
    let name = |path: PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
    Ok(gone.into_iter().filter_map(name).collect())
}

async fn receive(
    mut stream: UnixStream,
    passphrase: String,
    mut file: &fs::File,
) -> anyhow::Result<Value> {
    let request = serde_json::to_string(&Request::Backup { passphrase })? + "\n";
    stream.write_all(request.as_bytes()).await?;
    let mut stream = BufReader::new(stream);
    let gone = "the node went away before the backup was whole";
    loop {
        let length = stream.read_u32().await.context(gone)? as usize;
        if length == 0 {
            break;
        }
        if length > FRAME {
            bail!("the node sent a frame of {length} bytes");
        }
        let mut frame = vec![0; length];
        stream.read_exact(&mut frame).await.context(gone)?;
        // A file of the local disk: short enough for a command that does nothing else.
        file.write_all(&frame)?;
    }
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    socket::understand(&line)
}

/// Makes a name durable.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes a data folder from a backup. It must not be there, or be empty.
///
/// # Errors
/// When the passphrase is wrong, the backup damaged, or the folder in use.
pub fn restore(from: &Path, data: &Path, passphrase: String) -> anyhow::Result<Value> {
    let file = fs::File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    let input: Box<dyn Read> = Box::new(io::BufReader::with_capacity(FRAME, file));
    let summary = backup::restore(input, data, &key(passphrase), ONE_TIME)
        .with_context(|| format!("{} was not restored", from.display()))?;
    // What stood beside the store goes back to where it was.
    let extra = data.join("extra");
    for name in &summary.extras {
        let (old, new) = (extra.join(name), data.join(name));
        if let Some(folder) = new.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(old, &new)?;
        sync_folder_of(&new)?;
    }
    if extra.exists() {
        fs::remove_dir_all(&extra)?;
    }
    fs::File::open(data)?.sync_all()?;
    Ok(told(&summary))
}

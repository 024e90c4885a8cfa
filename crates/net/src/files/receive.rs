//! A file on its way in: measured exactly, and durable before the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use sammen_core::blob::BlobId;
use sammen_core::store::{BlobWriter, Store, StoreError};

use super::exif::Blanking;

/// How long a client may send nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that are written at once.
const AT_ONCE: usize = 256 * 1024;
/// Pieces that wait for that, however small.
const PIECES: usize = 256;

/// Why a file did not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing came for too long.
    #[error("the file stopped coming")]
    Slow,
    /// Fewer bytes than were said, or the connection broke.
    #[error("the file is not whole")]
    Short,
    /// More bytes than were said.
    #[error("the file is larger than was said")]
    Long,
    /// No room on the disk.
    #[error("the disk is full")]
    Full,
    /// The store can't take it now.
    #[error("try later")]
    Store,
}

impl Fault {
    /// The status that says so.
    pub fn status(self) -> StatusCode {
        match self {
            Fault::Slow => StatusCode::REQUEST_TIMEOUT,
            Fault::Short => StatusCode::BAD_REQUEST,
            Fault::Long => StatusCode::PAYLOAD_TOO_LARGE,
            Fault::Full => StatusCode::INSUFFICIENT_STORAGE,
            Fault::Store => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Moves a body of exactly `size` bytes to the store; returns the blob, durable but not yet referred to.
///
/// # Errors
/// When it is not whole, or the store can't take it.
pub async fn receive(store: Arc<dyn Store>, body: Body, size: u64) -> Result<BlobId, Fault> {
    let (blob, received) = receive_up_to(store, body, size).await?;
    // A blob that nothing refers to goes by itself.
    if received < size {
        return Err(Fault::Short);
    }
    Ok(blob)
}

/// The same with a body whose size was not said: at most `most` bytes. Returns how many came, too.
///
/// # Errors
/// When it breaks off, or the store can't take it.
pub async fn receive_up_to(
    store: Arc<dyn Store>,
    mut body: Body,
    most: u64,
) -> Result<(BlobId, u64), Fault> {
    let mut writing = Writing::begin(store, most).await?;
    let mut received = 0;
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let piece = match tokio::time::timeout(PATIENCE, frame).await {
            Err(_) => return Err(Fault::Slow),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Fault::Short),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
        };
        received += piece.len() as u64;
        if received > most {
            return Err(Fault::Long);
        }
        writing = writing.take(piece).await?;
    }
    Ok((writing.finish().await?, received))
}

/// A file on its way to the disk. Between two pieces it holds no thread: somebody who sends a byte now and then must not
/// keep others from what is read and written.
struct Writing {
    writer: Box<dyn BlobWriter>,
    walk: Blanking,
    waiting: Vec<Bytes>,
    waits: usize,
}

impl Writing {
    async fn begin(store: Arc<dyn Store>, most: u64) -> Result<Self, Fault> {
        blocking(move || {
            Ok(Self {
                writer: store.blob_writer(most)?,
                walk: Blanking::default(),
                waiting: Vec::new(),
                waits: 0,
            })
        })
        .await
    }

    async fn take(mut self, piece: Bytes) -> Result<Self, Fault> {
        self.waits += piece.len();
        self.waiting.push(piece);
        if self.waits < AT_ONCE && self.waiting.len() < PIECES {
            return Ok(self);
        }
        blocking(move || {
            self.write()?;
            Ok(self)
        })
        .await
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let mut out = Vec::with_capacity(self.waits);
        for piece in self.waiting.drain(..) {
            self.walk.feed(&piece, &mut out);
        }
        self.waits = 0;
        self.writer.write(&out)
    }

    async fn finish(mut self) -> Result<BlobId, Fault> {
        blocking(move || {
            self.write()?;
            let mut rest = Vec::new();
            self.walk.finish(&mut rest);
            self.writer.write(&rest)?;
            Ok(self.writer.finish()?.0)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(StoreError::Full)) => Err(Fault::Full),
        Ok(Err(_)) | Err(_) => Err(Fault::Store),
    }
}

#[cfg(test)]
mod tests {
    use sammen_core::memory::MemoryStore;
    use tokio::sync::mpsc;

    use super::super::get::Pieces;
    use super::*;

    type Brings = mpsc::Sender<Result<Bytes, std::io::Error>>;
    type Upload = tokio::task::JoinHandle<Result<(BlobId, u64), Fault>>;

    /// An upload that waits for its next piece, with the channel that brings it.
    fn begun(store: &Arc<MemoryStore>) -> (Brings, Upload) {
        let (pieces, coming) = mpsc::channel(4);
        let body = Body::new(Pieces(coming));
        let upload = tokio::spawn(receive_up_to(store.clone(), body, 100));
        (pieces, upload)
    }

    #[test]
    fn uploads_that_trickle_hold_no_threads() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let store = Arc::new(MemoryStore::new());
            let slow: Vec<_> = (0..3).map(|_| begun(&store)).collect();
            for (pieces, _) in &slow {
                pieces.send(Ok(Bytes::from_static(b"a"))).await.unwrap();
            }
            // The only thread is there for others while they wait.
            let (pieces, upload) = begun(&store);
            pieces.send(Ok(Bytes::from_static(b"whole"))).await.unwrap();
            drop(pieces);
            let (blob, size) = upload.await.unwrap().unwrap();
            assert_eq!((blob, size), (BlobId::of(b"whole"), 5));
            for (pieces, upload) in slow {
                pieces.send(Ok(Bytes::from_static(b"b"))).await.unwrap();
                drop(pieces);
                assert_eq!(upload.await.unwrap().unwrap().0, BlobId::of(b"ab"));
            }
        });
    }

    #[tokio::test]
    async fn what_is_too_long_or_breaks_off_is_no_file() {
        let store = Arc::new(MemoryStore::new());
        let (pieces, upload) = begun(&store);
        pieces.send(Ok(Bytes::from(vec![1; 101]))).await.unwrap();
        assert_eq!(upload.await.unwrap().err(), Some(Fault::Long));
        let (pieces, upload) = begun(&store);
        let broken = std::io::ErrorKind::ConnectionReset.into();
        pieces.send(Err(broken)).await.unwrap();
        assert_eq!(upload.await.unwrap().err(), Some(Fault::Short));
    }
}

//! A connection for sessions: reads and writes go on at the same time in one task, all of it bounded.
//!
//! ```text
//!            queue(Bytes)                      one vectored write for up to 64 pieces
//!  session ───────────────► outbox (bounded) ─────────────────────────────────────────► socket
//!     ▲                                                    no progress in time: dropped    │
//!     └── input (bounded) ◄── bytes a second ◄── cost a second (lines, stanzas) ◄─────────┘
//! ```
//!
//! A session's loop is a `select!` over [`Link::turn`], its events from the node (only while [`Link::has_room`]) and
//! its timers. An idle link holds no buffer.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    outbox::{Outbox, Overflow},
    rate::{Bucket, Rate},
};

/// Bytes read at once.
const READ: usize = 8192;

/// The bounds of a link.
#[derive(Clone, Copy, Debug)]
pub struct LinkConfig {
    /// Most bytes that wait for the session to make sense of them: its longest line, stanza or frame.
    pub max_input: usize,
    /// Most bytes that wait for the other side to read them. From half of it on there is no room for events.
    pub max_output: usize,
    /// How long the other side may take none of the bytes that wait.
    pub write_timeout: Duration,
    /// Bytes read.
    pub bytes: Rate,
    /// What the session charges for: lines, stanzas.
    pub cost: Rate,
}

impl Default for LinkConfig {
    /// 256 KiB each way, 30 s, no rates.
    fn default() -> Self {
        Self {
            max_input: 256 * 1024,
            max_output: 256 * 1024,
            write_timeout: Duration::from_secs(30),
            bytes: Rate::UNLIMITED,
            cost: Rate::UNLIMITED,
        }
    }
}

/// What happened on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There are new bytes in [`Link::input`].
    Input,
    /// The other side will send no more.
    Closed,
    /// There is room for events again.
    Room,
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side read nothing for too long.
    #[error("the other side does not read")]
    WriteTimeout,
    /// The session left more than [`LinkConfig::max_input`] bytes lying: a line or stanza that is too long.
    #[error("the input buffer is full")]
    InputFull,
    /// Bytes in clear came after the request for TLS (CVE-2011-0411).
    #[error("bytes in clear after the request for TLS")]
    UnreadInput,
}

/// A connection with its buffers.
#[derive(Debug)]
pub struct Link<S> {
    stream: S,
    config: LinkConfig,
    /// Bytes that came and are not yet understood; take away from the front what was.
    pub input: BytesMut,
    outbox: Outbox,
    /// Handed to the stream, perhaps still in TLS' buffer.
    unflushed: bool,
    /// Somebody was told that there is no room.
    crowded: bool,
    ended: bool,
    bytes: Bucket,
    cost: Bucket,
    /// When to give up on a side that reads nothing.
    give_up: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// A link over a stream.
    pub fn new(stream: S, config: LinkConfig) -> Self {
        let now = Instant::now();
        Self {
            stream,
            config,
            input: BytesMut::new(),
            outbox: Outbox::default(),
            unflushed: false,
            crowded: false,
            ended: false,
            bytes: Bucket::new(config.bytes, now),
            cost: Bucket::new(config.cost, now),
            give_up: None,
            timer: None,
        }
    }

    /// Queues bytes that others may share. They are written during the next [`Link::turn`].
    pub fn queue(&mut self, bytes: Bytes) -> Result<(), Overflow> {
        self.outbox.push(bytes, self.config.max_output)
    }

    /// Queues a copy of some bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        self.outbox.write(bytes, self.config.max_output)
    }

    /// Bytes that wait to be written.
    pub fn queued(&self) -> usize {
        self.outbox.len()
    }

    /// Whether events may be queued; the other half of the outbox is for answers. After a `false`, [`Turn::Room`]
    /// tells when it changes.
    pub fn has_room(&mut self) -> bool {
        self.crowded = self.outbox.len() > self.config.max_output / 2;
        !self.crowded
    }

    /// Charges the other side for what it made us do. In debt, nothing more is read from it until the debt is paid.
    pub fn charge(&mut self, units: usize) {
        self.cost.charge(units, Instant::now());
    }

    /// Other rates, for instance after signing in.
    pub fn set_rates(&mut self, bytes: Rate, cost: Rate) {
        let now = Instant::now();
        self.bytes = Bucket::new(bytes, now);
        self.cost = Bucket::new(cost, now);
    }

    /// Another bound for input, for instance after signing in.
    pub fn set_max_input(&mut self, bytes: usize) {
        self.config.max_input = bytes;
    }

    /// Writes and reads until something happened. May be dropped at any point without loss.
    pub async fn turn(&mut self) -> Result<Turn, LinkError> {
        poll_fn(|cx| self.poll_turn(cx)).await
    }

    /// Writes everything that waits, under the same timeout.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        poll_fn(|cx| {
            if self.poll_outbox(cx)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            self.poll_timer(cx, self.give_up)
                .map(|()| Err(LinkError::WriteTimeout))
        })
        .await
    }

    /// Writes everything that waits and ends our side properly (with TLS' `close_notify`).
    pub async fn close(&mut self) -> Result<(), LinkError> {
        self.flush().await?;
        let shutdown = poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx));
        tokio::time::timeout(self.config.write_timeout, shutdown)
            .await
            .map_err(|_| LinkError::WriteTimeout)??;
        Ok(())
    }

    /// Writes everything that waits and gives the stream back, for STARTTLS or WebSocket. Refuses when the other side
    /// has sent bytes already that nobody looked at.
    pub async fn into_stream(mut self) -> Result<S, LinkError> {
        if !self.input.is_empty() {
            return Err(LinkError::UnreadInput);
        }
        self.flush().await?;
        Ok(self.stream)
    }

    /// [`turn`](Self::turn) for loops that poll by hand.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<Turn, LinkError>> {
        if self.input.is_empty() && self.input.capacity() > 0 {
            self.input = BytesMut::new(); // Nothing is kept while nothing comes.
        }
        loop {
            let written = self.poll_outbox(cx)?.is_ready();
            if self.crowded && self.has_room() {
                return Poll::Ready(Ok(Turn::Room));
            }
            let pause = if self.bytes.in_debt() || self.cost.in_debt() {
                let now = Instant::now();
                self.bytes.paid_at(now).max(self.cost.paid_at(now))
            } else {
                None
            };
            if pause.is_none() && !self.ended {
                if self.input.len() >= self.config.max_input {
                    return Poll::Ready(Err(LinkError::InputFull));
                }
                if let Poll::Ready(turn) = self.poll_input(cx) {
                    return Poll::Ready(turn);
                }
            }
            // After its end a link has only its writes to do.
            if self.ended && written {
                return Poll::Ready(Ok(Turn::Closed));
            }
            let wake = [pause, self.give_up].into_iter().flatten().min();
            ready!(self.poll_timer(cx, wake));
            if self.give_up.is_some_and(|end| end <= Instant::now()) {
                return Poll::Ready(Err(LinkError::WriteTimeout));
            }
        }
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<Turn, LinkError>> {
        // On the stack, so that ten thousand idle connections hold no buffers.
        let mut buffer = [const { MaybeUninit::uninit() }; READ];
        let most = READ.min(self.config.max_input.saturating_sub(self.input.len()));
        let mut buffer = ReadBuf::uninit(buffer.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let read = buffer.filled();
        if read.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(Turn::Closed));
        }
        self.bytes.charge(read.len(), Instant::now());
        self.input.extend_from_slice(read);
        Poll::Ready(Ok(Turn::Input))
    }

    /// Ready once nothing waits any more. Sets the deadline while the other side takes nothing.
    fn poll_outbox(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            let stream = &mut self.stream;
            let written = self.outbox.slices(|slices| match slices {
                // A plain write is the cheaper system call.
                [one] => Pin::new(stream).poll_write(cx, one),
                many => Pin::new(stream).poll_write_vectored(cx, many),
            });
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.outbox.advance(count);
                    self.unflushed = true;
                    self.give_up = None;
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return self.blocked(),
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(done) => done?,
                Poll::Pending => return self.blocked(),
            }
            self.unflushed = false;
        }
        self.give_up = None;
        Poll::Ready(Ok(()))
    }

    fn blocked(&mut self) -> Poll<io::Result<()>> {
        self.give_up
            .get_or_insert_with(|| Instant::now() + self.config.write_timeout);
        Poll::Pending
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn small() -> LinkConfig {
        LinkConfig {
            max_input: 64,
            max_output: 1000,
            ..LinkConfig::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_reads_nothing_is_dropped_and_costs_bounded_memory() {
        let (ours, mut theirs) = duplex(100);
        let mut link = Link::new(ours, small());
        assert!(link.has_room());
        while link.write(b"0123456789").is_ok() {}
        assert_eq!(link.queued(), 1000);
        assert!(!link.has_room());
        let start = Instant::now();
        assert!(matches!(link.turn().await, Err(LinkError::WriteTimeout)));
        assert_eq!(start.elapsed(), Duration::from_secs(30));
        // Another that reads slowly, but reads, is kept.
        let mut got = [0; 100];
        theirs.read_exact(&mut got).await.unwrap();
        tokio::select! {
            turn = link.turn() => panic!("{turn:?}"),
            () = tokio::time::sleep(Duration::from_secs(29)) => {}
        }
        let reader = tokio::spawn(async move {
            let mut all = vec![0; 900];
            theirs.read_exact(&mut all).await.unwrap();
            theirs
        });
        assert_eq!(link.turn().await.unwrap(), Turn::Room);
        link.flush().await.unwrap();
        assert_eq!(link.queued(), 0);
        drop(reader.await.unwrap());
        assert_eq!(link.turn().await.unwrap(), Turn::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_read_no_faster_than_allowed() {
        let (ours, mut theirs) = duplex(100_000);
        let bytes = Rate {
            per_second: 1000,
            burst: 2000,
        };
        let mut link = Link::new(
            ours,
            LinkConfig {
                bytes,
                ..LinkConfig::default()
            },
        );
        theirs.write_all(&[b'x'; 50_000]).await.unwrap();
        let (start, mut read) = (Instant::now(), 0);
        while read < 50_000 {
            assert_eq!(link.turn().await.unwrap(), Turn::Input);
            read += link.input.split().len();
        }
        link.write(b"done").unwrap();
        // 50,000 bytes less the burst less the last debt at 1000 a second.
        assert!(
            start.elapsed() >= Duration::from_secs(39),
            "{:?}",
            start.elapsed()
        );
        assert!(
            start.elapsed() <= Duration::from_secs(50),
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn lines_cost_what_the_session_charges_and_writing_goes_on_meanwhile() {
        let (ours, mut theirs) = duplex(1000);
        let cost = Rate {
            per_second: 1,
            burst: 3,
        };
        let mut link = Link::new(
            ours,
            LinkConfig {
                cost,
                ..LinkConfig::default()
            },
        );
        theirs.write_all(b"NICK a\n").await.unwrap();
        assert_eq!(link.turn().await.unwrap(), Turn::Input);
        link.charge(13);
        theirs.write_all(b"NICK b\n").await.unwrap();
        link.write(b"answer").unwrap();
        let start = Instant::now();
        assert_eq!(link.turn().await.unwrap(), Turn::Input);
        assert_eq!(start.elapsed(), Duration::from_secs(10));
        let mut got = [0; 6];
        theirs.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"answer");
    }

    #[tokio::test]
    async fn an_endless_line_fills_the_buffer_and_no_more() {
        let (ours, mut theirs) = duplex(1000);
        let mut link = Link::new(ours, small());
        theirs.write_all(&[b'x'; 500]).await.unwrap();
        assert_eq!(link.turn().await.unwrap(), Turn::Input);
        assert_eq!(link.input.len(), 64);
        assert!(matches!(link.turn().await, Err(LinkError::InputFull)));
        assert!(matches!(
            link.into_stream().await,
            Err(LinkError::UnreadInput)
        ));
    }

    #[tokio::test]
    async fn many_pieces_leave_in_few_writes() {
        struct Counting(Vec<usize>);
        impl AsyncRead for Counting {
            fn poll_read(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                _: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Poll::Pending
            }
        }
        impl AsyncWrite for Counting {
            fn poll_write(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                b: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.0.push(b.len());
                Poll::Ready(Ok(b.len()))
            }
            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let all = bufs.iter().map(|b| b.len()).sum();
                self.0.push(all);
                Poll::Ready(Ok(all))
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
        let mut link = Link::new(Counting(Vec::new()), LinkConfig::default());
        let message = Bytes::from(vec![b'x'; 600]);
        for _ in 0..128 {
            link.queue(message.clone()).unwrap();
        }
        link.flush().await.unwrap();
        assert_eq!(link.stream.0, [64 * 600, 64 * 600]);
    }
}

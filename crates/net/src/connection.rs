//! One accepted connection: its bytes, with or without TLS, and who is at the other end.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::{
    limits::Seat,
    sasl::Channel,
    tls::{Acceptor, TlsInfo},
};

/// The bytes of a connection.
#[derive(Debug)]
pub enum Stream {
    /// In clear.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// Under TLS towards another server, where this node is the client.
    Out(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// A connection as a listener hands it over.
pub struct Connection {
    /// Its bytes.
    pub stream: Stream,
    /// Who is there.
    pub peer: Peer,
}

/// Who is at the other end, and what this connection may do. Keep it for as long as the connection lives: with it the
/// connection's place in the limits is given back.
pub struct Peer {
    /// The other end.
    pub address: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// The listener's name.
    pub listener: &'static str,
    /// TLS, once it is there.
    pub tls: Option<TlsInfo>,
    /// Whether the session may let people sign in without TLS.
    pub plain_allowed: bool,
    /// Cancelled when the node goes down: say goodbye and end.
    pub shutdown: CancellationToken,
    pub(crate) starttls: Option<Arc<Acceptor>>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) _seat: Seat,
}

/// Why STARTTLS did not happen. The connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum StartTlsError {
    /// TLS is there already, or this listener has none.
    #[error("TLS cannot be started on this connection")]
    NotOffered,
    /// The handshake took too long.
    #[error("the TLS handshake took too long")]
    TimedOut,
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Failed(#[from] io::Error),
}

impl Peer {
    /// Whether STARTTLS can be offered.
    pub fn can_start_tls(&self) -> bool {
        self.tls.is_none() && self.starttls.is_some()
    }

    /// What SASL needs to know.
    pub fn channel(&self) -> Channel {
        self.tls
            .as_ref()
            .map(|tls| tls.channel.clone())
            .unwrap_or_default()
    }

    /// Upgrades a connection. The caller has written its answer and made sure that nothing the client sent in clear
    /// is left in a buffer: such bytes could come from someone in between (`Link::into_stream` refuses then).
    pub async fn start_tls(&mut self, stream: Stream) -> Result<Stream, StartTlsError> {
        let (Stream::Plain(tcp), Some(acceptor)) = (stream, &self.starttls) else {
            return Err(StartTlsError::NotOffered);
        };
        // Boxed: a handshake is large and short, a session's future lives long.
        let handshake = Box::pin(timeout(self.handshake_timeout, acceptor.accept(tcp)));
        let (tls, info) = handshake.await.map_err(|_| StartTlsError::TimedOut)??;
        self.tls = Some(info);
        Ok(Stream::Tls(Box::new(tls)))
    }
}

macro_rules! each {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain($inner) => {
                let $inner = Pin::new($inner);
                $call
            }
            Stream::Tls($inner) => {
                let $inner = Pin::new(&mut **$inner);
                $call
            }
            Stream::Out($inner) => {
                let $inner = Pin::new(&mut **$inner);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, inner => inner.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, inner => inner.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, inner => inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => inner.poll_shutdown(cx))
    }
}

//! Listening: accept, count, look at the first byte, do the TLS handshake, hand over, and drain at the end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    connection::{Connection, Peer, Stream},
    limits::{ConnectionLimits, Seat},
    tls::Acceptor,
};

/// First byte of a TLS handshake record (RFC 8446 §5.1); no text protocol starts with it.
const TLS_HANDSHAKE: u8 = 0x16;
/// Connections that the kernel keeps waiting for us.
const BACKLOG: u32 = 1024;
/// Pause after the first accept error, and the longest one.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How connections of a listener are protected.
#[derive(Clone, Debug)]
pub enum Security {
    /// TLS from the first byte, nothing else.
    Tls(Arc<Acceptor>),
    /// By the first byte: TLS at once, or clear text that the session has to upgrade before anybody signs in.
    StartTls(Arc<Acceptor>),
    /// By the first byte too, but clear text may stay clear.
    Plain {
        /// For clients that want TLS anyhow.
        tls: Option<Arc<Acceptor>>,
        /// Without it, only loopback addresses are listened on.
        beyond_loopback: bool,
    },
}

/// A listener's settings.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// For logs and metrics: `xmpp`, `irc`.
    pub name: &'static str,
    /// Where; port 0 lets the system choose.
    pub address: SocketAddr,
    /// TLS or not.
    pub security: Security,
    /// For the first byte, and again for a TLS handshake.
    pub handshake_timeout: Duration,
    /// How long sessions may take to end when the node goes down.
    pub drain: Duration,
}

/// Why a listener did not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Clear text on an address that others can reach, without the setting that asks for it.
    #[error(
        "{name}: {address} would carry passwords in clear text; listen on loopback, use TLS, or allow it explicitly"
    )]
    PlainBeyondLoopback {
        /// The listener.
        name: &'static str,
        /// Its address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("{name}: cannot listen on {address}: {source}")]
    Bind {
        /// The listener.
        name: &'static str,
        /// Its address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A bound listener.
pub struct Listener {
    config: ListenerConfig,
    limits: Arc<ConnectionLimits>,
    socket: TcpListener,
    local: SocketAddr,
}

impl Listener {
    /// Binds. From here on clients can connect; they are served once [`Listener::serve`] runs.
    pub fn bind(
        config: ListenerConfig,
        limits: Arc<ConnectionLimits>,
    ) -> Result<Self, ListenError> {
        let (name, address) = (config.name, config.address);
        if let Security::Plain {
            beyond_loopback: false,
            ..
        } = config.security
            && !address.ip().to_canonical().is_loopback()
        {
            return Err(ListenError::PlainBeyondLoopback { name, address });
        }
        let bind = || {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG)?;
            let local = socket.local_addr()?;
            Ok((socket, local))
        };
        let (socket, local) = bind().map_err(|source| ListenError::Bind {
            name,
            address,
            source,
        })?;
        Ok(Self {
            config,
            limits,
            socket,
            local,
        })
    }

    /// The address with the port that was chosen.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `shutdown` is cancelled and all sessions ended or the drain time is over. The handler runs once
    /// per connection, on a task of its own; a panic in it ends that connection only.
    pub async fn serve<H, F>(self, handler: H, shutdown: CancellationToken)
    where
        H: Fn(Connection) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Self {
            config,
            limits,
            socket,
            ..
        } = self;
        serve(
            socket,
            Arc::new(config),
            limits,
            Arc::new(handler),
            shutdown,
        )
        .await;
    }
}

/// Where connections come from; tests put errors in between.
trait Accept {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)>;
}

impl Accept for TcpListener {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        Self::accept(self).await
    }
}

async fn serve<A, H, F>(
    mut source: A,
    config: Arc<ListenerConfig>,
    limits: Arc<ConnectionLimits>,
    handler: Arc<H>,
    shutdown: CancellationToken,
) where
    A: Accept,
    H: Fn(Connection) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let mut sessions = JoinSet::new();
    let mut pause = PAUSE;
    let mut room = None;
    loop {
        // First a free place, then a connection for it: what is too much waits in the kernel.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = sessions.join_next() => report(config.name, ended),
            free = limits.room(), if room.is_none() => room = free,
            accepted = source.accept(), if room.is_some() => match accepted {
                Ok((stream, address)) => {
                    pause = PAUSE;
                    if let Some(room) = room.take() {
                        start(&mut sessions, stream, address, room, &config, &limits, &handler, &shutdown);
                    }
                }
                // The client was gone before we looked.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(e) => {
                    // Mostly no file descriptors left: those in use have to end first, so don't spin.
                    tracing::warn!(listener = config.name, "cannot accept connections: {e}");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                    }
                }
            },
        }
    }
    drop((source, room));
    let drained = timeout(config.drain, async {
        while let Some(ended) = sessions.join_next().await {
            report(config.name, ended);
        }
    });
    if drained.await.is_err() {
        tracing::warn!(
            listener = config.name,
            "{} connections did not end in time",
            sessions.len()
        );
        sessions.shutdown().await;
    }
}

fn report(listener: &str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(e) = ended
        && e.is_panic()
    {
        tracing::error!(listener, "a session panicked: {e}");
    }
}

#[expect(clippy::too_many_arguments, reason = "the loop's own state, used once")]
fn start<H, F>(
    sessions: &mut JoinSet<()>,
    stream: TcpStream,
    address: SocketAddr,
    room: OwnedSemaphorePermit,
    config: &Arc<ListenerConfig>,
    limits: &Arc<ConnectionLimits>,
    handler: &Arc<H>,
    shutdown: &CancellationToken,
) where
    H: Fn(Connection) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let Some(seat) = limits.seat(room, address.ip()) else {
        tracing::debug!(listener = config.name, %address, "too many connections from one address");
        return;
    };
    let (config, handler, shutdown) = (Arc::clone(config), Arc::clone(handler), shutdown.clone());
    sessions.spawn(async move {
        // Boxed: the handshake's state is gone before the session's long life begins.
        let opened = Box::pin(open(stream, address, seat, &config, shutdown.clone()));
        tokio::select! {
            biased;
            opened = opened => match opened {
                Ok(connection) => {
                    drop(config);
                    handler(connection).await;
                }
                Err(e) => tracing::debug!(listener = config.name, %address, "no connection: {e}"),
            },
            // Who has not finished the handshake has nothing to lose.
            () = shutdown.cancelled() => {}
        }
    });
}

async fn open(
    stream: TcpStream,
    address: SocketAddr,
    seat: Seat,
    config: &ListenerConfig,
    shutdown: CancellationToken,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?; // Sessions write whole batches.
    let local = stream.local_addr()?;
    let (acceptor, must, plain_allowed) = match &config.security {
        Security::Tls(acceptor) => (Some(acceptor), true, false),
        Security::StartTls(acceptor) => (Some(acceptor), false, false),
        Security::Plain { tls, .. } => (tls.as_ref(), false, true),
    };
    let mut peer = Peer {
        address,
        local,
        listener: config.name,
        tls: None,
        plain_allowed,
        shutdown,
        starttls: acceptor.cloned(),
        handshake_timeout: config.handshake_timeout,
        _seat: seat,
    };
    let mut stream = Stream::Plain(stream);
    if must || (acceptor.is_some() && starts_tls(&stream, config.handshake_timeout).await?) {
        stream = peer.start_tls(stream).await.map_err(io::Error::other)?;
    }
    Ok(Connection { stream, peer })
}

async fn starts_tls(stream: &Stream, patience: Duration) -> io::Result<bool> {
    let Stream::Plain(tcp) = stream else {
        return Ok(false);
    };
    let mut first = [0];
    match timeout(patience, tcp.peek(&mut first)).await {
        Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(Ok(_)) => Ok(first == [TLS_HANDSHAKE]),
        Ok(Err(e)) => Err(e),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::{io::AsyncReadExt, io::AsyncWriteExt, time::Instant};

    /// A listener of a process that has no file descriptor left for a while.
    struct Starved {
        socket: TcpListener,
        errors: u32,
        asked: Arc<AtomicUsize>,
    }

    impl Accept for Starved {
        async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.errors > 0 {
                self.errors -= 1;
                return Err(io::Error::from_raw_os_error(24)); // EMFILE
            }
            self.socket.accept().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_file_descriptors_left_means_waiting_not_spinning() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let source = Starved {
            socket,
            errors: 10,
            asked: Arc::clone(&asked),
        };
        let config = ListenerConfig {
            name: "test",
            address,
            security: Security::Plain {
                tls: None,
                beyond_loopback: false,
            },
            handshake_timeout: Duration::from_secs(1),
            drain: Duration::from_secs(1),
        };
        let handler = |mut connection: Connection| async move {
            connection.stream.write_all(b"hello").await.unwrap();
        };
        let limits = ConnectionLimits::new(10, 10);
        let shutdown = CancellationToken::new();
        let start = Instant::now();
        let serving = tokio::spawn(serve(
            source,
            Arc::new(config),
            limits,
            Arc::new(handler),
            shutdown.clone(),
        ));
        let mut client = TcpStream::connect(address).await.unwrap();
        let mut hello = String::new();
        client.read_to_string(&mut hello).await.unwrap();
        assert_eq!(hello, "hello");
        // 50 ms doubling to 2 s: 0.05 + 0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 4 × 2.
        assert!(
            start.elapsed() >= Duration::from_millis(11_150),
            "{:?}",
            start.elapsed()
        );
        assert!(asked.load(Ordering::Relaxed) < 20);
        shutdown.cancel();
        serving.await.unwrap();
    }
}

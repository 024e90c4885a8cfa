//! The task of one connection: bytes to lines to the session, its output and its timers.

use std::sync::Arc;
use std::time::Duration;

use sammen_core::Delivery;
use sammen_net::{CancellationToken, Connection, Link, LinkConfig, LinkError, Rate, Turn};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, interval_at};

use crate::server::Server;
use crate::session::{CROWDED, Client, Session};
use crate::wire::{LineEvent, LineSplitter, message};

/// Most bytes that wait for a client that does not read.
const MOST: usize = 4 * 1024 * 1024;
/// Deliveries taken at once.
const TAKE: usize = 256;
/// How often timers are looked at.
const TICK: Duration = Duration::from_secs(5);

/// Serves a connection of a listener until it ends.
pub async fn serve(server: Arc<Server>, connection: Connection) {
    let Connection { stream, peer } = connection;
    let client = Client {
        address: peer.address.ip(),
        channel: peer.channel(),
        plain_allowed: peer.plain_allowed,
    };
    serve_stream(server, stream, client, peer.shutdown.clone()).await;
    drop(peer);
}

/// Serves any stream: for tests and local sockets.
pub async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin>(
    server: Arc<Server>,
    stream: S,
    client: Client,
    shutdown: CancellationToken,
) {
    let config = server.config();
    let link = LinkConfig {
        max_input: 64 * 1024,
        max_output: MOST,
        write_timeout: Duration::from_secs(60),
        bytes: Rate::UNLIMITED,
        cost: Rate {
            per_second: config.commands_per_second,
            burst: config.commands_burst,
        },
    };
    let mut link = Link::new(stream, link);
    let mut session = Session::new(server, client);
    if let Err(error) = talk(&mut link, &mut session, &shutdown).await {
        tracing::debug!(protocol = "irc", "a connection ended: {error}");
    }
    session.leave().await;
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    session: &mut Session,
    shutdown: &CancellationToken,
) -> Result<(), LinkError> {
    let mut splitter = LineSplitter::new(message::Limits::FROM_CLIENT);
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    let mut inbox: Vec<Delivery> = Vec::new();
    loop {
        let mailbox = session.mailbox();
        let room = link.has_room();
        if room && session.has_work() {
            session.work().await;
            queue(link, session)?;
            // Lines and timers come to their turn, too.
            tokio::task::yield_now().await;
        }
        let idle = !session.has_work();
        tokio::select! {
            turn = link.turn() => match turn? {
                Turn::Input => {
                    session.heard();
                    splitter.feed(&link.input.split());
                    lines(link, session, &mut splitter).await?;
                }
                Turn::Closed => return Ok(()),
                Turn::Room => {}
            },
            () = receive(mailbox.as_deref(), &mut inbox), if room && idle => {
                session.accept(&mut inbox);
                session.work().await;
            }
            () = std::future::ready(()), if room && !idle => {}
            _ = ticks.tick() => session.tick().await,
            () = shutdown.cancelled(), if !session.ended() => session.close("the server shuts down"),
        }
        queue(link, session)?;
        if session.ended() {
            let _ = link.close().await;
            return Ok(());
        }
    }
}

async fn receive(mailbox: Option<&sammen_core::Mailbox>, inbox: &mut Vec<Delivery>) {
    match mailbox {
        Some(mailbox) => mailbox.receive(inbox, TAKE).await,
        None => std::future::pending().await,
    }
}

async fn lines<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    session: &mut Session,
    splitter: &mut LineSplitter,
) -> Result<(), LinkError> {
    catch_up(link, session).await?;
    while let Some(event) = splitter.next_line() {
        link.charge(1);
        match event {
            LineEvent::Line(line) => session.line(line).await,
            LineEvent::TooLong => session.too_long(),
        }
        if session.output_bytes() > CROWDED {
            flush(link, session).await?;
        }
        if session.ended() {
            break;
        }
    }
    Ok(())
}

/// Before a command everything announced up to now is shown, as fast as the client reads it.
async fn catch_up<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    session: &mut Session,
) -> Result<(), LinkError> {
    if let Some(mailbox) = session.mailbox() {
        let mut inbox = Vec::new();
        mailbox.take(&mut inbox, usize::MAX);
        session.accept(&mut inbox);
    }
    while session.has_work() && !session.ended() {
        session.work().await;
        if session.has_work() {
            flush(link, session).await?;
        }
    }
    Ok(())
}

fn queue<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    session: &mut Session,
) -> Result<(), LinkError> {
    for bytes in session.take_output() {
        // More than anyone may leave lying: like one who reads nothing.
        link.queue(bytes).map_err(|_| LinkError::WriteTimeout)?;
    }
    Ok(())
}

async fn flush<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    session: &mut Session,
) -> Result<(), LinkError> {
    queue(link, session)?;
    link.flush().await
}

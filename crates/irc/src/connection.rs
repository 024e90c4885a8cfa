//! The task of one connection: bytes to lines to the session, its output and its timers.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sammen_core::{Delivery, Mailbox};
use sammen_net::{CancellationToken, Connection, Link, LinkConfig, LinkError, Rate, Turn};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Interval, interval_at};

use crate::gather::Gathering;
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
    let mut wait = Wait {
        ticks: interval_at(Instant::now() + TICK, TICK),
        shutdown: pin!(shutdown.cancelled()),
        going_down: false,
        in_a_row: 0,
        gathering: Gathering::new(session.gather_ms()),
    };
    let mut inbox: Vec<Delivery> = Vec::new();
    loop {
        let room = link.has_room();
        let more = room && session.has_work();
        let mailbox = session.mailbox();
        let mailbox = mailbox.as_deref().filter(|_| room && !more);
        let next = poll_fn(|cx| wait.poll(cx, link, mailbox, &mut inbox, more)).await;
        match next? {
            Next::Turn(Turn::Input) => {
                session.heard();
                splitter.feed(&link.input.split());
                lines(link, session, &mut splitter).await?;
            }
            Next::Turn(Turn::Closed) => return Ok(()),
            Next::Turn(Turn::Room) => {}
            Next::Inbox => {
                wait.gathering.begin(&inbox);
                session.accept(&mut inbox);
                session.work().await;
            }
            Next::More => {
                session.work().await;
                queue(link, session).await?;
                // Other connections come to their turn, too.
                tokio::task::yield_now().await;
            }
            Next::Tick => session.tick().await,
            Next::Shutdown => session.close("the server shuts down"),
        }
        queue(link, session).await?;
        if session.ended() {
            let _ = link.close().await;
            return Ok(());
        }
    }
}

/// What a connection waits for.
struct Wait<F> {
    ticks: Interval,
    shutdown: F,
    going_down: bool,
    /// Deliveries that came one after the other, each before anything else was looked at.
    in_a_row: u32,
    gathering: Gathering,
}

/// What came first.
enum Next {
    /// From the link.
    Turn(Turn),
    /// Deliveries.
    Inbox,
    /// There are deliveries left from before.
    More,
    /// Time to look at timers.
    Tick,
    /// The node goes down.
    Shutdown,
}

/// So many times the mailbox comes before the client's own lines and the timers.
const MAILBOX_FIRST: u32 = 16;

impl<F: Future<Output = ()> + Unpin> Wait<F> {
    /// By hand instead of `select!`: in a busy room this runs for each reader and message, and a wake-up nearly always
    /// means the mailbox.
    fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link<S>,
        mailbox: Option<&Mailbox>,
        inbox: &mut Vec<Delivery>,
        more: bool,
    ) -> Poll<Result<Next, LinkError>> {
        let first = self.in_a_row < MAILBOX_FIRST;
        let gathering = &mut self.gathering;
        let mut receive = |cx: &mut Context<'_>| match mailbox {
            Some(mailbox) => gathering.poll_receive(cx, mailbox, inbox, TAKE),
            None => Poll::Pending,
        };
        if first && receive(cx).is_ready() {
            self.in_a_row += 1;
            return Poll::Ready(Ok(Next::Inbox));
        }
        self.in_a_row = 0;
        if let Poll::Ready(turn) = link.poll_turn(cx) {
            return Poll::Ready(turn.map(Next::Turn));
        }
        if self.ticks.poll_tick(cx).is_ready() {
            return Poll::Ready(Ok(Next::Tick));
        }
        if !self.going_down && Pin::new(&mut self.shutdown).poll(cx).is_ready() {
            self.going_down = true;
            return Poll::Ready(Ok(Next::Shutdown));
        }
        if more {
            return Poll::Ready(Ok(Next::More));
        }
        if !first && receive(cx).is_ready() {
            return Poll::Ready(Ok(Next::Inbox));
        }
        Poll::Pending
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

async fn queue<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    session: &mut Session,
) -> Result<(), LinkError> {
    for bytes in session.take_output() {
        // One answer may be longer than what may wait (the names of many rooms): it goes as fast as it is read.
        if !link.has_room() {
            link.flush().await?;
        }
        // More than anyone may leave lying: like one who reads nothing.
        link.queue(bytes).map_err(|_| LinkError::WriteTimeout)?;
    }
    Ok(())
}

async fn flush<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    session: &mut Session,
) -> Result<(), LinkError> {
    queue(link, session).await?;
    link.flush().await
}

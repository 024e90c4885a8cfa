//! One stream: a task between a mailbox and a socket.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use sammen_core::live::{Presence, Show};
use sammen_core::ops::{presence, rooms, sessions};
use sammen_core::token::Token;
use sammen_core::{CloseReason, ConversationId, Delivery, Protocol, Seq, SessionId};
use sammen_net::{Bucket, CancellationToken, Rate};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::catch_up::{self, MOST, PAGE};
use super::cursor;
use super::frames::{self, Made, Reader};
use crate::api::conversations::say_typing;
use crate::auth::Caller;
use crate::problem::{Answer, Problem};
use crate::server::Web;
use crate::summary;
use crate::translate::core_show;
use crate::types::{ClientFrame, Frame};

/// Between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Who says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(90);
/// How long a client may take none of what it is sent.
const PATIENCE: Duration = Duration::from_secs(30);
/// Frames of a client.
const RATE: Rate = Rate {
    per_second: 20,
    burst: 100,
};
/// Deliveries taken at once.
const TAKE: usize = 64;

const SIGNED_OUT: u16 = 4401;
const REPLACED: u16 = 4409;
const TOO_SLOW: u16 = 4429;
const MALFORMED: u16 = 4400;
const GOING_AWAY: u16 = 1001;
const FAILED: u16 = 1011;

/// Why a stream ends: the code, and the word for the last frame.
struct End(u16, &'static str);

/// The client's connection is gone.
const GONE: End = End(0, "");

struct Stream {
    web: Arc<Web>,
    socket: WebSocket,
    reader: Option<Reader>,
    session: Arc<sammen_core::live::Session>,
    shown: Presence,
    heard: Instant,
}

/// Serves a stream until it ends.
pub async fn serve(
    web: Arc<Web>,
    mut socket: WebSocket,
    caller: Caller,
    from: Option<String>,
    shutdown: CancellationToken,
) {
    let how = sessions::SignIn {
        account: caller.address().clone(),
        protocol: Protocol::Web,
        device: Some(caller.device.key.clone()),
        device_label: caller.device.label.clone(),
        credential: caller.device.credential.clone(),
        stamp: None,
        label: format!(
            "web-{:012x}",
            web.node.clock().random() as u64 & 0xffff_ffff_ffff
        ),
    };
    let signed_in = match web.node.sign_in(how).await {
        Ok(signed_in) => signed_in,
        Err(_) => return close(&mut socket, &End(SIGNED_OUT, "signed-out")).await,
    };
    let session = signed_in.session.clone();
    // The device was signed out between the check and here: it must not come back by this.
    if signed_in.first || signed_in.device.id != caller.device.id {
        let (account, id) = (session.account.clone(), session.device);
        let forgotten = web
            .node
            .write(move |tx| sessions::forget_device(tx, &account, id));
        let _ = forgotten.await;
        let _ = web.node.sign_out(&session).await;
        return close(&mut socket, &End(SIGNED_OUT, "signed-out")).await;
    }
    let mut stream = Stream {
        web,
        socket,
        reader: None,
        session,
        shown: Presence {
            show: Show::Online,
            ..Presence::default()
        },
        heard: Instant::now(),
    };
    let end = stream.run(from, shutdown).await;
    if end.0 != 0 {
        let frame = Frame::Closed {
            reason: end.1.to_owned(),
        };
        let _ = stream.send(&frame).await;
        close(&mut stream.socket, &end).await;
    }
    if let Err(refusal) = stream.web.node.sign_out(&stream.session).await {
        tracing::debug!(%refusal, "a stream's session could not be ended");
    }
}

async fn close(socket: &mut WebSocket, end: &End) {
    let frame = CloseFrame {
        code: end.0,
        reason: end.1.into(),
    };
    let _ = timeout(
        Duration::from_secs(2),
        socket.send(Message::Close(Some(frame))),
    )
    .await;
}

impl Stream {
    async fn run(&mut self, from: Option<String>, shutdown: CancellationToken) -> End {
        let ended = tokio::select! {
            begun = self.begin(from) => begun,
            () = shutdown.cancelled() => Err(End(GOING_AWAY, "shutdown")),
        };
        if let Err(end) = ended {
            return end;
        }
        let session = self.session.clone();
        let mut inbox: Vec<Delivery> = Vec::new();
        let mut beats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut bucket = Bucket::new(RATE, Instant::now());
        loop {
            let paid = bucket.paid_at(Instant::now());
            let done = tokio::select! {
                () = session.mailbox.receive(&mut inbox, TAKE) => self.deliver(&mut inbox).await,
                frame = self.socket.recv(), if paid.is_none() => {
                    bucket.charge(1, Instant::now());
                    self.heard = Instant::now();
                    match frame {
                        Some(Ok(Message::Text(text))) => self.said(&text).await,
                        Some(Ok(Message::Binary(_))) => Err(End(MALFORMED, "malformed")),
                        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(GONE),
                        Some(Ok(_)) => Ok(()),
                    }
                }
                () = tokio::time::sleep_until(paid.unwrap_or_else(Instant::now)), if paid.is_some() => Ok(()),
                _ = beats.tick() => self.beat().await,
                () = shutdown.cancelled() => Err(End(GOING_AWAY, "shutdown")),
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    /// Presence, rooms, and what the cursor missed.
    async fn begin(&mut self, from: Option<String>) -> Result<(), End> {
        let account = self.session.account.clone();
        let mine = account.clone();
        let found = self
            .web
            .read(move |web| Ok((catch_up::rooms(web, &mine)?, catch_up::known(web, &mine)?)));
        let (rooms, known) = found.await.map_err(|_| End(FAILED, "failed"))?;
        let at = self.enter(rooms.clone(), true).await?;
        let mut reader = Reader {
            account: account.clone(),
            device: self.session.device,
            known: known.into_iter().collect(),
            inside: rooms.iter().copied().collect(),
            at,
        };
        let epoch = self.web.node.epoch();
        let resume = from.as_deref().map(|text| Token::decode(text, epoch));
        let now = cursor(&self.web, at);
        let after = match resume {
            Some(Some(token)) if token.seq <= at => Some(token.seq),
            Some(_) => {
                self.reader = Some(reader);
                self.hello(&now, false).await?;
                return self.send(&Frame::Resync { cursor: now }).await;
            }
            None => None,
        };
        let Some(after) = after else {
            self.reader = Some(reader);
            return self.hello(&now, false).await;
        };
        reader.at = after;
        self.reader = Some(reader);
        self.hello(&cursor(&self.web, after), true).await?;
        self.catch_up(after, at, true).await
    }

    async fn hello(&mut self, cursor: &str, resumed: bool) -> Result<(), End> {
        let heartbeat = u32::try_from(HEARTBEAT.as_secs()).unwrap_or(30);
        let cursor = cursor.to_owned();
        self.send(&Frame::Hello {
            cursor,
            resumed,
            heartbeat,
        })
        .await
    }

    /// Brings the session into rooms; everything up to what is returned is history to it there.
    async fn enter(&mut self, list: Vec<ConversationId>, announce: bool) -> Result<Seq, End> {
        let (account, id) = (self.session.account.clone(), self.session.id);
        let shown = self.shown.clone();
        let entered = self.web.node.write(move |tx| {
            if announce {
                presence::set(tx, id, &account, shown.clone())?;
            }
            for room in list {
                // One that was left meanwhile is none.
                let _ = rooms::enter(tx, id, &account, room, shown.clone());
            }
            Ok(tx.last_seq())
        });
        entered.await.map_err(|_| End(FAILED, "failed"))
    }

    /// What lies between two places of the log.
    async fn catch_up(&mut self, after: Seq, upto: Seq, rest: bool) -> Result<(), End> {
        let changed = if rest {
            let account = self.session.account.clone();
            let read = self
                .web
                .read(move |web| catch_up::changed(web, &account, after));
            match read.await.map_err(|_| End(FAILED, "failed"))? {
                None => return self.resync(upto).await,
                changed => changed,
            }
        } else {
            None
        };
        let (mut at, mut told) = (after, 0);
        loop {
            let Some(reader) = &self.reader else {
                return Err(End(FAILED, "failed"));
            };
            let inside = reader.inside.iter().copied().collect();
            let account = reader.account.clone();
            let page = self
                .web
                .node
                .changes(&account, inside, at, upto, PAGE)
                .await;
            let page = page.map_err(|_| End(FAILED, "failed"))?;
            // What the reader may not see is left out of a page, so a short one need not be the last.
            let Some(last) = page.last() else { break };
            at = last.event.seq;
            told += page.len();
            if told > MOST {
                return self.resync(upto).await;
            }
            self.make(move |web, reader| catch_up::events(web, reader, &page))
                .await?;
        }
        if let Some(changed) = changed {
            self.make(move |web, reader| catch_up::rest(web, reader, after, changed))
                .await?;
        }
        if let Some(reader) = &mut self.reader {
            reader.at = reader.at.max(upto);
        }
        Ok(())
    }

    async fn resync(&mut self, upto: Seq) -> Result<(), End> {
        if let Some(reader) = &mut self.reader {
            reader.at = reader.at.max(upto);
        }
        let cursor = cursor(&self.web, upto);
        self.send(&Frame::Resync { cursor }).await
    }

    /// Makes frames on a blocking thread and sends them.
    async fn make(
        &mut self,
        make: impl FnOnce(&Web, &mut Reader) -> Answer<Made> + Send + 'static,
    ) -> Result<(), End> {
        let Some(mut reader) = self.reader.take() else {
            return Err(End(FAILED, "failed"));
        };
        let made = self
            .web
            .read(move |web| {
                let made = make(web, &mut reader)?;
                Ok((made, reader))
            })
            .await;
        let (made, reader) = made.map_err(|_| End(FAILED, "failed"))?;
        self.reader = Some(reader);
        for frame in &made.frames {
            self.send(frame).await?;
        }
        if !made.enter.is_empty() {
            if let Some(reader) = &mut self.reader {
                reader.inside.extend(made.enter.iter().copied());
            }
            self.enter(made.enter, false).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self, inbox: &mut Vec<Delivery>) -> Result<(), End> {
        let mut batch: Vec<Delivery> = Vec::new();
        for delivery in std::mem::take(inbox) {
            match delivery {
                Delivery::Event(_) | Delivery::State(_) => batch.push(delivery),
                Delivery::Lagged { after, upto } => {
                    self.flush(&mut batch).await?;
                    self.catch_up(after, upto, false).await?;
                }
                Delivery::StateLost => {
                    self.flush(&mut batch).await?;
                    self.send(&Frame::StateLost {}).await?;
                }
                Delivery::Closed(why) => {
                    self.flush(&mut batch).await?;
                    return Err(match why {
                        CloseReason::Replaced => End(REPLACED, "replaced"),
                        CloseReason::SignedOut => End(SIGNED_OUT, "signed-out"),
                        CloseReason::Killed => End(SIGNED_OUT, "killed"),
                        CloseReason::Shutdown => End(GOING_AWAY, "shutdown"),
                        CloseReason::Failed => End(FAILED, "failed"),
                    });
                }
                // Nothing of other protocols is for a browser, and it submits over HTTP.
                Delivery::Signal(_) | Delivery::Done { .. } => {}
            }
        }
        self.flush(&mut batch).await
    }

    async fn flush(&mut self, batch: &mut Vec<Delivery>) -> Result<(), End> {
        if batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(batch);
        self.make(move |web, reader| {
            let mut made = Made::default();
            for delivery in &batch {
                match delivery {
                    Delivery::Event(announced) => {
                        frames::event(web, reader, announced, &mut made)?;
                    }
                    Delivery::State(change) => frames::state(web, reader, change, &mut made),
                    _ => {}
                }
            }
            Ok(made)
        })
        .await
    }

    async fn send(&mut self, frame: &Frame) -> Result<(), End> {
        let text = serde_json::to_string(frame).map_err(|_| End(FAILED, "failed"))?;
        match timeout(PATIENCE, self.socket.send(Message::Text(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(GONE),
            Err(_) => Err(End(TOO_SLOW, "too-slow")),
        }
    }

    async fn beat(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > SILENCE {
            return Err(End(TOO_SLOW, "silent"));
        }
        let ping = self.socket.send(Message::Ping(Default::default()));
        match timeout(PATIENCE, ping).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(GONE),
            Err(_) => Err(End(TOO_SLOW, "too-slow")),
        }
    }

    /// A frame of the client.
    async fn said(&mut self, text: &str) -> Result<(), End> {
        let Ok(frame) = serde_json::from_str::<ClientFrame>(text) else {
            return Err(End(MALFORMED, "malformed"));
        };
        let done: Answer<()> = match frame {
            ClientFrame::Ping {} => return self.send(&Frame::Pong {}).await,
            ClientFrame::Ack { cursor } => self.ack(&cursor).await,
            ClientFrame::Typing {
                conversation,
                active,
            } => self.typing(conversation, active).await,
            ClientFrame::Presence { show, status } => {
                self.shown = Presence {
                    show: core_show(show),
                    status: status.filter(|s| s.len() <= 1024 && !s.is_empty()),
                    ..Presence::default()
                };
                self.show().await
            }
        };
        // What could not be done is no reason to end: the client may be behind.
        if let Err(problem) = done {
            tracing::debug!(code = %problem.code, "a frame was not obeyed");
        }
        Ok(())
    }

    async fn ack(&mut self, cursor: &str) -> Answer<()> {
        let token = Token::decode(cursor, self.web.node.epoch());
        let seq = token.ok_or_else(Problem::not_found)?.seq;
        let seq = seq.min(self.web.node.last_seq());
        let id = self.session.device;
        self.web
            .node
            .write(move |tx| {
                sessions::progress(tx, id, Some(seq), None);
                Ok(())
            })
            .await?;
        Ok(())
    }

    async fn typing(&mut self, id: String, active: bool) -> Answer<()> {
        let account = self.session.account.clone();
        let found = {
            let account = account.clone();
            self.web
                .read(move |web| summary::known(web, &account, &id))
                .await?
        };
        let session: Option<SessionId> = Some(self.session.id);
        say_typing(&self.web, &account, &found, active, session).await
    }

    async fn show(&mut self) -> Answer<()> {
        let inside: Vec<ConversationId> = self
            .reader
            .iter()
            .flat_map(|r| r.inside.iter().copied())
            .collect();
        let (account, id) = (self.session.account.clone(), self.session.id);
        let shown = self.shown.clone();
        self.web
            .node
            .write(move |tx| {
                presence::set(tx, id, &account, shown.clone())?;
                for room in inside {
                    // Away stays in the room; so does one who says to be offline.
                    let _ = rooms::enter(tx, id, &account, room, shown.clone());
                }
                Ok(())
            })
            .await?;
        Ok(())
    }
}

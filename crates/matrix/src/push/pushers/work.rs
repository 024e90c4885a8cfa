//! One task for each pusher: it wakes when its account's bell rings, tells the gateway what is new, and waits.

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::http::{HeaderValue, header};
use ruma::api::client::push::PusherKind;
use sammen_core::live::StateChange;
use sammen_core::tx::Tx;
use sammen_core::{Address, Outcome};
use sammen_net::fetch::{Request, Url};
use serde::Deserialize;
use tokio::time::Instant;

use super::kept::{self, Kept, Told};
use super::news::{self, Counted, New, News, Reader};
use super::notice;
use crate::bell::Ear;
use crate::fault::Answer;
use crate::server::Matrix;
use crate::sync::{places, token};

/// How long a gateway may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most bytes of its answer.
const ANSWER: usize = 64 * 1024;
/// How long to wait after it failed: twice as long each time, up to the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3_600);
/// After so long what waits is passed by: nobody wants the news of yesterday when it comes back.
const GIVES_UP: Duration = Duration::from_secs(24 * 3_600);
/// A place is written down after so many seqs in which nothing was told.
const BEHIND: u64 = 10_000;

/// Follows what concerns pushers, for as long as the node is there. Needs a runtime.
pub fn begin(matrix: &Arc<Matrix>) {
    let this = Arc::downgrade(matrix);
    matrix.node.follow(Box::new(move |announced| {
        let Some(matrix) = this.upgrade() else { return };
        // A conversation that no Matrix device has seen gets its room when somebody asks.
        let new = || !matrix.rooms.shows(announced.event.conversation);
        if !announced.passing && !matrix.pushers.is_empty() && new() {
            matrix
                .bells
                .ring_where(|account| announced.convo.has(account));
        }
    }));
    let this = Arc::downgrade(matrix);
    matrix.node.watch(Box::new(move |account, change| {
        let Some(matrix) = this.upgrade() else { return };
        // Nobody else tells one who is not there.
        if matches!(change, StateChange::Read { .. }) && !matrix.pushers.is_empty() {
            matrix.bells.ring(account);
        }
    }));
    let this = matrix.clone();
    tokio::spawn(async move {
        match this.node.read(|node| kept::all(node.store())).await {
            Ok(all) => all.into_iter().for_each(|pusher| wake(&this, pusher)),
            Err(why) => tracing::error!(%why, "pushers can't be read: no phone is woken"),
        }
    });
}

/// A pusher was set or removed, in the writer: its task hears of it.
pub(super) fn changed_after(tx: &mut Tx<'_>, matrix: &Matrix, account: &Address, key: &str) {
    let (this, pusher) = (matrix.rooms.matrix(), (account.clone(), key.to_owned()));
    tx.after(move |_| {
        if let Some(this) = this {
            wake(&this, pusher);
        }
    });
}

fn wake(matrix: &Arc<Matrix>, pusher: (Address, String)) {
    let account = pusher.0.clone();
    if matrix.pushers.changed(&pusher) {
        let ear = matrix.bells.listen(&account);
        let task = run(Arc::downgrade(matrix), pusher, ear);
        matrix.pushers.runtime.spawn(task);
    }
    matrix.bells.ring(&account);
}

async fn run(matrix: Weak<Matrix>, pusher: (Address, String), mut ear: Ear) {
    let mut task = Task {
        pusher,
        changes: 0,
        known: None,
        counted: Counted::default(),
        fails: None,
    };
    loop {
        let Some(this) = matrix.upgrade() else { return };
        let turned = task.turn(&this).await;
        if task.known.is_none() && turned.is_ok() && this.pushers.ends(&task.pusher, task.changes) {
            return;
        }
        drop(this);
        if turned.is_err() {
            task.failed();
        }
        match &task.fails {
            Some(fails) => {
                let _ = tokio::time::timeout_at(fails.again, ear.rung()).await;
            }
            None => ear.rung().await,
        }
    }
}

/// A pusher at work.
struct Task {
    pusher: (Address, String),
    changes: u64,
    known: Option<Known>,
    counted: Counted,
    fails: Option<Fails>,
}

#[derive(Clone)]
struct Known {
    kept: Kept,
    told: Told,
    /// As it is on the shelf.
    written: Told,
}

/// Since when it fails, how often, and when to try again.
struct Fails {
    since: Instant,
    tries: u32,
    again: Instant,
}

/// What became of a request.
enum Heard {
    Yes,
    /// The gateway does not know the key, or not any more.
    Rejected,
    Not,
}

#[derive(Deserialize)]
struct Rejected {
    #[serde(default)]
    rejected: Vec<String>,
}

impl Task {
    /// Tells what there is to tell.
    async fn turn(&mut self, matrix: &Arc<Matrix>) -> Answer<()> {
        let changes = matrix.pushers.changes(&self.pusher);
        let loads = changes != self.changes;
        if loads {
            self.load(matrix).await?;
            self.changes = changes;
        }
        // Typing and presence ring too, and leave nothing that there is to tell.
        if !loads && self.fails.is_none() && matrix.node.announced() <= self.counted.upto() {
            return Ok(());
        }
        let waits = |fails: &Fails| fails.again > Instant::now();
        let Some(known) = self.known.clone() else {
            return Ok(());
        };
        let Some(user) = crate::names::user_id(&self.pusher.0, &matrix.name) else {
            return Ok(());
        };
        if self.fails.as_ref().is_some_and(waits) {
            return Ok(());
        }
        // Whoever is locked out hears nothing until that is over.
        let account = self.pusher.0.clone();
        let account = matrix.node.read(move |node| node.account(&account)).await?;
        if account.is_none_or(|account| account.disabled) {
            return Ok(());
        }
        let reader = Reader {
            account: self.pusher.0.clone(),
            user,
        };
        // Rooms that only begin by being asked for are there at the moment.
        places::of(matrix, &reader.account).await?;
        let now = token::now(matrix);
        let places = places::of(matrix, &reader.account).await?;
        let mut counted = std::mem::take(&mut self.counted);
        let (asks, behind) = (reader.clone(), (known.told.seq, known.kept.at));
        let read = move |m: &Matrix| {
            let news = news::read(m, &asks, &places, behind, now, &mut counted)?;
            Ok((news, counted))
        };
        let (News { events, unread }, counted) = matrix.read(read).await?;
        self.counted = counted;
        for new in events {
            let seq = new.seq;
            if !self.tell(matrix, &reader, Some(new), unread).await? {
                return Ok(());
            }
            self.told(matrix, |told| (told.seq, told.unread) = (seq, unread), true)
                .await?;
        }
        // It was read elsewhere.
        if self.known.as_ref().is_some_and(|k| unread < k.told.unread) {
            if !self.tell(matrix, &reader, None, unread).await? {
                return Ok(());
            }
            self.told(matrix, |told| told.unread = unread, true).await?;
        }
        self.told(matrix, |told| told.seq = now.seq, false).await?;
        self.fails = None;
        Ok(())
    }

    async fn load(&mut self, matrix: &Arc<Matrix>) -> Answer<()> {
        let (account, key) = self.pusher.clone();
        let read = move |m: &Matrix| Ok(kept::one(m.node.store(), &account, &key)?);
        let found = matrix.read(read).await?;
        let before = self.known.take();
        self.known = found.map(|(kept, written)| {
            let mut told = before.map_or(written, |before| before.told);
            if told.epoch != matrix.node.epoch() {
                // Places of before a restoration are none.
                told.epoch = matrix.node.epoch();
                told.seq = matrix.node.announced();
            }
            Known {
                kept,
                told,
                written,
            }
        });
        self.fails = None;
        Ok(())
    }

    /// Notes how far it was told; on the shelf too, if this is to survive or much was passed by.
    async fn told(
        &mut self,
        matrix: &Arc<Matrix>,
        change: impl FnOnce(&mut Told),
        survives: bool,
    ) -> Outcome<()> {
        let Some(known) = &mut self.known else {
            return Ok(());
        };
        change(&mut known.told);
        let told = known.told;
        if !survives && told.seq.0 < known.written.seq.0.saturating_add(BEHIND) {
            return Ok(());
        }
        let (account, key) = self.pusher.clone();
        let write = move |tx: &mut Tx<'_>| kept::tell(tx, &account, &key, told);
        matrix.node.write(write).await?;
        known.written = told;
        Ok(())
    }

    /// One request. Says whether to go on.
    async fn tell(
        &mut self,
        matrix: &Arc<Matrix>,
        reader: &Reader,
        new: Option<New>,
        unread: u32,
    ) -> Answer<bool> {
        let Some(known) = &self.known else {
            return Ok(false);
        };
        let (asks, kept) = (reader.clone(), known.kept.clone());
        let read = move |m: &Matrix| notice::body(m, &asks, &kept, new.as_ref(), unread);
        let body = matrix.read(read).await?;
        let heard = ask(matrix, reader, &known.kept, body.to_string()).await;
        match heard {
            Heard::Yes => self.fails = None,
            Heard::Rejected => {
                let (account, key) = self.pusher.clone();
                tracing::info!(%account, "a gateway does not know a phone any more: its pusher goes");
                let this = matrix.clone();
                let write = move |tx: &mut Tx<'_>| kept::remove(tx, &this, &account, &key);
                matrix.node.write(write).await?;
                return Ok(false);
            }
            Heard::Not => {
                if self.failed() {
                    let now = matrix.node.announced();
                    self.told(matrix, |told| told.seq = now, true).await?;
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Notes a failure. Says whether it has been going on for too long.
    fn failed(&mut self) -> bool {
        let now = Instant::now();
        let (since, tries) = match &self.fails {
            Some(fails) => (fails.since, fails.tries.saturating_add(1)),
            None => (now, 0),
        };
        let wait = FIRST
            .saturating_mul(2_u32.saturating_pow(tries))
            .min(LONGEST);
        self.fails = Some(Fails {
            since,
            tries,
            again: now + wait,
        });
        now.duration_since(since) > GIVES_UP
    }
}

async fn ask(matrix: &Matrix, reader: &Reader, kept: &Kept, body: String) -> Heard {
    let account = &reader.account;
    let PusherKind::Http(data) = &kept.pusher.kind else {
        return Heard::Not;
    };
    let (Some(fetcher), Ok(url)) = (&matrix.pushers.fetcher, Url::parse(&data.url)) else {
        return Heard::Not;
    };
    let json = HeaderValue::from_static("application/json");
    let request = Request::post(url, body.into(), ANSWER, PATIENCE);
    let request = request.header(header::CONTENT_TYPE, json);
    match fetcher.fetch(account, request).await {
        Ok(answer) if answer.status.is_success() => {
            let said: Option<Rejected> = serde_json::from_slice(&answer.body).ok();
            let ours = |key: &String| *key == kept.pusher.ids.pushkey;
            match said {
                Some(said) if said.rejected.iter().any(ours) => Heard::Rejected,
                _ => Heard::Yes,
            }
        }
        Ok(answer) => {
            tracing::debug!(%account, status = %answer.status, "a gateway refuses");
            Heard::Not
        }
        Err(why) if why.is_final() => {
            tracing::info!(%account, %why, "a gateway may not be reached");
            Heard::Not
        }
        Err(why) => {
            tracing::debug!(%account, %why, "a gateway was not told");
            Heard::Not
        }
    }
}

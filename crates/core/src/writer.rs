//! The writer: one thread that collects concurrent writes into one commit, then announces in seq order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::ids::Seq;
use crate::live::Live;
use crate::mailbox::{CloseReason, Delivery};
use crate::node::Shared;
use crate::refusal::Refusal;
use crate::store::{Store, StoreError, Write};
use crate::tx::{Cache, Post, Tx};

/// A write on its way to the writer: checks and builds, and leaves an answer in the posts.
pub(crate) type Job = Box<dyn FnOnce(&mut Tx<'_>) + Send>;

/// No further write joins a batch that brings so many bytes: what the store keeps back for a full disk has to hold it.
const HEAVY: usize = 1 << 20;

/// Runs until every sender is gone or the store fails.
pub(crate) fn run(shared: Arc<Shared>, store: Arc<dyn Store>, mut jobs: mpsc::Receiver<Job>) {
    let mut cache = Cache::default();
    let start = shared.start;
    let (mut last_seq, mut last_conversation, mut last_device) = (
        start.last_seq.0,
        start.last_conversation.0,
        start.last_device.0,
    );
    let limits = shared.rules.get().limits.clone();
    let most = limits.batch;
    let mut received: Vec<Job> = Vec::with_capacity(most);
    let mut waiting = VecDeque::with_capacity(most);
    let mut committed_at: Option<Instant> = None;
    loop {
        if waiting.is_empty() {
            if jobs.blocking_recv_many(&mut received, most) == 0 {
                return;
            }
            if let Some(rest) = committed_at.and_then(|at| limits.gather.checked_sub(at.elapsed()))
            {
                gather(&mut jobs, &mut received, most, rest);
            }
            waiting.extend(received.drain(..));
        }
        let before = (last_seq, last_conversation, last_device);
        let mut tx = Tx {
            now: shared.clock.now().max(shared.last_time()),
            shared: &shared,
            rules: shared.rules.get(),
            store: &*store,
            cache: &mut cache,
            last_seq: &mut last_seq,
            last_conversation: &mut last_conversation,
            last_device: &mut last_device,
            writes: Vec::new(),
            posts: Vec::with_capacity(waiting.len() * 2),
            convos: HashMap::new(),
            accounts: HashMap::new(),
            contacts: HashMap::new(),
            documents: HashMap::new(),
            events: HashMap::new(),
            aliases: HashMap::new(),
            progress: HashMap::new(),
            reached: Vec::new(),
        };
        // A write that panics is a defect; it must cost its own batch and not the node.
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // On a full disk each write stands alone: those that only erase are not refused with others.
            let together = if store.is_full() { 1 } else { most };
            let (mut done, mut weighed, mut weight) = (0, 0, 0);
            while done < together
                && weight <= HEAVY
                && let Some(job) = waiting.pop_front()
            {
                job(&mut tx);
                done += 1;
                let new = tx.writes.iter().skip(weighed);
                weight += new.map(Write::weight).sum::<usize>();
                weighed = tx.writes.len();
            }
        }));
        let Tx {
            now,
            mut writes,
            posts,
            convos,
            accounts,
            contacts,
            progress,
            ..
        } = tx;
        // On a full disk nobody is refused only because of that: what changed nothing else may be seen or sent again.
        let counts = !writes.is_empty() || !store.is_full();
        let moved = progress.into_iter().filter(|_| counts);
        writes.extend(moved.map(|(id, (cursor, inbound))| Write::DeviceProgress {
            id,
            cursor,
            inbound,
        }));
        let committed = match run {
            Err(_) => Err(StoreError::TryLater("a write panicked".into())),
            Ok(()) if writes.is_empty() => Ok(()),
            Ok(()) => {
                committed_at = Some(Instant::now());
                store.commit(&writes)
            }
        };
        match committed {
            Ok(()) => {
                // Before anybody is told of it.
                shared.shelves.note(&writes, Seq(last_seq));
                drop(writes);
                shared.note_time(now);
                shared.publish(Seq(last_seq), convos, accounts, contacts);
                announce(&shared, posts, Seq(last_seq));
            }
            Err(error) => {
                (last_seq, last_conversation, last_device) = before;
                cache = Cache::default();
                refuse(posts, &error);
                if let StoreError::Fatal(why) = &error {
                    tracing::error!(%why, "the store failed; the node stops");
                    shared.fail(why);
                    close_all(&shared.live.read(), CloseReason::Failed);
                    return;
                }
                match error {
                    // Told once by the store; each client hears it.
                    StoreError::Full => tracing::debug!("a batch found no room"),
                    error => tracing::warn!(%error, "a batch was not stored"),
                }
            }
        }
        // Tails are cheap to read again; a node that has run for a year must not hold one per conversation.
        if cache.tails.len() > 100_000 {
            cache = Cache::default();
        }
    }
}

/// Waits for `rest`, and takes what came meanwhile.
fn gather(jobs: &mut mpsc::Receiver<Job>, waiting: &mut Vec<Job>, most: usize, rest: Duration) {
    if waiting.len() < most {
        std::thread::sleep(rest);
    }
    while waiting.len() < most
        && let Ok(job) = jobs.try_recv()
    {
        waiting.push(job);
    }
}

fn announce(shared: &Shared, posts: Vec<Post>, upto: Seq) {
    let mut answers = Vec::new();
    {
        let mut live = shared.live.write();
        for post in posts {
            match post {
                Post::Event(announced) => live.announce(&announced),
                Post::Live(change) => change(&mut live),
                Post::Answer(answer) => answers.push(answer),
            }
        }
        // Before the lock is given back: who was woken by a post and asks how far this is waits for it.
        shared.announced(upto);
    }
    for answer in answers {
        answer(Ok(()));
    }
}

fn refuse(posts: Vec<Post>, error: &StoreError) {
    let why: Refusal = error.clone().into();
    for post in posts {
        if let Post::Answer(answer) = post {
            answer(Err(why.clone()));
        }
    }
}

pub(crate) fn close_all(live: &Live, why: CloseReason) {
    for session in live.all() {
        session.mailbox.push(Delivery::Closed(why));
    }
}

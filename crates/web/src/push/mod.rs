//! Web Push (RFC 8030): a browser hears of messages while the page is closed.
//!
//! ```text
//! writer ─ follower (takes note) ─► queue ─► rules.rs: for whom, and what may be said ─► courier.rs: a queue per browser
//!                                                      message.rs: encrypted, signed ─► net::fetch ─► the push service
//! ```
//! A subscription is a document of the node under the number of the browser's device, and goes in the batch in which the
//! device goes. What waits to be pushed is in memory: a push is a hint, the message itself is in the log.

mod courier;
mod message;
mod rules;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sammen_core::document::Owner;
use sammen_core::live::Announced;
use sammen_core::tx::{Expect, decode, encode};
use sammen_core::{Address, Content, DeviceId, Node, Outcome, Protocol};
use sammen_net::Bucket;
use sammen_net::fetch::{Fetcher, Url};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::problem::{Answer, Problem};
use crate::server::Web;
use courier::{Letter, RATE};
use message::{Keys, Signer};

/// The node's shelf of subscriptions (key: the device's number).
const SHELF: &str = "web-push";
/// The node's shelf of secrets, and the key on it.
const SECRETS: &str = "secret";
const SECRET: &str = "web-push";
/// Browsers of one account.
const EACH: usize = 16;
/// Bytes of a service's address.
const ENDPOINT: usize = 1024;
/// Events that wait to be looked at; what is more is not pushed.
const WAITING: usize = 1024;
/// Requests at once, and of one account.
const AT_ONCE: usize = 256;
const EACH_AT_ONCE: usize = 4;
/// Subscriptions read at once.
const PAGE: usize = 500;

/// A browser that wants to hear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Whose.
    pub account: Address,
    /// Where its service takes messages.
    pub endpoint: String,
    /// Its public key, base64url.
    pub p256dh: String,
    /// Its secret, base64url.
    pub auth: String,
    /// Whether the message says who writes what.
    pub text: bool,
}

struct Browser {
    subscription: Arc<Subscription>,
    letters: VecDeque<Letter>,
    busy: bool,
    bucket: Bucket,
}

/// The pushing side of a node.
pub struct Push {
    web: Weak<Web>,
    fetcher: Fetcher,
    signer: Signer,
    browsers: Mutex<HashMap<DeviceId, Browser>>,
}

/// Begins to push. Call it once, within a runtime.
pub fn start(web: &Arc<Web>, fetcher: &Fetcher) {
    let (told, hears) = mpsc::channel(WAITING);
    web.node.follow(Box::new(move |announced| {
        if may_matter(announced) {
            // A full queue loses hints, never messages.
            let _ = told.try_send(announced.clone());
        }
    }));
    web.node.when_devices_go(Box::new(|tx, device| {
        let key = device.id.to_string();
        let web = device.protocol == Protocol::Web;
        if web && matches!(tx.document(&Owner::Node, SHELF, &key), Ok(Some(_))) {
            tx.erase_document(&Owner::Node, SHELF, &key);
        }
    }));
    let (weak, fetcher) = (Arc::downgrade(web), fetcher.lane(AT_ONCE, EACH_AT_ONCE));
    tokio::spawn(run(weak, fetcher, hears));
}

fn may_matter(announced: &Announced) -> bool {
    let event = &announced.event;
    let said = matches!(
        event.content,
        Content::Message(_) | Content::Encrypted { .. }
    );
    said && !event.historical && !announced.passing && !announced.judged
}

async fn run(weak: Weak<Web>, fetcher: Fetcher, mut hears: mpsc::Receiver<Arc<Announced>>) {
    let Some(web) = weak.upgrade() else { return };
    let push = match Push::open(&web, fetcher).await {
        Ok(push) => Arc::new(push),
        Err(why) => return tracing::error!("nothing is pushed to browsers: {why}"),
    };
    let _ = web.push.set(push.clone());
    drop(web);
    while let Some(announced) = hears.recv().await {
        let Some(web) = weak.upgrade() else { return };
        push.tell(&web, announced).await;
    }
}

/// The key that the node signs with; made at the first start.
async fn secret(node: &Node) -> Outcome<bytes::Bytes> {
    let fresh = Signer::fresh().unwrap_or_default();
    let write = node.write(move |tx| {
        let known = tx.document(&Owner::Node, SECRETS, SECRET)?;
        if let Some(known) = known.and_then(|d| d.value) {
            return Ok(known);
        }
        let made = bytes::Bytes::from(fresh);
        let kept = Some(made.clone());
        tx.put_document(&Owner::Node, SECRETS, SECRET, Expect::Absent, kept)?;
        Ok(made)
    });
    write.await
}

impl Push {
    async fn open(web: &Arc<Web>, fetcher: Fetcher) -> Result<Self, String> {
        let kept = secret(&web.node).await.map_err(|e| e.to_string())?;
        let signer = Signer::read(&kept).map_err(|e| e.to_string())?;
        let read = web.node.read(all);
        let known = read.await.map_err(|e| e.to_string())?;
        let now = Instant::now();
        let browsers = known
            .into_iter()
            .map(|(device, subscription)| (device, Browser::new(Arc::new(subscription), now)));
        Ok(Self {
            web: Arc::downgrade(web),
            fetcher,
            signer,
            browsers: Mutex::new(browsers.collect()),
        })
    }

    /// The key that a browser needs for subscribing.
    pub fn key(&self) -> String {
        self.signer.public()
    }

    /// What a browser subscribed to.
    pub fn subscription(&self, device: DeviceId) -> Option<Arc<Subscription>> {
        let browsers = self.browsers.lock();
        browsers.get(&device).map(|b| b.subscription.clone())
    }

    /// Subscribes a browser, in place of what it had before.
    ///
    /// # Errors
    /// When the subscription is none, or the account has too many.
    pub async fn subscribe(&self, device: DeviceId, wish: Subscription) -> Answer<()> {
        let url = Url::parse(&wish.endpoint).ok();
        let may = |url: &Url| url.scheme() == "https" && self.fetcher.check(url).is_ok();
        if wish.endpoint.len() > ENDPOINT || !url.as_ref().is_some_and(may) {
            let why = "that is no address of a push service that this node may reach";
            return Err(Problem::invalid("endpoint", why));
        }
        Keys::read(&wish.p256dh, &wish.auth)
            .map_err(|why| Problem::invalid("p256dh", why.to_string()))?;
        {
            let browsers = self.browsers.lock();
            let others = browsers
                .iter()
                .filter(|(id, b)| **id != device && b.subscription.account == wish.account);
            if others.count() >= EACH {
                return Err(Problem::too_many("an account has at most 16 of these"));
            }
        }
        let web = self.web.upgrade().ok_or_else(Problem::try_later)?;
        let value = encode(&wish)?;
        let node = web.node.clone();
        web.node
            .write(move |tx| {
                // One that was signed out meanwhile wants nothing more.
                if node.store().device(device)?.is_none() {
                    return Err(sammen_core::Refusal::NotFound);
                }
                let key = device.to_string();
                tx.put_document(&Owner::Node, SHELF, &key, Expect::Anything, Some(value))
            })
            .await?;
        let wish = Arc::new(wish);
        let mut browsers = self.browsers.lock();
        let fresh = || Browser::new(wish.clone(), Instant::now());
        browsers.entry(device).or_insert_with(fresh).subscription = wish.clone();
        Ok(())
    }

    /// A browser hears no more.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn forget(&self, device: DeviceId) -> Answer<()> {
        self.browsers.lock().remove(&device);
        let web = self.web.upgrade().ok_or_else(Problem::try_later)?;
        web.node
            .write(move |tx| {
                let key = device.to_string();
                if tx.document(&Owner::Node, SHELF, &key)?.is_some() {
                    tx.erase_document(&Owner::Node, SHELF, &key);
                }
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// Tells those of an event whom it concerns.
    async fn tell(self: &Arc<Self>, web: &Arc<Web>, announced: Arc<Announced>) {
        let convo = &announced.convo;
        let accounts: BTreeSet<Address> = {
            let browsers = self.browsers.lock();
            let all = browsers.values().map(|b| &b.subscription.account);
            all.filter(|account| convo.has(account)).cloned().collect()
        };
        if accounts.is_empty() {
            return;
        }
        let due = web.read(move |web| {
            let due = accounts.into_iter().filter_map(|account| {
                let notice = rules::due(web, &account, &announced).ok()??;
                Some((account, notice))
            });
            Ok(due.collect::<HashMap<_, _>>())
        });
        let Ok(due) = due.await else { return };
        let mut begins = Vec::new();
        for (device, browser) in self.browsers.lock().iter_mut() {
            let Some(notice) = due.get(&browser.subscription.account) else {
                continue;
            };
            browser.put(notice.letter(browser.subscription.text));
            if !std::mem::replace(&mut browser.busy, true) {
                begins.push(*device);
            }
        }
        for device in begins {
            tokio::spawn(self.clone().carry(device));
        }
    }
}

impl Browser {
    fn new(subscription: Arc<Subscription>, now: Instant) -> Self {
        Self {
            subscription,
            letters: VecDeque::new(),
            busy: false,
            bucket: Bucket::new(RATE, now),
        }
    }
}

/// All subscriptions. Blocking.
fn all(node: &Node) -> Outcome<Vec<(DeviceId, Subscription)>> {
    let mut out = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let store = node.store();
        let page = store.documents(&Owner::Node, SHELF, "", after.as_deref(), PAGE)?;
        let last = page.last().map(|d| d.key.to_string());
        out.extend(page.iter().filter_map(|document| {
            let device = document.key.parse().ok().map(DeviceId)?;
            Some((device, decode(document.value.as_ref()?)?))
        }));
        if page.len() < PAGE {
            return Ok(out);
        }
        after = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sammen_core::{Domain, Options, memory::MemoryStore};

    #[tokio::test]
    async fn what_a_browser_subscribed_to_is_known_after_a_restart() {
        let store = Arc::new(MemoryStore::new());
        let options = Options::new(Domain::new("example.org").unwrap());
        let node = Node::start(store, options).unwrap();
        let wish = Subscription {
            account: Address::new("alice@example.org").unwrap(),
            endpoint: "https://push.example/x".into(),
            p256dh: "a".into(),
            auth: "b".into(),
            text: true,
        };
        let kept = encode(&wish).unwrap();
        let device = DeviceId(7);
        let write = node.write(move |tx| {
            let key = device.to_string();
            tx.put_document(&Owner::Node, SHELF, &key, Expect::Anything, Some(kept))
        });
        write.await.unwrap();
        let known = node.read(all).await.unwrap();
        assert_eq!(known, [(device, wish)]);
    }
}

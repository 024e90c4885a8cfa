//! Carries letters to a browser's push service, one after the other (RFC 8030 §5): again for a while where the service can't
//! take them, and never again where it says that the subscription is gone.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sammen_core::DeviceId;
use sammen_net::Rate;
use sammen_net::fetch::{Answer, FetchError, Request, Url};
use tokio::time::{Instant, sleep, sleep_until};

use super::message::{Keys, seal};
use super::{Browser, Push, Subscription};
use crate::auth::{Kind, token};

/// Letters that wait for one browser; then the oldest go.
const LETTERS: usize = 16;
/// Letters of one browser.
pub(super) const RATE: Rate = Rate {
    per_second: 1,
    burst: 20,
};
/// Before each further try.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(60),
    Duration::from_secs(600),
];
/// The longest that a service may ask us to wait.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long a service keeps a letter for a browser that is not there, in seconds.
const KEPT: &str = "86400";
/// Of a service's answer.
const ANSWER: usize = 16 << 10;
const PATIENCE: Duration = Duration::from_secs(15);
/// Until one of the account's requests is over.
const CROWDED: Duration = Duration::from_secs(1);

/// What one browser is told.
pub(super) struct Letter {
    pub conversation: String,
    pub urgent: bool,
    /// JSON.
    pub text: String,
}

/// What became of a letter.
enum Fate {
    /// It was taken, or never will be.
    Over,
    /// The subscription is gone.
    Gone,
    /// Later, perhaps not before so long.
    Later(Option<Duration>),
    /// It was not tried: the account's other browsers have its seats.
    Crowded,
}

impl Browser {
    pub(super) fn put(&mut self, letter: Letter) {
        // What is told of a conversation is what was said last.
        self.letters
            .retain(|l| l.conversation != letter.conversation);
        if self.letters.len() >= LETTERS {
            self.letters.pop_front();
        }
        self.letters.push_back(letter);
    }
}

impl Push {
    /// Carries a browser's letters until there are none.
    pub(super) async fn carry(self: Arc<Self>, device: DeviceId) {
        while let Some((subscription, letter, due)) = self.next(device) {
            if let Some(due) = due {
                sleep_until(due).await;
            }
            let delivered = self.deliver(device, &subscription, &letter).await;
            // The browser may have subscribed anew meanwhile.
            let same = |now: Arc<Subscription>| Arc::ptr_eq(&now, &subscription);
            if delivered.is_none() && self.subscription(device).is_some_and(same) {
                if let Err(problem) = self.forget(device).await {
                    tracing::debug!(code = problem.code, "a subscription stays for now");
                }
                return;
            }
        }
    }

    fn next(&self, device: DeviceId) -> Option<(Arc<Subscription>, Letter, Option<Instant>)> {
        let mut browsers = self.browsers.lock();
        let browser = browsers.get_mut(&device)?;
        let Some(letter) = browser.letters.pop_front() else {
            browser.busy = false;
            return None;
        };
        let now = Instant::now();
        browser.bucket.charge(1, now);
        let due = browser.bucket.paid_at(now);
        Some((browser.subscription.clone(), letter, due))
    }

    /// Delivers a letter, or gives it up; `None` where the subscription is over.
    async fn deliver(&self, device: DeviceId, to: &Subscription, letter: &Letter) -> Option<()> {
        let mut pauses = PAUSES.into_iter();
        loop {
            self.still_there(device, to).await?;
            let wait = match self.send(to, letter).await {
                Fate::Over => return Some(()),
                Fate::Gone => return None,
                Fate::Later(wait) => wait,
                Fate::Crowded => {
                    sleep(CROWDED).await;
                    continue;
                }
            };
            let Some(pause) = pauses.next() else {
                return Some(());
            };
            sleep(pause.max(wait.unwrap_or_default()).min(LONGEST)).await;
        }
    }

    /// Whether the browser is still signed in.
    async fn still_there(&self, device: DeviceId, to: &Subscription) -> Option<()> {
        let web = self.web.upgrade()?;
        let account = to.account.clone();
        let there = web.read(move |web| {
            let found = web.node.store().device(device);
            let found = found.map_err(sammen_core::Refusal::from)?;
            let same = found.filter(|d| d.account == account);
            match same {
                Some(device) => token::holds(web, Kind::Cookie, &device),
                None => Ok(false),
            }
        });
        // What can't be read now is not over.
        there.await.unwrap_or(true).then_some(())
    }

    async fn send(&self, to: &Subscription, letter: &Letter) -> Fate {
        let Some(request) = self.request(to, letter) else {
            return Fate::Over;
        };
        match self.fetcher.fetch(&to.account, request).await {
            Ok(answer) => fate(&answer),
            Err(why) if why.is_final() => Fate::Gone,
            Err(FetchError::Busy) => Fate::Crowded,
            Err(FetchError::Broken(_) | FetchError::TooLarge) => Fate::Over,
            Err(why) => {
                tracing::debug!(%why, "a push service was not reached");
                Fate::Later(None)
            }
        }
    }

    fn request(&self, to: &Subscription, letter: &Letter) -> Option<Request> {
        let web = self.web.upgrade()?;
        let url = Url::parse(&to.endpoint).ok()?;
        let keys = Keys::read(&to.p256dh, &to.auth).ok()?;
        let body = seal(&keys, letter.text.as_bytes()).ok()?;
        let now = web.node.now().0 / 1000;
        let audience = url.origin().ascii_serialization();
        let signed = self.signer.authorization(&audience, &web.base(), now);
        // RFC 8030 §5.4: what is told of a conversation replaces what was. Hashed: the service need not know which.
        let hash = ring::digest::digest(
            &ring::digest::SHA256,
            format!("{}{}", to.auth, letter.conversation).as_bytes(),
        );
        let topic = URL_SAFE_NO_PAD.encode(hash.as_ref().get(..18)?);
        let urgency = if letter.urgent { "high" } else { "normal" };
        let fixed = HeaderValue::from_static;
        Some(
            Request::post(url, body.into(), ANSWER, PATIENCE)
                .header(header::AUTHORIZATION, signed.ok()?.try_into().ok()?)
                .header(header::CONTENT_ENCODING, fixed("aes128gcm"))
                .header(header::CONTENT_TYPE, fixed("application/octet-stream"))
                .header(HeaderName::from_static("ttl"), fixed(KEPT))
                .header(HeaderName::from_static("urgency"), fixed(urgency))
                .header(HeaderName::from_static("topic"), topic.try_into().ok()?),
        )
    }
}

fn fate(answer: &Answer) -> Fate {
    match answer.status.as_u16() {
        200..=299 => Fate::Over,
        // RFC 8030 §7.3.
        404 | 410 => Fate::Gone,
        429 | 500..=599 => {
            let wait = answer.headers.get(header::RETRY_AFTER);
            let wait = wait.and_then(|v| v.to_str().ok()?.parse().ok());
            Fate::Later(wait.map(Duration::from_secs))
        }
        status => {
            tracing::info!(status, "a push service refused a message");
            Fate::Over
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_waits_the_last_of_each_conversation_stays_within_bounds() {
        let subscription = Subscription {
            account: sammen_core::Address::new("alice@example.org").unwrap(),
            endpoint: "https://push.example/".into(),
            p256dh: String::new(),
            auth: String::new(),
            text: false,
        };
        let mut browser = Browser::new(Arc::new(subscription), Instant::now());
        let letter = |conversation: usize, text: &str| Letter {
            conversation: conversation.to_string(),
            urgent: false,
            text: text.into(),
        };
        browser.put(letter(0, "first"));
        browser.put(letter(0, "last"));
        assert_eq!(browser.letters.len(), 1);
        assert_eq!(browser.letters[0].text, "last");
        for conversation in 1..100 {
            browser.put(letter(conversation, ""));
        }
        assert_eq!(browser.letters.len(), LETTERS);
        assert_eq!(browser.letters[LETTERS - 1].conversation, "99");
    }
}

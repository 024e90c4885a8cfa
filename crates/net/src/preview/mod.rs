//! What a link leads to, in short: title, some words, a small picture. Fetched by the node, so that the page behind the link
//! learns nothing of who reads; kept in memory for an hour, within bounds. For every protocol that shows links.

mod page;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::header::{ACCEPT, HeaderValue};
use lru::LruCache;
use parking_lot::Mutex;
use sammen_core::Address;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::fetch::gate::Gate;
use crate::fetch::{FetchError, Fetcher, Request};
use crate::thumbnail::{self, Fit};
use crate::{Rate, Rates};

/// Previews that are kept, and for how long; what can't be had is asked for again sooner.
const KEPT: usize = 256;
const FRESH: Duration = Duration::from_secs(3600);
const FAILED: Duration = Duration::from_secs(600);
/// Bytes of a page that are read, and of a picture.
const PAGE: usize = 768 << 10;
const PICTURE: usize = 8 << 20;
/// For each of the two.
const PATIENCE: Duration = Duration::from_secs(8);
/// Width and height of small pictures, the smaller one where the first has too many bytes.
const SIZES: [(u32, u32); 2] = [(480, 320), (160, 120)];
/// Bytes of a small picture: with [`KEPT`] of them it is 16 MiB in all.
const SMALL: usize = 64 << 10;
/// Links that are worked on at once; requests at once, and of one account.
const AT_ONCE: usize = 16;
const EACH: usize = 4;
/// Links of one account that are not known yet.
const RATE: Rate = Rate {
    per_second: 1,
    burst: 60,
};

/// What a link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Where it led in the end.
    pub url: String,
    /// The page's title.
    pub title: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// The site's name.
    pub site: Option<String>,
    /// A small picture.
    pub picture: Option<Picture>,
}

/// A small picture, made by the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// By which [`Previews::picture`] finds it; nobody can guess it.
    pub id: String,
    /// Media type.
    pub media_type: &'static str,
    /// Width in points.
    pub width: u32,
    /// Height in points.
    pub height: u32,
    /// It.
    pub bytes: Bytes,
}

/// Why it can't be said now what a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreviewError {
    /// This account asks for too many.
    #[error("too many links; wait {} seconds", .0.as_secs())]
    Throttled(Duration),
    /// The node has enough to do.
    #[error("too many links at once")]
    Busy,
}

impl std::fmt::Debug for Previews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Previews")
    }
}

struct Slot {
    since: Instant,
    found: OnceCell<Option<Arc<Preview>>>,
}

/// Previews of links, those asked for lately in memory.
pub struct Previews {
    fetcher: Fetcher,
    kept: Mutex<LruCache<String, Arc<Slot>>>,
    rates: Rates,
    /// From the request to the small picture: what waits between is in memory, and nobody takes all seats.
    working: Gate,
    /// One picture is made at a time: it takes memory.
    making: Arc<Semaphore>,
}

impl Previews {
    /// Previews that are fetched so.
    pub fn new(fetcher: &Fetcher) -> Self {
        let most = NonZeroUsize::new(KEPT).unwrap_or(NonZeroUsize::MIN);
        Self {
            fetcher: fetcher.lane(AT_ONCE, EACH),
            kept: Mutex::new(LruCache::new(most)),
            rates: Rates::default(),
            working: Gate::new(AT_ONCE, EACH),
            making: Arc::new(Semaphore::new(1)),
        }
    }

    /// What a link leads to; `None` where there is nothing to show. `who` is charged for what is not known yet.
    ///
    /// # Errors
    /// When it should be asked for later.
    pub async fn of(
        &self,
        who: &Address,
        link: &str,
    ) -> Result<Option<Arc<Preview>>, PreviewError> {
        let Ok(mut url) = Url::parse(link) else {
            return Ok(None);
        };
        url.set_fragment(None);
        if self.fetcher.check(&url).is_err() {
            return Ok(None);
        }
        let (slot, paid) = self.slot(who, url.as_str())?;
        // Who comes meanwhile waits for the same; who goes leaves it to them.
        let found = slot.found.get_or_try_init(|| async {
            if !paid {
                self.charge(who)?;
            }
            self.fetch(who, url).await
        });
        found.await.cloned()
    }

    /// A small picture that a preview named, as long as it is kept.
    pub fn picture(&self, id: &str) -> Option<Picture> {
        let kept = self.kept.lock();
        let mut all = kept
            .iter()
            .filter_map(|(_, slot)| slot.found.get()?.as_ref());
        all.find_map(|preview| preview.picture.clone().filter(|p| p.id == id))
    }

    fn charge(&self, who: &Address) -> Result<(), PreviewError> {
        let counted = self.rates.count(who, RATE, 1);
        counted.map_err(PreviewError::Throttled)
    }

    /// A link's slot, and whether `who` was charged for it: for a new one, as it takes the place of another. Who fetches
    /// for one that is there is charged then.
    fn slot(&self, who: &Address, key: &str) -> Result<(Arc<Slot>, bool), PreviewError> {
        let mut kept = self.kept.lock();
        let now = Instant::now();
        if let Some(slot) = kept.get(key) {
            let age = match slot.found.get() {
                Some(None) => FAILED,
                _ => FRESH,
            };
            if now.saturating_duration_since(slot.since) < age {
                return Ok((Arc::clone(slot), false));
            }
        }
        self.charge(who)?;
        let slot = Arc::new(Slot {
            since: now,
            found: OnceCell::new(),
        });
        kept.put(key.to_owned(), Arc::clone(&slot));
        Ok((slot, true))
    }

    async fn fetch(&self, who: &Address, url: Url) -> Result<Option<Arc<Preview>>, PreviewError> {
        let working = timeout(PATIENCE, self.working.enter(who)).await;
        let Ok(Ok(_working)) = working else {
            return Err(PreviewError::Busy);
        };
        let mut request = Request::get(url, PAGE, PATIENCE);
        request.cut = true;
        let wanted = HeaderValue::from_static("text/html, application/xhtml+xml, image/*;q=0.5");
        let answer = match self
            .fetcher
            .fetch(who, request.header(ACCEPT, wanted))
            .await
        {
            Ok(answer) => answer,
            Err(FetchError::Busy) => return Err(PreviewError::Busy),
            Err(why) => {
                tracing::debug!(%why, "a link leads to nothing that is shown");
                return Ok(None);
            }
        };
        if !answer.status.is_success() {
            return Ok(None);
        }
        let kind = answer.media_type();
        let said = match kind.as_str() {
            "text/html" | "application/xhtml+xml" => {
                let read = tokio::task::spawn_blocking(move || page::read(&answer.body));
                read.await.unwrap_or_default()
            }
            picture if picture.starts_with("image/") => page::Said {
                picture: Some(answer.url.to_string()),
                ..page::Said::default()
            },
            _ => return Ok(None),
        };
        let at = said.picture.and_then(|at| answer.url.join(&at).ok());
        let picture = match at {
            Some(at) => self.small(who, at).await,
            None => None,
        };
        if said.title.is_none() && said.description.is_none() && picture.is_none() {
            return Ok(None);
        }
        Ok(Some(Arc::new(Preview {
            url: answer.url.into(),
            title: said.title,
            description: said.description,
            site: said.site,
            picture,
        })))
    }

    async fn small(&self, who: &Address, at: Url) -> Option<Picture> {
        let request = Request::get(at, PICTURE, PATIENCE);
        let wanted = HeaderValue::from_static("image/webp, image/*");
        let answer = self
            .fetcher
            .fetch(who, request.header(ACCEPT, wanted))
            .await;
        let answer = answer.ok().filter(|a| a.status.is_success())?;
        let making = Arc::clone(&self.making).acquire_owned().await.ok()?;
        // Who hangs up gives nothing back before it is made.
        let made = tokio::task::spawn_blocking(move || {
            let _making = making;
            shrink(&answer.body)
        });
        let (media_type, bytes) = made.await.ok().flatten()?;
        let (width, height) = thumbnail::dimensions(&bytes)?;
        Some(Picture {
            id: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()),
            media_type,
            width,
            height,
            bytes,
        })
    }
}

/// A picture of few bytes. Blocking.
fn shrink(bytes: &[u8]) -> Option<thumbnail::Made> {
    SIZES.into_iter().find_map(|(width, height)| {
        let made = match thumbnail::smaller(bytes, width, height, Fit::Scale).ok()? {
            Some(made) => made,
            None => (thumbnail::sniff(bytes)?, Bytes::copy_from_slice(bytes)),
        };
        (made.1.len() <= SMALL).then_some(made)
    })
}

/// The first link to a page in a text, as people write them.
pub fn first_link(text: &str) -> Option<&str> {
    let starts = text.match_indices("http").filter(|(at, _)| {
        let before = text.get(..*at).and_then(|t| t.chars().next_back());
        let rest = text.get(*at..).unwrap_or_default();
        before.is_none_or(|c| !c.is_alphanumeric())
            && (rest.starts_with("https://") || rest.starts_with("http://"))
    });
    let mut links = starts.filter_map(|(at, _)| {
        let rest = text.get(at..)?;
        let ends =
            |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | '`');
        let mut link = rest.split(ends).next()?;
        // What closes a sentence or a bracket around it is none of it.
        loop {
            let shorter = link.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '*', '_']);
            let opens = |open, close| {
                shorter.ends_with(close)
                    && shorter.matches(close).count() > shorter.matches(open).count()
            };
            let shorter = if opens('(', ')') || opens('[', ']') {
                shorter.get(..shorter.len() - 1)?
            } else {
                shorter
            };
            if shorter.len() == link.len() {
                break;
            }
            link = shorter;
        }
        Url::parse(link).ok().filter(Url::has_host).map(|_| link)
    });
    links.next()
}

#[cfg(test)]
mod tests;

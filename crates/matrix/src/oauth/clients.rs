//! Apps introduce themselves (RFC 7591; client-server API, "Client registration").
//!
//! An app's id is the hash of what it says of itself, so who says the same is the same, and registering again costs
//! nothing. What is kept is bounded: the app that nobody was let in by for longest makes room, and registers anew. Those
//! that nobody was ever let in by have room of their own, so that however many introduce themselves, apps that are in
//! use stay.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{Method, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use sammen_core::document::Owner;
use sammen_core::store::Store;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Outcome, Refusal, Seq, Timestamp};
use sammen_net::Peer;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::metadata::{DEVICE_CODE, REGISTER};
use super::{Refused, Wrong, answer};
use crate::auth::vault::hashed;
use crate::fault::Answer;
use crate::routes::Table;
use crate::server::Matrix;
use crate::shelf::{decode, encode};

/// The shelves of clients that somebody was let in by, and of others (owner: the node; key: the client's id), and how
/// many each keeps.
const USED: (&str, u64) = ("matrix.client", 1_000);
const NEW: (&str, u64) = ("matrix.client.new", 200);
/// The oldest that are looked at where one has to go.
const OLDEST: usize = 64;
/// Longest body, longest field, most redirect URIs.
const BODY: usize = 16 * 1024;
const FIELD: usize = 1024;
const URIS: usize = 16;
/// How fine "last used" is.
const DAY_MS: i64 = 86_400_000;

/// The endpoints.
pub fn routes(table: &mut Table) {
    let handler = post(register).layer(axum::extract::DefaultBodyLimit::max(BODY));
    table.raw(Method::POST, REGISTER, true, handler);
}

/// What an app says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its name, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// Its page: what people know it by.
    pub client_uri: Url,
    /// `native` or `web`.
    #[serde(default = "web")]
    pub application_type: String,
    /// Where its person comes back to.
    #[serde(default)]
    pub redirect_uris: Vec<Url>,
    /// What it will use.
    #[serde(default = "code_only")]
    pub grant_types: Vec<String>,
    /// `code`, where it uses that.
    #[serde(default)]
    pub response_types: Vec<String>,
    /// `none`: there are public clients only.
    #[serde(default = "basic")]
    pub token_endpoint_auth_method: String,
}

/// A client as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    client: Client,
    used: Timestamp,
}

// RFC 7591 §2: what stands where nothing does.
fn web() -> String {
    "web".to_owned()
}

fn code_only() -> Vec<String> {
    vec!["authorization_code".to_owned()]
}

fn basic() -> String {
    "client_secret_basic".to_owned()
}

const BAD: Wrong = Wrong::new("invalid_client_metadata", "this is no client of ours");
const BAD_REDIRECT: Wrong = Wrong::new(
    "invalid_redirect_uri",
    "a redirect URI is https at the client's own host, or for native apps its own scheme or a loopback address",
);

impl Client {
    /// Whether the app may use a grant.
    pub fn may(&self, grant: &str) -> bool {
        self.grant_types.iter().any(|g| g == grant)
    }

    /// The host that people know it by.
    pub fn host(&self) -> &str {
        self.client_uri.host_str().unwrap_or_default()
    }

    /// Whether somebody may be sent there: one of its addresses; at a loopback address any port will do (RFC 8252 §7.3).
    pub fn redirects_to(&self, asked: &Url) -> bool {
        self.redirect_uris.iter().any(|known| {
            if !is_loopback(known) || self.application_type != "native" {
                return known == asked;
            }
            let mut portless = asked.clone();
            let mut known = known.clone();
            portless.set_port(None).is_ok() && known.set_port(None).is_ok() && portless == known
        })
    }

    fn check(&self) -> Result<(), Wrong> {
        let short = |text: &str| text.len() <= FIELD;
        let texts = [&self.application_type, &self.token_endpoint_auth_method];
        let lists = self.grant_types.iter().chain(&self.response_types);
        let small = texts.into_iter().chain(lists).all(|t| short(t))
            && self.client_name.as_deref().is_none_or(short)
            && short(self.client_uri.as_str())
            && self.grant_types.len() <= URIS
            && self.response_types.len() <= URIS;
        let known = ["web", "native"].contains(&self.application_type.as_str());
        // Where a node is tried out on one machine, so is the app.
        let secure = self.client_uri.scheme() == "https" || is_loopback(&self.client_uri);
        let named = self.client_uri.host_str().is_some()
            && self.client_uri.username().is_empty()
            && self.client_uri.password().is_none();
        if !small || !known || !secure || !named || self.token_endpoint_auth_method != "none" {
            return Err(BAD);
        }
        let grants = ["authorization_code", "refresh_token", DEVICE_CODE];
        if !self
            .grant_types
            .iter()
            .any(|g| grants.contains(&g.as_str()))
        {
            return Err(BAD);
        }
        let sends = self.may("authorization_code");
        if self.redirect_uris.len() > URIS || (sends && self.redirect_uris.is_empty()) {
            return Err(BAD_REDIRECT);
        }
        if self.redirect_uris.iter().all(|uri| self.owns(uri)) {
            return Ok(());
        }
        Err(BAD_REDIRECT)
    }

    /// "Redirect URI validation".
    fn owns(&self, uri: &Url) -> bool {
        if uri.as_str().len() > FIELD || uri.fragment().is_some() {
            return false;
        }
        if !uri.username().is_empty() || uri.password().is_some() {
            return false;
        }
        let native = self.application_type == "native";
        match uri.scheme() {
            "https" => same_or_under(uri.host_str(), self.host()),
            "http" => is_loopback(uri) && (native || is_loopback(&self.client_uri)),
            // com.example.app:/callback, for https://example.com.
            scheme => {
                let mut reversed: Vec<&str> = scheme.split('.').collect();
                reversed.reverse();
                let host = reversed.join(".");
                native
                    && uri.host_str().is_none()
                    && uri.path().starts_with('/')
                    && scheme.contains('.')
                    && same_or_under(Some(&host), self.host())
            }
        }
    }
}

fn same_or_under(host: Option<&str>, parent: &str) -> bool {
    let Some(host) = host else { return false };
    host == parent
        || host
            .strip_suffix(parent)
            .is_some_and(|left| left.ends_with('.'))
}

fn is_loopback(uri: &Url) -> bool {
    uri.scheme() == "http"
        && match uri.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
}

/// Reads what an app said, and its id.
fn read(body: &[u8]) -> Result<(String, Client), Wrong> {
    let mut client: Client = serde_json::from_slice(body).map_err(|_| BAD)?;
    client.check()?;
    client.redirect_uris.sort();
    client.redirect_uris.dedup();
    let text = serde_json::to_vec(&client).map_err(|_| BAD)?;
    Ok((hashed(&text), client))
}

async fn register(
    State(matrix): State<Arc<Matrix>>,
    peer: Option<Extension<Arc<Peer>>>,
    body: Bytes,
) -> Response<Body> {
    let peer = peer.as_ref().map(|Extension(peer)| peer.as_ref());
    match take_in(&matrix, peer, &body).await {
        Ok(answer) => answer,
        Err(refused) => refused.into_response(),
    }
}

async fn take_in(
    matrix: &Arc<Matrix>,
    peer: Option<&Peer>,
    body: &[u8],
) -> Result<Response<Body>, Refused> {
    matrix.auth.rates.new_client(peer)?;
    let (id, client) = read(body)?;
    let mut told = serde_json::to_value(&client).map_err(|_| BAD)?;
    keep(matrix, id.clone(), client).await?;
    if let Some(fields) = told.as_object_mut() {
        fields.insert("client_id".to_owned(), id.into());
        let now = matrix.node.now().0 / 1000;
        fields.insert("client_id_issued_at".to_owned(), now.into());
    }
    Ok(answer(StatusCode::CREATED, &told))
}

async fn keep(matrix: &Matrix, id: String, client: Client) -> Answer<()> {
    let store = matrix.node.store_arc();
    let kept = matrix
        .node
        .write(move |tx| introduced(tx, &*store, &id, client));
    Ok(kept.await?)
}

fn introduced(tx: &mut Tx<'_>, store: &dyn Store, id: &str, client: Client) -> Outcome<()> {
    if kept(tx, USED.0, id)?.is_some() {
        return Ok(());
    }
    if kept(tx, NEW.0, id)?.is_none() {
        make_room(tx, store, NEW)?;
    }
    let used = tx.now;
    put(tx, NEW.0, id, &Kept { client, used })
}

fn kept(tx: &mut Tx<'_>, shelf: &str, id: &str) -> Outcome<Option<Kept>> {
    let found = tx.document(&Owner::Node, shelf, id)?.and_then(|d| d.value);
    Ok(found.and_then(|v| decode(&v)))
}

fn put(tx: &mut Tx<'_>, shelf: &str, id: &str, kept: &Kept) -> Outcome<()> {
    let bytes = encode(kept)?;
    tx.put_document(&Owner::Node, shelf, id, Expect::Anything, Some(bytes))?;
    Ok(())
}

/// Where a shelf is full, what was written longest ago goes.
fn make_room(tx: &mut Tx<'_>, store: &dyn Store, (shelf, most): (&str, u64)) -> Outcome<()> {
    if tx.count_documents(&Owner::Node, shelf)?.documents < most {
        return Ok(());
    }
    let oldest = store.documents_since(&Owner::Node, shelf, Seq(0), OLDEST)?;
    for document in oldest.unwrap_or_default() {
        // This batch may have written it anew or taken it away.
        let now = tx.document(&Owner::Node, shelf, &document.key)?;
        if now.is_some_and(|now| now.value.is_some() && now.version == document.version) {
            tx.erase_document(&Owner::Node, shelf, &document.key);
            return Ok(());
        }
    }
    Err(Refusal::TooMany)
}

/// The client of that id.
pub async fn find(matrix: &Arc<Matrix>, id: &str) -> Answer<Option<Client>> {
    let key = id.to_owned();
    let found = matrix.read(move |matrix| {
        for (shelf, _) in [USED, NEW] {
            let found = matrix.node.store().document(&Owner::Node, shelf, &key)?;
            if let Some(value) = found.and_then(|d| d.value) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    });
    let kept = found.await?.and_then(|v| decode::<Kept>(&v));
    Ok(kept.map(|kept| kept.client))
}

/// Somebody was let in by it.
pub async fn note_used(matrix: &Arc<Matrix>, id: &str) -> Answer<()> {
    let (store, id) = (matrix.node.store_arc(), id.to_owned());
    let noted = matrix.node.write(move |tx| used(tx, &*store, &id));
    Ok(noted.await?)
}

fn used(tx: &mut Tx<'_>, store: &dyn Store, id: &str) -> Outcome<()> {
    let now = tx.now;
    if let Some(known) = kept(tx, USED.0, id)? {
        if now.0 - known.used.0 <= DAY_MS {
            return Ok(());
        }
        return put(tx, USED.0, id, &Kept { used: now, ..known });
    }
    let Some(known) = kept(tx, NEW.0, id)? else {
        return Ok(());
    };
    make_room(tx, store, USED)?;
    tx.erase_document(&Owner::Node, NEW.0, id);
    put(tx, USED.0, id, &Kept { used: now, ..known })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn with(changes: Value) -> Result<(String, Client), Wrong> {
        let mut whole = json!({
            "client_name": "An app", "client_uri": "https://app.example.com/",
            "redirect_uris": ["https://app.example.com/done"], "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none", "unknown": [1, 2, 3],
        });
        for (key, value) in changes.as_object().cloned().unwrap_or_default() {
            whole[key] = value;
        }
        read(whole.to_string().as_bytes())
    }

    #[test]
    fn a_client_is_the_same_as_long_as_it_says_the_same() {
        let (id, client) = with(json!({})).unwrap();
        assert_eq!(with(json!({ "more": true })).unwrap().0, id);
        assert_ne!(with(json!({ "client_name": "Another" })).unwrap().0, id);
        let asked = |uri: &str| client.redirects_to(&Url::parse(uri).unwrap());
        assert!(asked("https://app.example.com/done"));
        assert!(!asked("https://app.example.com/done?x=1"));
        assert!(!asked("https://app.example.com/donee"));
    }

    #[tokio::test]
    async fn however_many_introduce_themselves_apps_in_use_stay() {
        use sammen_core::{Domain, Node, Options, memory::MemoryStore};
        let domain = Domain::new("example.org").unwrap();
        let node = Node::start(Arc::new(MemoryStore::new()), Options::new(domain)).unwrap();
        let client = with(json!({})).unwrap().1;
        let come = |n: u32| {
            let (node, client) = (node.clone(), client.clone());
            async move {
                let (store, id) = (node.store_arc(), format!("app{n:04}"));
                let come = node.write(move |tx| introduced(tx, &*store, &id, client));
                come.await
            }
        };
        come(0).await.unwrap();
        let store = node.store_arc();
        node.write(move |tx| used(tx, &*store, "app0000"))
            .await
            .unwrap();
        // Many in one batch, and many after it.
        let together: tokio::task::JoinSet<_> = (1..150).map(come).collect();
        for one in together.join_all().await {
            one.unwrap();
        }
        for n in 150..=300 {
            come(n).await.unwrap();
        }
        let held = |shelf| node.store().count_documents(&Owner::Node, shelf).unwrap();
        assert_eq!((held(USED.0).documents, held(NEW.0).documents), (1, NEW.1));
        let there = |shelf, id: &str| {
            let found = node.store().document(&Owner::Node, shelf, id).unwrap();
            found.is_some_and(|d| d.value.is_some())
        };
        assert!(there(USED.0, "app0000"));
        assert!(there(NEW.0, "app0300") && !there(NEW.0, "app0100"));
    }

    #[test]
    fn nobody_is_sent_where_the_client_is_not_at_home() {
        let native =
            |uri: &str| with(json!({ "application_type": "native", "redirect_uris": [uri] }));
        for fine in [
            "com.example.app:/done",
            "com.example.app.phone:/done",
            "http://127.0.0.1/done",
            "http://[::1]/done",
            "https://sub.app.example.com/done",
        ] {
            assert!(native(fine).is_ok(), "{fine}");
        }
        let loopback = native("http://localhost/done").unwrap().1;
        assert!(loopback.redirects_to(&Url::parse("http://localhost:4711/done").unwrap()));
        assert!(!loopback.redirects_to(&Url::parse("http://localhost:4711/other").unwrap()));
        for evil in [
            "https://evil.example/done",
            "https://evilapp.example.com.evil.org/",
            "https://notapp.example.com/done",
            "com.example.application:/done",
            "com.example.app://host/done",
            "com.evil:/done",
            "javascript:alert(1)",
            "data:text/html,x",
            "http://192.0.2.1/done",
            "https://app.example.com/done#x",
            "https://u:p@app.example.com/done",
        ] {
            assert_eq!(native(evil).err(), Some(BAD_REDIRECT), "{evil}");
        }
        let web = with(json!({ "redirect_uris": ["http://localhost/done"] }));
        assert_eq!(web.err(), Some(BAD_REDIRECT));
    }

    #[test]
    fn who_wants_to_keep_a_secret_or_says_too_much_is_no_client() {
        for bad in [
            json!({ "token_endpoint_auth_method": "client_secret_basic" }),
            json!({ "client_uri": "http://app.example.com" }),
            json!({ "client_uri": "https://u@app.example.com" }),
            json!({ "client_name": "x".repeat(2000) }),
            json!({ "application_type": "other" }),
            json!({ "grant_types": ["password"] }),
            json!({ "redirect_uris": "no list" }),
        ] {
            assert_eq!(with(bad.clone()).err(), Some(BAD), "{bad}");
        }
        assert_eq!(
            with(json!({ "redirect_uris": [] })).err(),
            Some(BAD_REDIRECT)
        );
        let link = json!({ "redirect_uris": [], "grant_types": [DEVICE_CODE] });
        assert!(with(link).is_ok());
    }
}

//! Pushers and a gateway on loopback, notifications by the page.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use sammen_core::conversation::Settings;
use sammen_core::memory::MemoryStore;
use sammen_core::ops::send::Target;
use sammen_net::dial::Trust;
use sammen_net::fetch::{Fetcher, Ways};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use crate::chain::text;
use crate::house::{House, address};

/// A gateway: what it hears comes out here, and it answers what is put in.
struct Gateway {
    port: u16,
    heard: mpsc::UnboundedReceiver<Value>,
    answers: mpsc::UnboundedSender<(u16, Value)>,
}

type Desk = (
    mpsc::UnboundedSender<Value>,
    Arc<Mutex<mpsc::UnboundedReceiver<(u16, Value)>>>,
);

async fn notify(
    State((heard, answers)): State<Desk>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    heard.send(body["notification"].clone()).unwrap();
    let answer = answers.lock().await.try_recv();
    let (status, body) = answer.unwrap_or((200, json!({ "rejected": [] })));
    (StatusCode::from_u16(status).unwrap(), Json(body))
}

impl Gateway {
    async fn new() -> Self {
        let (told, heard) = mpsc::unbounded_channel();
        let (answers, says) = mpsc::unbounded_channel();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new()
            .route("/_matrix/push/v1/notify", post(notify))
            .with_state((told, Arc::new(Mutex::new(says))));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            port,
            heard,
            answers,
        }
    }

    fn ways(&self, allow: &[&str]) -> Ways {
        Ways {
            names: None,
            trust: Trust::new(&[], false).unwrap(),
            allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
            ports: vec![self.port],
            agent: "Sammen".into(),
        }
    }

    fn fetcher(&self, allow: &[&str]) -> Fetcher {
        Fetcher::new(self.ways(allow), 8, 8).unwrap()
    }

    fn pusher(&self, key: &str, data: Value) -> Value {
        let url = format!("http://127.0.0.1:{}/_matrix/push/v1/notify", self.port);
        let mut all = json!({ "url": url });
        let data = data.as_object().cloned().unwrap_or_default();
        all.as_object_mut().unwrap().extend(data);
        json!({
            "kind": "http", "app_id": "org.example.app", "pushkey": key, "lang": "en",
            "app_display_name": "App", "device_display_name": "Phone", "data": all,
        })
    }

    async fn hears(&mut self) -> Value {
        self.heard.recv().await.unwrap()
    }
}

const SET: &str = "/_matrix/client/v3/pushers/set";
const GET: &str = "/_matrix/client/v3/pushers";

impl House {
    async fn reaching(store: Arc<MemoryStore>, gateway: &Gateway) -> Self {
        let fetcher = gateway.fetcher(&["127.0.0.0/8"]);
        Self::on(store, |config| config.fetcher = Some(fetcher)).await
    }

    async fn pushers(&self, token: &str) -> Vec<Value> {
        let found = self.ask(token, "GET", GET, Value::Null).await.is(200);
        found["pushers"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn a_phone_is_told_once_over_a_restart_and_of_nothing_that_is_its_own_or_muted() {
    let mut gateway = Gateway::new().await;
    let store = Arc::new(MemoryStore::new());
    let house = House::reaching(store.clone(), &gateway).await;
    let town = house.town("alice", Settings::default()).await;
    house.joins("bob", town).await;
    let to_town = || Target::Conversation(town);
    let bob = house.sign_in("bob").await;
    house.says("alice", to_town(), text("before")).await;
    let set = gateway.pusher("key", json!({ "x": 1 }));
    house.ask(&bob, "POST", SET, set.clone()).await.is(200);
    assert_eq!(house.pushers(&bob).await, [set]);
    house.says("bob", to_town(), text("my own")).await;
    house.says("alice", to_town(), text("the first")).await;
    let first = gateway.hears().await;
    assert_eq!(first["content"]["body"], "the first");
    assert_eq!(first["sender"], "@alice:example.org");
    assert_eq!(first["counts"], json!({ "unread": 1 }));
    assert_eq!(first["devices"][0]["data"], json!({ "x": 1 }));
    let room = house.room(town).await.id.to_string();
    let mute = format!("/_matrix/client/v3/pushrules/global/override/{room}");
    let rule = json!({
        "actions": [],
        "conditions": [{ "kind": "event_match", "key": "room_id", "pattern": room }],
    });
    house.ask(&bob, "PUT", &mute, rule).await.is(200);
    house.says("alice", to_town(), text("muted")).await;
    house
        .says("alice", Target::Direct(address("bob")), text("to you"))
        .await;
    let second = gateway.hears().await;
    assert_eq!(second["content"]["body"], "to you");
    assert_eq!(second["counts"], json!({ "unread": 2 }));
    assert_eq!(second["prio"], "high");
    // Read elsewhere: the count alone.
    let path = format!(
        "/_matrix/client/v3/rooms/{room}/receipt/m.read/{}",
        first["event_id"].as_str().unwrap()
    );
    house.ask(&bob, "POST", &path, json!({})).await.is(200);
    let count = gateway.hears().await;
    assert_eq!(count["event_id"], Value::Null, "{count}");
    assert_eq!(count["counts"], json!({ "unread": 1 }));
    drop(house);
    let house = House::reaching(store, &gateway).await;
    house
        .says("alice", Target::Direct(address("bob")), text("later"))
        .await;
    assert_eq!(gateway.hears().await["content"]["body"], "later");
}

#[tokio::test]
async fn a_gateway_that_fails_hears_the_same_again_and_a_rejected_phone_goes() {
    let mut gateway = Gateway::new().await;
    let house = House::reaching(Arc::default(), &gateway).await;
    let (bob, carol) = (house.sign_in("bob").await, house.sign_in("carol").await);
    let short = gateway.pusher("key", json!({ "format": "event_id_only" }));
    house.ask(&bob, "POST", SET, short.clone()).await.is(200);
    gateway.answers.send((503, json!({}))).unwrap();
    let to_bob = || Target::Direct(address("bob"));
    house.says("alice", to_bob(), text("hello")).await;
    let (first, again) = (gateway.hears().await, gateway.hears().await);
    assert_eq!(first, again);
    assert!(
        first["event_id"].is_string() && first["content"].is_null(),
        "{first}"
    );
    // The phone is carol's now.
    house.ask(&carol, "POST", SET, short.clone()).await.is(200);
    assert!(house.pushers(&bob).await.is_empty());
    let mut shared = short.clone();
    shared["append"] = true.into();
    house.ask(&bob, "POST", SET, shared).await.is(200);
    assert_eq!(house.pushers(&carol).await, [short]);
    gateway
        .answers
        .send((200, json!({ "rejected": ["key"] })))
        .unwrap();
    house.says("alice", to_bob(), text("again")).await;
    gateway.hears().await;
    while !house.pushers(&bob).await.is_empty() {
        tokio::task::yield_now().await;
    }
    // What a device set goes with it.
    house
        .ask(&carol, "POST", "/_matrix/client/v3/logout", json!({}))
        .await
        .is(200);
    let carol = house.sign_in("carol").await;
    assert!(house.pushers(&carol).await.is_empty());
}

#[tokio::test]
async fn a_gateway_on_loopback_hears_nothing_until_the_operator_allows_it() {
    let mut gateway = Gateway::new().await;
    let fetcher = gateway.fetcher(&[]);
    let house = House::with(|config| config.fetcher = Some(fetcher.clone())).await;
    let bob = house.sign_in("bob").await;
    let set = gateway.pusher("key", json!({}));
    house.ask(&bob, "POST", SET, set.clone()).await.is(200);
    let sent = house
        .says("alice", Target::Direct(address("bob")), text("hello"))
        .await;
    let notifications = "/_matrix/client/v3/notifications";
    let listed = house
        .ask(&bob, "GET", notifications, Value::Null)
        .await
        .is(200);
    assert_eq!(
        listed["notifications"][0]["event"]["content"]["body"], "hello",
        "{sent:?}"
    );
    assert!(gateway.heard.try_recv().is_err());
    // It was tried, and is tried again when it may be.
    fetcher
        .reconfigure(gateway.ways(&["127.0.0.1/32"]))
        .unwrap();
    assert_eq!(gateway.hears().await["content"]["body"], "hello");
    for (what, url) in [
        ("no gateway", "https://example.org/"),
        ("in the clear", "http://example.org/_matrix/push/v1/notify"),
        (
            "another port",
            "https://example.org:22/_matrix/push/v1/notify",
        ),
        ("no url", "gateway"),
    ] {
        let mut wrong = set.clone();
        wrong["data"]["url"] = url.into();
        let answer = house.ask(&bob, "POST", SET, wrong).await;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{what}: {}",
            answer.text()
        );
    }
    let mut long = set.clone();
    long["pushkey"] = "x".repeat(513).into();
    house
        .ask(&bob, "POST", SET, long)
        .await
        .refused(400, "M_INVALID_PARAM");
    let mut mail = set;
    mail["kind"] = "email".into();
    house
        .ask(&bob, "POST", SET, mail)
        .await
        .refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn notifications_come_by_the_page_newest_first() {
    let house = House::new().await;
    let town = house.town("alice", Settings::default()).await;
    house.joins("bob", town).await;
    let bob = house.sign_in("bob").await;
    for n in 0..3 {
        let (there, you) = (Target::Conversation(town), Target::Direct(address("bob")));
        for (to, what) in [(there, "town"), (you, "you, bob")] {
            let sent = house.says("alice", to, text(&format!("{what} {n}")));
            house.room(sent.await.conversation).await;
        }
    }
    let (mut said, mut from) = (Vec::new(), String::new());
    loop {
        let path = format!("/_matrix/client/v3/notifications?limit=2{from}");
        let page = house.ask(&bob, "GET", &path, Value::Null).await.is(200);
        for one in page["notifications"].as_array().unwrap() {
            assert_eq!(one["read"], false);
            // The invitation into the conversation is one, too.
            said.extend(one["event"]["content"]["body"].as_str().map(str::to_owned));
        }
        match page["next_token"].as_str() {
            Some(next) => from = format!("&from={next}"),
            None => break,
        }
    }
    let wanted = [
        "you, bob 2",
        "town 2",
        "you, bob 1",
        "town 1",
        "you, bob 0",
        "town 0",
    ];
    assert_eq!(said, wanted);
    let alice = house.sign_in("alice").await;
    let room = house.room(town).await.id.to_string();
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/t");
    let named = json!({ "user_ids": ["@bob:example.org"] });
    let message = json!({ "msgtype": "m.text", "body": "you there", "m.mentions": named });
    house.ask(&alice, "PUT", &path, message).await.is(200);
    let path = "/_matrix/client/v3/notifications?only=highlight";
    let loud = house.ask(&bob, "GET", path, Value::Null).await.is(200);
    let loud = loud["notifications"].as_array().unwrap();
    assert_eq!(loud.len(), 1, "{loud:?}");
    assert_eq!(loud[0]["event"]["content"]["body"], "you there");
}

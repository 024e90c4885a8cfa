//! An app that never sees a password (OAuth 2.0), in a browser and without one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::house::{Answer, House, PASSWORD};

const REDIRECT: &str = "https://app.example.com/done";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-1234";
const SCOPE: &str = "urn:matrix:client:api:* urn:matrix:client:device:ABCDEFGHIJ";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

fn form(pairs: &[(&str, &str)]) -> String {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(pairs).finish()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

/// The path of an address that the metadata name.
fn path(url: &Value) -> String {
    text(url)
        .strip_prefix("https://example.org")
        .unwrap()
        .to_owned()
}

struct App<'a> {
    house: &'a House,
    metadata: Value,
    id: String,
}

impl<'a> App<'a> {
    async fn new(house: &'a House) -> Self {
        let found = house.ask("", "GET", "/_matrix/client/v1/auth_metadata", Value::Null);
        let metadata = found.await.is(200);
        let body = json!({
            "client_name": "An <b>app</b>", "client_uri": "https://app.example.com",
            "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none",
            "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token", DEVICE_CODE],
        });
        let at = path(&metadata["registration_endpoint"]);
        let told = house.ask("", "POST", &at, body.clone()).await.is(201);
        let again = house.ask("", "POST", &at, body).await.is(201);
        assert_eq!(told["client_id"], again["client_id"]);
        assert_eq!(told["redirect_uris"], json!([REDIRECT]));
        let id = text(&told["client_id"]).to_owned();
        Self {
            house,
            metadata,
            id,
        }
    }

    async fn post(&self, endpoint: &str, pairs: &[(&str, &str)]) -> Answer {
        let at = path(&self.metadata[endpoint]);
        let kind = "application/x-www-form-urlencoded";
        self.house
            .send("", "POST", &at, kind, form(pairs).into_bytes())
            .await
    }

    fn question(&self, changed: &[(&'static str, &str)]) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, VERIFIER.as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(digest);
        let mut pairs = vec![
            ("client_id", self.id.as_str()),
            ("redirect_uri", REDIRECT),
            ("response_type", "code"),
            ("response_mode", "fragment"),
            ("state", "a state & more"),
            ("scope", SCOPE),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        for (key, value) in changed {
            pairs.retain(|(k, _)| k != key);
            pairs.push((key, value));
        }
        let at = path(&self.metadata["authorization_endpoint"]);
        format!("{at}?{}", form(&pairs))
    }

    async fn page(&self, changed: &[(&'static str, &str)]) -> Answer {
        let question = self.question(changed);
        self.house.ask("", "GET", &question, Value::Null).await
    }

    async fn says(&self, page: &Answer, password: &str, answer: &str) -> Answer {
        let shown = page.text();
        let (_, rest) = shown.split_once("name=\"wish\" value=\"").unwrap();
        let (wish, _) = rest.split_once('"').unwrap();
        let pairs = [
            ("wish", wish),
            ("name", "alice"),
            ("password", password),
            ("answer", answer),
        ];
        self.post("authorization_endpoint", &pairs).await
    }

    async fn code(&self) -> String {
        let page = self.page(&[]).await;
        let back = self.says(&page, PASSWORD, "yes").await;
        came_back(&back, "code")
    }

    async fn token(&self, pairs: &[(&str, &str)]) -> Answer {
        let mut all = vec![("client_id", self.id.as_str())];
        all.extend_from_slice(pairs);
        self.post("token_endpoint", &all).await
    }

    async fn redeem(&self, code: &str, verifier: &str) -> Answer {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
        ];
        self.token(&pairs).await
    }
}

/// What somebody was sent back to the app with.
#[track_caller]
fn came_back(answer: &Answer, name: &str) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    let to = answer.headers["location"].to_str().unwrap();
    let (to, fragment) = to.split_once('#').unwrap();
    assert_eq!(to, REDIRECT);
    let pairs = url::form_urlencoded::parse(fragment.as_bytes());
    let pairs: std::collections::HashMap<_, _> = pairs.into_owned().collect();
    assert_eq!(pairs["state"], "a state & more");
    pairs
        .get(name)
        .unwrap_or_else(|| panic!("{pairs:?}"))
        .clone()
}

#[track_caller]
fn wrong(answer: &Answer, error: &str) {
    let said = answer.is(400);
    assert_eq!(said["error"], error, "{said}");
}

#[tokio::test]
async fn alice_lets_an_app_in_on_a_page_of_the_node() {
    let house = House::new().await;
    let app = App::new(&house).await;
    let page = app.page(&[]).await;
    assert_eq!(page.status, 200);
    let shown = page.text();
    assert!(
        shown.contains("app.example.com") && shown.contains("An &lt;b&gt;app"),
        "{shown}"
    );
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(
        policy.contains("form-action 'self' https://app.example.com;"),
        "{policy}"
    );
    let again = app.says(&page, "a guess", "yes").await;
    assert_eq!(again.status, 422);
    let back = app.says(&again, PASSWORD, "yes").await;
    let code = came_back(&back, "code");
    assert_eq!(app.says(&page, PASSWORD, "yes").await.status, 404, "once");
    let tokens = app.redeem(&code, VERIFIER).await;
    assert_eq!(tokens.headers["cache-control"], "no-store");
    let tokens = tokens.is(200);
    assert_eq!(
        (&tokens["token_type"], &tokens["scope"]),
        (&json!("Bearer"), &json!(SCOPE))
    );
    let access = text(&tokens["access_token"]);
    let me = house.ask(access, "GET", WHOAMI, Value::Null).await.is(200);
    assert_eq!(
        me,
        json!({ "user_id": "@alice:example.org", "device_id": "ABCDEFGHIJ" })
    );
    wrong(&app.redeem(&code, VERIFIER).await, "invalid_grant");

    let refresh = text(&tokens["refresh_token"]);
    // The other way to renew is for other tokens.
    let body = json!({ "refresh_token": refresh });
    let other = house
        .ask("", "POST", "/_matrix/client/v3/refresh", body)
        .await;
    other.refused(401, "M_UNKNOWN_TOKEN");
    let pairs = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let mut stranger = vec![("client_id", "another")];
    stranger.extend_from_slice(&pairs);
    wrong(
        &app.post("token_endpoint", &stranger).await,
        "invalid_grant",
    );
    let new = app.token(&pairs).await.is(200);
    let access = text(&new["access_token"]);
    house.ask(access, "GET", WHOAMI, Value::Null).await.is(200);
    wrong(&app.token(&pairs).await, "invalid_grant");

    let back = [
        ("token", text(&new["refresh_token"])),
        ("client_id", &app.id),
    ];
    app.post("revocation_endpoint", &back).await.is(200);
    house
        .ask(access, "GET", WHOAMI, Value::Null)
        .await
        .refused(401, "M_UNKNOWN_TOKEN");
    app.post("revocation_endpoint", &[("token", "nobody's")])
        .await
        .is(200);
}

#[tokio::test]
async fn who_says_no_or_asks_for_something_odd_gets_nothing() {
    let house = House::new().await;
    let app = App::new(&house).await;
    let no = app.says(&app.page(&[]).await, "", "no").await;
    assert_eq!(came_back(&no, "error"), "access_denied");
    for (changed, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("scope", "openid"), "invalid_scope"),
    ] {
        let back = app.page(&[changed]).await;
        assert_eq!(came_back(&back, "error"), error);
    }
    // Nobody is ever sent where the app is not at home.
    for changed in [
        ("client_id", "unknown"),
        ("redirect_uri", "https://evil.example/"),
        ("redirect_uri", "javascript:alert(1)"),
        ("redirect_uri", ""),
    ] {
        let page = app.page(&[changed]).await;
        assert_eq!(page.status, 400);
        assert!(!page.headers.contains_key("location"));
    }
    // A code is for who asked, at once, and whole.
    let code = app.code().await;
    wrong(&app.redeem(&code, &"x".repeat(43)).await, "invalid_grant");
    wrong(&app.redeem(&code, VERIFIER).await, "invalid_grant");
    let code = app.code().await;
    house.later(60_001);
    wrong(&app.redeem(&code, VERIFIER).await, "invalid_grant");
    wrong(
        &app.token(&[("grant_type", "password")]).await,
        "unsupported_grant_type",
    );
}

#[tokio::test]
async fn another_page_lets_nobody_in() {
    let house = House::new().await;
    let app = App::new(&house).await;
    let page = app.page(&[]).await.text();
    let (_, rest) = page.split_once("name=\"wish\" value=\"").unwrap();
    let (wish, _) = rest.split_once('"').unwrap();
    let body = form(&[
        ("wish", wish),
        ("name", "alice"),
        ("password", PASSWORD),
        ("answer", "yes"),
    ]);
    let at = path(&app.metadata["authorization_endpoint"]);
    let request = axum::http::Request::builder()
        .method("POST")
        .uri(&at)
        .header("host", "example.org")
        .header("origin", "https://evil.example")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(axum::body::Body::from(body))
        .unwrap();
    let answer = tower::ServiceExt::oneshot(house.router.clone(), request)
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn a_device_without_a_browser_is_let_in_elsewhere() {
    let house = House::new().await;
    let app = App::new(&house).await;
    let asked = [("client_id", app.id.as_str()), ("scope", SCOPE)];
    let told = app
        .post("device_authorization_endpoint", &asked)
        .await
        .is(200);
    let code = text(&told["device_code"]);
    let poll = [("grant_type", DEVICE_CODE), ("device_code", code)];
    wrong(&app.token(&poll).await, "authorization_pending");
    wrong(&app.token(&poll).await, "slow_down");
    house.later(5000);
    wrong(&app.token(&poll).await, "authorization_pending");
    let link = path(&told["verification_uri"]);
    let typed = text(&told["user_code"]).to_lowercase();
    let shown = house
        .ask(
            "",
            "GET",
            &format!("{link}?user_code=wrongone"),
            Value::Null,
        )
        .await;
    assert_eq!(shown.status, 422);
    let shown = house
        .ask("", "GET", &format!("{link}?user_code={typed}"), Value::Null)
        .await;
    assert!(shown.text().contains("app.example.com"), "{}", shown.text());
    let say = |password: &'static str, answer: &'static str| {
        let pairs = [
            ("user_code", typed.as_str()),
            ("name", "alice"),
            ("password", password),
            ("answer", answer),
        ];
        let kind = "application/x-www-form-urlencoded";
        house.send("", "POST", &link, kind, form(&pairs).into_bytes())
    };
    assert_eq!(say("a guess", "yes").await.status, 422);
    assert_eq!(say(PASSWORD, "yes").await.status, 200);
    assert_eq!(say(PASSWORD, "yes").await.status, 404, "once");
    let tokens = app.token(&poll).await.is(200);
    let me = house
        .ask(text(&tokens["access_token"]), "GET", WHOAMI, Value::Null)
        .await;
    assert_eq!(me.is(200)["device_id"], "ABCDEFGHIJ");
    wrong(&app.token(&poll).await, "expired_token");

    let told = app
        .post("device_authorization_endpoint", &asked)
        .await
        .is(200);
    let pairs = [("user_code", text(&told["user_code"])), ("answer", "no")];
    let kind = "application/x-www-form-urlencoded";
    house
        .send("", "POST", &link, kind, form(&pairs).into_bytes())
        .await;
    let poll = [
        ("grant_type", DEVICE_CODE),
        ("device_code", text(&told["device_code"])),
    ];
    wrong(&app.token(&poll).await, "access_denied");
}

//! Another password, and the end of an account.

use serde_json::{Value, json};

use crate::house::{House, PASSWORD};

const PASSWORDS: &str = "/_matrix/client/v3/account/password";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const NEW: &str = "quite other words";

fn auth() -> Value {
    json!({ "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": "alice" } })
}

#[tokio::test]
async fn a_new_password_ends_other_devices_if_she_says_so() {
    let house = House::new().await;
    let (desk, phone) = (house.sign_in("alice").await, house.sign_in("alice").await);
    let weak = json!({ "new_password": "x" });
    house
        .ask(&desk, "POST", PASSWORDS, weak)
        .await
        .refused(400, "M_WEAK_PASSWORD");
    let new = json!({ "new_password": NEW });
    house
        .ask("", "POST", PASSWORDS, new.clone())
        .await
        .refused(401, "M_MISSING_TOKEN");
    house.ask(&desk, "POST", PASSWORDS, new).await.is(401);
    let keeps = json!({ "new_password": NEW, "logout_devices": false, "auth": auth() });
    house.ask(&desk, "POST", PASSWORDS, keeps).await.is(200);
    house.ask(&phone, "GET", WHOAMI, Value::Null).await.is(200);
    house
        .log_in("alice", PASSWORD, json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    let mut proof = auth();
    proof["password"] = json!(NEW);
    let ends = json!({ "new_password": PASSWORD, "auth": proof });
    house.ask(&desk, "POST", PASSWORDS, ends).await.is(200);
    house
        .ask(&phone, "GET", WHOAMI, Value::Null)
        .await
        .refused(401, "M_UNKNOWN_TOKEN");
    house.ask(&desk, "GET", WHOAMI, Value::Null).await.is(200);
    house.log_in("alice", PASSWORD, json!({})).await.is(200);
}

#[tokio::test]
async fn an_app_password_signs_in_and_changes_nothing_that_matters() {
    let house = House::new().await;
    let alice = crate::house::address("alice");
    let add = |scope: &'static str| {
        house.matrix.accounts.change(&alice, move |c| {
            let scopes = sammen_net::credentials::Scopes::only([scope.to_owned()]);
            let rng = &mut rand::rng();
            c.add_app_password(scope, scopes, 0, rng)
                .map(|(id, secret)| (id, secret.expose().to_owned()))
        })
    };
    let (_, irc) = add("irc").await.unwrap();
    let (id, app) = add("matrix").await.unwrap();
    house
        .log_in("alice", &irc, json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    let phone = house
        .log_in("alice", &app, json!({ "device_id": "PHONE" }))
        .await
        .is(200);
    let phone = phone["access_token"].as_str().unwrap();
    let proof = json!({ "type": "m.login.password", "password": app,
        "identifier": { "type": "m.id.user", "user": "alice" } });
    let new = json!({ "new_password": NEW, "auth": proof });
    assert_eq!(
        house.ask(phone, "POST", PASSWORDS, new).await.is(401)["errcode"],
        "M_FORBIDDEN"
    );
    // Its own device it may sign out.
    let desk = house
        .log_in("alice", &app, json!({ "device_id": "DESK" }))
        .await
        .is(200);
    let gone = house.ask(
        phone,
        "DELETE",
        "/_matrix/client/v3/devices/DESK",
        json!({ "auth": proof }),
    );
    gone.await.is(200);
    let desk = desk["access_token"].as_str().unwrap();
    house
        .ask(desk, "GET", WHOAMI, Value::Null)
        .await
        .refused(401, "M_UNKNOWN_TOKEN");
    // Taken back, it ends what came in by it.
    let taken = house
        .matrix
        .accounts
        .change(&alice, move |c| Ok(c.remove_password(id, &mut rand::rng())));
    taken.await.unwrap();
    house
        .ask(phone, "GET", WHOAMI, Value::Null)
        .await
        .refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn a_removed_account_is_gone_and_its_name_is_nobodys() {
    let house = House::with(|config| config.registration = true).await;
    let token = house.sign_in("alice").await;
    let path = "/_matrix/client/v3/account/deactivate";
    house
        .ask("", "POST", path, json!({}))
        .await
        .refused(401, "M_MISSING_TOKEN");
    house.ask(&token, "POST", path, json!({})).await.is(401);
    let gone = house
        .ask(
            &token,
            "POST",
            path,
            json!({ "auth": auth(), "erase": true }),
        )
        .await
        .is(200);
    assert_eq!(gone["id_server_unbind_result"], "success");
    house
        .ask(&token, "GET", WHOAMI, Value::Null)
        .await
        .refused(401, "M_UNKNOWN_TOKEN");
    house
        .log_in("alice", PASSWORD, json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    let free = house.ask(
        "",
        "GET",
        "/_matrix/client/v3/register/available?username=alice",
        Value::Null,
    );
    free.await.refused(400, "M_USER_IN_USE");
}

#[tokio::test]
async fn who_may_not_come_in_learns_of_no_account() {
    let house = House::new().await;
    for name in ["alice", "nobody"] {
        let path = format!("/_matrix/client/v3/register/available?username={name}");
        let asked = house.ask("", "GET", &path, Value::Null).await;
        asked.refused(403, "M_FORBIDDEN");
        let wish = json!({ "username": name, "password": "long enough to be one" });
        let asked = house.ask("", "POST", "/_matrix/client/v3/register", wish);
        let stages = asked.await.is(401);
        assert!(stages["flows"].is_array(), "{name}: {stages}");
    }
}

#[tokio::test]
async fn a_disabled_account_is_locked_and_comes_back_as_it_was() {
    let house = House::new().await;
    let token = house.sign_in("alice").await;
    let set = |disabled: bool| {
        house.matrix.node.write(move |tx| {
            let change = |a: &mut sammen_core::Account| a.disabled = disabled;
            sammen_core::ops::accounts::change(tx, &crate::house::address("alice"), change)
                .map(|_| ())
        })
    };
    set(true).await.unwrap();
    let locked = house.ask(&token, "GET", WHOAMI, Value::Null).await;
    assert_eq!(locked.refused(401, "M_USER_LOCKED")["soft_logout"], true);
    house
        .log_in("alice", PASSWORD, json!({}))
        .await
        .refused(401, "M_USER_LOCKED");
    house
        .log_in("alice", "a guess", json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    set(false).await.unwrap();
    house.ask(&token, "GET", WHOAMI, Value::Null).await.is(200);
    set(true).await.unwrap();
    // Signing out is what is left.
    house
        .ask(&token, "POST", "/_matrix/client/v3/logout", json!({}))
        .await
        .is(200);
    house
        .ask(&token, "GET", WHOAMI, Value::Null)
        .await
        .refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn nobody_has_addresses_of_other_networks() {
    let house = House::new().await;
    let token = house.sign_in("alice").await;
    let path = "/_matrix/client/v3/account/3pid";
    let bound = house.ask(&token, "GET", path, Value::Null).await.is(200);
    assert_eq!(bound, json!({ "threepids": [] }));
    let add = json!({ "client_secret": "abc", "sid": "1" });
    let add = house.ask(&token, "POST", &format!("{path}/add"), add).await;
    add.refused(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
}

#[tokio::test]
async fn an_administrator_locks_bob_out_and_lets_him_in_again() {
    let house = House::new().await;
    let crown = |tx: &mut sammen_core::tx::Tx<'_>| {
        let change = |a: &mut sammen_core::Account| a.admin = true;
        sammen_core::ops::accounts::change(tx, &crate::house::address("alice"), change).map(|_| ())
    };
    house.matrix.node.write(crown).await.unwrap();
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    let path = |who: &str| format!("/_matrix/client/v1/admin/lock/@{who}:example.org");
    for who in ["carol", "nobody"] {
        let may_not = house.ask(&bob, "GET", &path(who), Value::Null).await;
        may_not.refused(403, "M_FORBIDDEN");
    }
    let nobody = house.ask(&alice, "GET", &path("nobody"), Value::Null).await;
    nobody.refused(404, "M_NOT_FOUND");
    let own = house
        .ask(&alice, "PUT", &path("alice"), json!({ "locked": true }))
        .await;
    own.refused(403, "M_FORBIDDEN");
    for locked in [true, false] {
        let set = house
            .ask(&alice, "PUT", &path("bob"), json!({ "locked": locked }))
            .await;
        assert_eq!(set.is(200), json!({ "locked": locked }));
        let shown = house.ask(&alice, "GET", &path("bob"), Value::Null).await;
        assert_eq!(shown.is(200), json!({ "locked": locked }));
        let status = house.ask(&bob, "GET", WHOAMI, Value::Null).await.status;
        assert_eq!(status, if locked { 401 } else { 200 });
    }
}

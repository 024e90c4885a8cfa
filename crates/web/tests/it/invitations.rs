//! Plays of invitations: a link, a name, a passphrase, an app; and the first administrator.

use serde_json::json;

use crate::house::{Browser, House};

fn form(pairs: &[(&str, &str)]) -> Option<(&'static str, Vec<u8>)> {
    let text: Vec<String> = pairs
        .iter()
        .map(|(k, v)| format!("{k}={}", v.replace(' ', "+")))
        .collect();
    Some((
        "application/x-www-form-urlencoded",
        text.join("&").into_bytes(),
    ))
}

/// The value of a hidden field.
fn field(page: &str, name: &str) -> String {
    let at = page.find(&format!("name=\"{name}\" value=\"")).unwrap();
    let rest = &page[at + name.len() + 15..];
    rest[..rest.find('"').unwrap()].to_owned()
}

fn wish(name: &str) -> Option<(&'static str, Vec<u8>)> {
    form(&[
        ("name", name),
        ("passphrase", "long enough"),
        ("again", "long enough"),
    ])
}

#[tokio::test]
async fn dave_comes_by_a_link_without_scripts_and_picks_an_app() {
    let house = House::new().await;
    let carol = house.enters("carol").await;
    let alice = house.enters("alice").await;
    house
        .post(&alice, "/invitations", json!({ "account": true }))
        .await
        .refused(403, "forbidden");
    house
        .post(
            &carol,
            "/rooms",
            json!({ "name": "town", "binding": "every-app" }),
        )
        .await
        .is(201);
    let made = json!({ "account": true, "rooms": ["#town@example.org"] });
    let made = house.post(&carol, "/invitations", made).await.is(201);
    assert!(made["qr"].as_str().unwrap().contains("<svg"));
    let path = made["url"]
        .as_str()
        .unwrap()
        .strip_prefix("https://example.org")
        .unwrap()
        .to_owned();
    let dave = Browser {
        careless: true,
        ..Browser::default()
    };
    for method in ["GET", "HEAD"] {
        let page = house.ask(&dave, method, &path, None).await;
        assert_eq!(page.status, 200);
        let link = page.headers["link"].to_str().unwrap();
        assert!(
            link.starts_with("<xmpp:carol@example.org?roster;preauth="),
            "{link}"
        );
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(
            !policy.contains("unsafe") && !policy.contains("script"),
            "{policy}"
        );
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
    }
    let taken = house.ask(&dave, "POST", &path, wish("alice")).await;
    assert!(
        taken.status == 422 && taken.text().contains("taken"),
        "{}",
        taken.text()
    );
    let odd = house
        .ask(&dave, "POST", &path, wish("<script>alert(1)</script>"))
        .await;
    assert!(
        odd.status == 422 && !odd.text().contains("<script>"),
        "{}",
        odd.text()
    );
    let differ = form(&[
        ("name", "dave"),
        ("passphrase", "long enough"),
        ("again", "other words"),
    ]);
    assert_eq!(house.ask(&dave, "POST", &path, differ).await.status, 422);
    let foreign = Browser {
        origin: Some("https://evil.example".into()),
        ..dave.clone()
    };
    assert_eq!(
        house
            .ask(&foreign, "POST", &path, wish("dave"))
            .await
            .status,
        403
    );
    let done = house.ask(&dave, "POST", &path, wish("dave")).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.text().contains("dave@example.org") && done.text().contains("class=\"secret\""));
    assert_eq!(
        house.ask(&dave, "GET", &path, None).await.status,
        404,
        "used up"
    );
    let ticket = field(&done.text(), "ticket");
    let app = format!("{path}/app");
    let kaidan = form(&[("ticket", &ticket), ("app", "kaidan")]);
    let card = house.ask(&dave, "POST", &app, kaidan).await;
    assert!(
        card.text()
            .contains("xmpp:dave@example.org?login;password="),
        "{}",
        card.text()
    );
    let goguma = form(&[("ticket", &ticket), ("app", "goguma")]);
    assert!(
        house
            .ask(&dave, "POST", &app, goguma)
            .await
            .text()
            .contains("ircs://example.org:6697")
    );
    let guessed = form(&[("ticket", "guess"), ("app", "goguma")]);
    assert_eq!(house.ask(&dave, "POST", &app, guessed).await.status, 403);
    let dave = house.enters_with("dave", "long enough").await;
    let list = house.get(&dave, "/conversations").await.is(200);
    assert_eq!(list["conversations"][0]["address"], "#town@example.org");
    let apps = house.get(&dave, "/me/passwords").await.is(200);
    let names: Vec<&str> = apps["passwords"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["Recovery code", "Kaidan", "Goguma"]);
}

#[tokio::test]
async fn cards_are_only_for_what_is_switched_on() {
    let house = House::with(|c| c.doors.retain(|d| d.protocol == "irc")).await;
    let carol = house.enters("carol").await;
    let made = house
        .post(&carol, "/admin/invitations", json!({}))
        .await
        .is(201);
    let path = made["url"]
        .as_str()
        .unwrap()
        .strip_prefix("https://example.org")
        .unwrap()
        .to_owned();
    let page = house.get(&Browser::default(), &path).await;
    assert!(!page.headers.contains_key("link") && !page.text().contains("xmpp:"));
    let done = house
        .ask(&Browser::default(), "POST", &path, wish("dave"))
        .await
        .text();
    assert!(
        done.contains("Goguma") && !done.contains("Conversations"),
        "{done}"
    );
}

#[tokio::test]
async fn the_first_link_makes_an_administrator_once() {
    let house = House::new().await;
    assert_eq!(
        sammen_web::first::link(&house.web).await.unwrap(),
        None,
        "people are here"
    );
    let empty = House::empty().await;
    let before = sammen_web::first::link(&empty.web).await.unwrap().unwrap();
    let link = sammen_web::first::link(&empty.web).await.unwrap().unwrap();
    let path = |link: &str| link.strip_prefix("https://example.org").unwrap().to_owned();
    let nobody = Browser::default();
    assert_eq!(
        empty.get(&nobody, &path(&before)).await.status,
        404,
        "an older one holds no more"
    );
    let done = empty.ask(&nobody, "POST", &path(&link), wish("olga")).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let olga = empty.enters_with("olga", "long enough").await;
    assert_eq!(empty.get(&olga, "/me").await.is(200)["admin"], true);
    empty.get(&olga, "/admin/overview").await.is(200);
    assert_eq!(sammen_web::first::link(&empty.web).await.unwrap(), None);
}

//! Files and pictures.

use serde_json::{Value, json};

use crate::house::{Answer, House};

const UPLOAD: &str = "/_matrix/media/v3/upload";
/// A picture of one point.
const POINT: &[u8] = &[
    0x47, 0x49, 0x46, 0x38, 0x39, 0x61, 1, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 255, 255, 255, 0x2C, 0, 0,
    0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0, 0x3B,
];

fn path(mxc: &Value) -> &str {
    mxc.as_str().unwrap().strip_prefix("mxc://").unwrap()
}

async fn get(house: &House, token: &str, what: &str, mxc: &Value) -> Answer {
    let (path, query) = (path(mxc), what.split_once('?').map_or("", |(_, q)| q));
    let what = what.split('?').next().unwrap();
    let path = format!("/_matrix/client/v1/media/{what}/{path}?{query}");
    house.ask(token, "GET", &path, Value::Null).await
}

async fn upload(house: &House, token: &str, name: &str, kind: &str, bytes: &[u8]) -> Answer {
    let path = format!("{UPLOAD}?filename={name}");
    house.send(token, "POST", &path, kind, bytes.to_vec()).await
}

#[tokio::test]
async fn what_alice_uploads_bob_can_read_and_a_stranger_cannot() {
    let house = House::new().await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    let sent = upload(&house, &alice, "a%20note.html", "text/html", b"<b>hi</b>").await;
    let mxc = &sent.is(200)["content_uri"];
    let got = get(&house, &bob, "download", mxc).await;
    assert_eq!(
        (got.status.as_u16(), got.text().as_str()),
        (200, "<b>hi</b>")
    );
    let says = |name| got.headers[name].to_str().unwrap();
    assert_eq!(says("content-type"), "text/html");
    assert!(says("content-disposition").starts_with("attachment; filename=\"a note.html\""));
    assert!(says("content-security-policy").starts_with("sandbox"));
    assert_eq!(says("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(says("x-content-type-options"), "nosniff");
    get(&house, "", "download", mxc)
        .await
        .refused(401, "M_MISSING_TOKEN");
    get(&house, &bob, "thumbnail?width=32&height=32", mxc)
        .await
        .refused(400, "M_UNKNOWN");
    for old in ["v3/download", "r0/download", "v3/thumbnail"] {
        let path = format!("/_matrix/media/{old}/{}", path(mxc));
        let frozen = house.ask(&bob, "GET", &path, Value::Null).await;
        frozen.refused(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn who_knows_the_digest_of_a_file_has_nothing_of_it() {
    let house = House::new().await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    upload(&house, &alice, "dot.gif", "image/gif", POINT)
        .await
        .is(200);
    let digest = sammen_core::blob::BlobId::of(POINT);
    let mxc = json!(format!("mxc://example.org/b-{digest}"));
    for what in ["download", "thumbnail?width=32&height=32"] {
        let got = get(&house, &bob, what, &mxc).await;
        got.refused(404, "M_NOT_FOUND");
    }
    // Nor by calling it the picture of a room or of Bob.
    let made = house
        .ask(&bob, "POST", "/_matrix/client/v3/createRoom", json!({}))
        .await
        .is(200);
    let room = made["room_id"].as_str().unwrap();
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.avatar");
    let avatar = house.ask(&bob, "PUT", &path, json!({ "url": mxc })).await;
    avatar.is(200);
    let id = ruma::RoomId::parse(room).unwrap();
    let room = house.matrix.rooms.by_id(&id).unwrap().unwrap();
    let convo = house.matrix.node.convo(room.conversation).unwrap().unwrap();
    assert_eq!(convo.conversation.settings.avatar, None);
    let path = "/_matrix/client/v3/profile/@bob:example.org/avatar_url";
    let picture = house.ask(&bob, "PUT", path, json!({ "avatar_url": mxc }));
    picture.await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn the_same_file_has_an_address_for_every_protocol() {
    let house = House::new().await;
    let alice = house.sign_in("alice").await;
    let sent = upload(&house, &alice, "dot.gif", "image/gif", POINT).await;
    let mxc = &sent.is(200)["content_uri"];
    let uri = ruma::OwnedMxcUri::from(mxc.as_str().unwrap());
    let matrix = &house.matrix;
    let (url, file) = sammen_matrix::media::url_of(matrix, &uri).unwrap().unwrap();
    let slot = path(mxc).split_once('/').unwrap().1;
    assert_eq!(url, format!("https://example.org/upload/{slot}/dot.gif"));
    assert_eq!(file.size, POINT.len() as u64);
    assert_eq!(sammen_matrix::media::mxc_of(matrix, &url), Some(uri));
    for elsewhere in [
        "https://other.net/upload/0123456789abcdef0123456789abcdef/x",
        "https://example.org/upload/x/y",
        "https://example.org/",
    ] {
        assert_eq!(sammen_matrix::media::mxc_of(matrix, elsewhere), None);
    }
    // A small picture is its own thumbnail.
    let small = get(
        &house,
        &alice,
        "thumbnail?width=32&height=32&method=crop",
        mxc,
    )
    .await;
    assert_eq!(small.body, POINT);
    let config = house.ask(
        &alice,
        "GET",
        "/_matrix/client/v1/media/config",
        Value::Null,
    );
    assert!(config.await.is(200)["m.upload.size"].as_u64().unwrap() > 1_000_000);
}

#[tokio::test]
async fn an_address_can_come_before_its_file() {
    let house = House::new().await;
    let (alice, bob) = (house.sign_in("alice").await, house.sign_in("bob").await);
    let made = house.ask(&alice, "POST", "/_matrix/media/v1/create", json!({}));
    let mxc = &made.await.is(200)["content_uri"].clone();
    get(&house, &bob, "download?timeout_ms=0", mxc)
        .await
        .refused(504, "M_NOT_YET_UPLOADED");
    let path = format!("{UPLOAD}/{}", path(mxc));
    let fill = |token, bytes: &[u8]| house.send(token, "PUT", &path, "image/gif", bytes.to_vec());
    fill(&bob, POINT).await.refused(403, "M_FORBIDDEN");
    let waits = get(&house, &bob, "download", mxc);
    let (waited, filled) = tokio::join!(waits, fill(&alice, POINT));
    filled.is(200);
    assert_eq!(waited.body, POINT);
    fill(&alice, b"other")
        .await
        .refused(409, "M_CANNOT_OVERWRITE_MEDIA");
    let nothing = json!("mxc://example.org/0123456789abcdef0123456789abcdef");
    get(&house, &bob, "download", &nothing)
        .await
        .refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_file_goes_with_its_message_though_it_came_later_and_stays_as_a_picture_of_the_room() {
    let house = House::new().await;
    let alice = house.sign_in("alice").await;
    let v3 = "/_matrix/client/v3";
    let create = format!("{v3}/createRoom");
    let made = house.ask(&alice, "POST", &create, json!({}));
    let room = made.await.is(200)["room_id"].as_str().unwrap().to_owned();
    let at = format!("{v3}/rooms/{room}");
    let mut told = Vec::new();
    for n in 0..2 {
        let made = house.ask(&alice, "POST", "/_matrix/media/v1/create", json!({}));
        let mxc = made.await.is(200)["content_uri"].clone();
        let image = json!({"msgtype": "m.image", "body": "a.gif", "url": mxc});
        let send = format!("{at}/send/m.room.message/{n}");
        let sent = house.ask(&alice, "PUT", &send, image);
        let event = sent.await.is(200)["event_id"].as_str().unwrap().to_owned();
        let upload = format!("{UPLOAD}/{}", path(&mxc));
        let filled = house.send(&alice, "PUT", &upload, "image/gif", POINT.to_vec());
        filled.await.is(200);
        told.push((mxc, event));
    }
    let picture = json!({"url": told[1].0});
    let state = format!("{at}/state/m.room.avatar");
    let set = house.ask(&alice, "PUT", &state, picture);
    set.await.is(200);
    for (n, (_, event)) in told.iter().enumerate() {
        let redact = format!("{at}/redact/{event}/r{n}");
        let gone = house.ask(&alice, "PUT", &redact, json!({})).await;
        gone.is(200);
    }
    get(&house, &alice, "download", &told[0].0)
        .await
        .refused(404, "M_NOT_FOUND");
    let stays = get(&house, &alice, "download", &told[1].0).await;
    assert_eq!(stays.body, POINT);
}

//! Links, and what they lead to.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::dial::Trust;
use crate::fetch::Ways;
use crate::fetch::tests::server;

#[test]
fn links_end_where_people_end_them() {
    for (text, link) in [
        (
            "see https://a.org/b?c=d, it is",
            Some("https://a.org/b?c=d"),
        ),
        ("(https://a.org/b)", Some("https://a.org/b")),
        ("https://a.org/b_(c)", Some("https://a.org/b_(c)")),
        ("[x](https://a.org/b).", Some("https://a.org/b")),
        ("<https://a.org/ö>", Some("https://a.org/ö")),
        ("https:// http://b.org", Some("http://b.org")),
        ("xhttps://a.org", None),
        ("ftp://a.org mailto:x@a.org http:a", None),
        ("", None),
    ] {
        assert_eq!(first_link(text), link, "{text}");
    }
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(width, height, image::Rgb([9, 9, 9]));
    picture.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

async fn site() -> (u16, Arc<AtomicUsize>) {
    server(|head| {
        let page = |picture: &str| {
            format!("<title>Page</title><meta property=og:image content={picture}>").into_bytes()
        };
        let (kind, body) = match head.split(' ').nth(1).unwrap_or_default() {
            "/page" => ("text/html", page("pic.png")),
            "/inside" => ("text/html", page("http://10.0.0.1/")),
            "/pic.png" => ("image/png", png(960, 640)),
            "/svg" => ("image/svg+xml", b"<svg/>".to_vec()),
            _ => ("application/pdf", b"%PDF".to_vec()),
        };
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
        [head.into_bytes(), body].concat()
    })
    .await
}

fn previews(port: u16) -> Previews {
    let ways = Ways {
        names: None,
        trust: Trust::new(&[], false).unwrap(),
        allow: vec!["127.0.0.1/32".parse().unwrap()],
        ports: vec![port],
        agent: "Sammen/test".into(),
    };
    Previews::new(&Fetcher::new(ways, 4, 4).unwrap())
}

#[tokio::test]
async fn a_link_is_fetched_once_with_a_small_picture_and_a_stranger_can_not_ask_for_all() {
    let (port, asked) = site().await;
    let previews = previews(port);
    let alice = Address::new("alice@example.org").unwrap();
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let link = at("/page#here");
    let (one, two) = tokio::join!(previews.of(&alice, &link), previews.of(&alice, &link));
    let found = one.unwrap().unwrap();
    assert_eq!(found.title.as_deref(), Some("Page"));
    assert!(Arc::ptr_eq(&found, &two.unwrap().unwrap()));
    assert_eq!(asked.load(Ordering::SeqCst), 2, "a page and a picture");
    let picture = found.picture.clone().unwrap();
    assert_eq!((picture.width, picture.height), (480, 320));
    assert_eq!(previews.picture(&picture.id).unwrap(), picture);
    assert_eq!(previews.picture("AAAA"), None);
    // A picture inside the node's network is not fetched; the page is shown without.
    let inside = previews.of(&alice, &at("/inside")).await.unwrap().unwrap();
    assert_eq!(
        (inside.title.as_deref(), &inside.picture),
        (Some("Page"), &None)
    );
    let direct = previews.of(&alice, &at("/pic.png")).await.unwrap().unwrap();
    assert!(direct.picture.is_some() && direct.title.is_none());
    for nothing in [&at("/svg"), &at("/pdf"), "http://10.0.0.1/", "nonsense"] {
        assert_eq!(
            previews.of(&alice, nothing).await.unwrap(),
            None,
            "{nothing}"
        );
    }
    let mut throttled = false;
    for n in 0..70 {
        throttled |= previews.of(&alice, &at(&format!("/{n}"))).await.is_err();
    }
    assert!(throttled);
    assert!(
        previews.of(&alice, &link).await.unwrap().is_some(),
        "what is known is free"
    );
}

#[tokio::test]
async fn who_hangs_up_pays_each_time_and_what_is_too_much_at_once_is_refused() {
    let (port, _asked) = site().await;
    let previews = previews(port);
    let alice = Address::new("alice@example.org").unwrap();
    let link = format!("http://127.0.0.1:{port}/page");
    let mut busy = Vec::new();
    for who in ["alice", "carol", "dave", "erin"] {
        let who = &Address::new(&format!("{who}@example.org")).unwrap();
        for _ in 0..EACH {
            busy.push(previews.working.enter(who).await.unwrap());
        }
        // Who has enough is refused at once.
        let refused = previews.working.enter(who).await;
        assert!(matches!(refused, Err(FetchError::Busy)));
    }
    tokio::time::pause();
    let bob = Address::new("bob@example.org").unwrap();
    let refused = previews.of(&bob, &link).await;
    assert_eq!(refused, Err(PreviewError::Busy), "all seats are taken");
    tokio::time::resume();
    drop(busy);
    let mut throttled = false;
    for _ in 0..70 {
        tokio::select! {
            biased;
            said = previews.of(&alice, &link) => {
                throttled |= matches!(said, Err(PreviewError::Throttled(_)));
            }
            () = std::future::ready(()) => {}
        }
    }
    assert!(throttled);
    let found = previews.of(&bob, &link).await.unwrap().unwrap();
    assert_eq!(found.title.as_deref(), Some("Page"));
}

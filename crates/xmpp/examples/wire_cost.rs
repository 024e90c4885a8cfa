//! What one chat message of 420 bytes with five payloads costs to parse and to write:
//! `cargo run --release -p sammen-xmpp --example wire_cost`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that reports figures"
)]

use std::hint::black_box;
use std::time::Instant;

use sammen_xmpp::wire::{Context, Frame, Jid, Limits, Payload, StreamParser, ns, write};

const HEADER: &str = "<stream:stream to='example.org' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const MESSAGE: &str = "<message to='bob@example.org' from='alice@example.org/phone' id='5f2a0c1e-7d7b-4d62-9b0e-1f2d3c4b5a69' type='chat'>\
<body>Hello Bob, are you coming to the meeting at the town hall tonight?</body><active xmlns='http://jabber.org/protocol/chatstates'/>\
<request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/>\
<origin-id xmlns='urn:xmpp:sid:0' id='5f2a0c1e-7d7b-4d62-9b0e-1f2d3c4b5a69'/></message>";

fn measure(what: &str, mut work: impl FnMut()) {
    const TIMES: u32 = 200_000;
    let mut best = f64::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        (0..TIMES).for_each(|_| work());
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES));
    }
    println!("{what:48} {best:6.3} µs");
}

fn main() {
    println!("message of {} bytes, best of 7 runs", MESSAGE.len());
    let mut parser = StreamParser::new(Limits::default());
    parser.feed(HEADER.as_bytes());
    parser.next_frame().unwrap();
    parser.feed(MESSAGE.as_bytes());
    let Some(Frame::Stanza(el)) = parser.next_frame().unwrap() else {
        return;
    };
    let payload = Payload::of(&el);
    let mut out = Vec::new();

    measure("stream bytes to element", || {
        parser.feed(black_box(MESSAGE.as_bytes()));
        black_box(parser.next_frame().unwrap());
    });
    measure("clone", || drop(black_box(black_box(&el).clone())));
    measure("element to bytes", || {
        out.clear();
        write::element(&mut out, black_box(&el), Context::CLIENT);
    });
    measure("children to shared payload", || {
        drop(black_box(Payload::of(black_box(&el))))
    });
    measure("envelope around a payload", || {
        out.clear();
        let attrs = [
            ("from", "town@rooms.example.org/alice"),
            ("to", "bob@example.org/x"),
            ("id", "1"),
            ("type", "groupchat"),
        ];
        write::envelope(
            &mut out,
            "message",
            ns::CLIENT,
            black_box(&attrs),
            &[payload.bytes()],
            &[],
            Context::CLIENT,
        );
    });
    measure("payload to elements", || {
        drop(black_box(payload.nodes(ns::CLIENT, &Limits::default())))
    });
    measure("address", || {
        drop(black_box(Jid::new(black_box("alice@example.org/phone"))))
    });
}

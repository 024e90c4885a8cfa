//! Plays of one incoming stream without a connection: who may speak, and who may not.

use super::*;
use crate::wire::{Limits, StreamParser};

/// A node that serves example.org; the certificate proves what stands in it.
struct House(Vec<&'static str>);

impl Ground for House {
    fn is_ours(&self, host: &str) -> bool {
        matches!(host, "example.org" | "rooms.example.org")
    }
    fn proves(&self, domain: &str) -> Result<(), String> {
        let known = self.0.contains(&domain);
        known.then_some(()).ok_or("a stranger's".into())
    }
    fn stream_id(&self) -> String {
        "i1".into()
    }
}

fn stream(config: Config, proves: &[&'static str]) -> Incoming<House> {
    Incoming::new(
        Arc::new(config),
        Secret::new(b"ours"),
        House(proves.to_vec()),
        "example.org".into(),
        true,
        false,
    )
}

fn header(from: &str, to: &str) -> String {
    format!(
        "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
         xmlns:stream='http://etherx.jabber.org/streams' from='{from}' to='{to}' version='1.0'>"
    )
}

/// A whole stream's words; the steps that they led to.
#[allow(clippy::unwrap_used, reason = "a test may fail")]
fn hears(stream: &mut Incoming<House>, words: &str) -> Vec<Step> {
    let mut parser = StreamParser::new(Limits::default()).between_servers();
    parser.feed(words.as_bytes());
    let mut steps = Vec::new();
    while let Some(frame) = parser.next_frame().unwrap() {
        steps.push(stream.frame(frame));
        if steps.last() == Some(&Step::Restart) {
            parser.reset();
        }
    }
    steps
}

fn says(stream: &mut Incoming<House>) -> String {
    String::from_utf8_lossy(&stream.take_output().concat()).into_owned()
}

const AUTH: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>b3RoZXIubmV0</auth>";

fn proven() -> Incoming<House> {
    let mut it = stream(Config::default(), &["other.net", "rooms.other.net"]);
    let opened = header("other.net", "example.org");
    let steps = hears(&mut it, &format!("{opened}{AUTH}{opened}"));
    assert_eq!(steps, [Step::Go, Step::Restart, Step::Go]);
    let said = says(&mut it);
    assert!(said.contains("<mechanism>EXTERNAL</mechanism>") && said.contains("<sm xmlns"));
    assert_eq!(
        it.sasl_pair(),
        Some(("example.org".into(), "other.net".into(), false))
    );
    it
}

#[test]
fn a_certificate_opens_the_door_for_its_own_domains_only() {
    let mut it = proven();
    let frame = |text: &str| format!("{}{text}", header("other.net", "example.org"));
    it.opened = false;
    let message =
        "<message from='bob@other.net/x' to='alice@example.org'><body>hi</body></message>";
    let steps = hears(&mut it, &frame(message));
    assert!(matches!(&steps[..], [Step::Go, Step::Stanza(el)] if el.has("body", ns::CLIENT)));
    says(&mut it);
    // Another domain of the same certificate needs a word, and no more.
    it.opened = false;
    let more = "<db:result from='rooms.other.net' to='example.org'>key</db:result>";
    let steps = hears(&mut it, &frame(more));
    assert!(
        matches!(&steps[..], [Step::Go, Step::Proven { remote, .. }] if remote == "rooms.other.net")
    );
    assert!(says(&mut it).contains("type='valid'"));
    for (forged, condition) in [
        (
            "<message from='eve@evil.net' to='alice@example.org'/>",
            "invalid-from",
        ),
        (
            "<message from='alice@example.org' to='alice@example.org'/>",
            "invalid-from",
        ),
        (
            "<message from='bob@other.net' to='x@third.net'/>",
            "host-unknown",
        ),
        ("<message from='bob@other.net'/>", "improper-addressing"),
        ("<message to='alice@example.org'/>", "improper-addressing"),
        ("<x xmlns='urn:x'/>", "unsupported-stanza-type"),
    ] {
        let mut it = proven();
        it.opened = false;
        let steps = hears(&mut it, &frame(forged));
        assert_eq!(steps, [Step::Go, Step::End], "{forged}");
        assert!(says(&mut it).contains(condition), "{forged}");
    }
}

#[test]
fn who_proved_nothing_says_nothing() {
    for (proves, words) in [
        (
            &[][..],
            "<message from='bob@other.net' to='alice@example.org'/>",
        ),
        (
            &["third.net"][..],
            "<iq from='other.net' to='example.org'/>",
        ),
    ] {
        let mut it = stream(Config::default(), proves);
        let steps = hears(
            &mut it,
            &format!("{}{words}", header("other.net", "example.org")),
        );
        assert_eq!(steps, [Step::Go, Step::End]);
        let said = says(&mut it);
        assert!(
            said.contains("not-authorized") && !said.contains("EXTERNAL"),
            "{said}"
        );
    }
    let mut it = stream(Config::default(), &["third.net"]);
    let steps = hears(
        &mut it,
        &format!("{}{AUTH}", header("third.net", "example.org")),
    );
    assert_eq!(steps, [Step::Go, Step::Go]);
    assert!(
        says(&mut it).contains("<failure"),
        "a certificate of third.net is not other.net's"
    );
}

#[test]
fn dialback_alone_is_a_setting_and_a_wrong_key_ends_the_stream() {
    let words = format!(
        "{}<db:result from='other.net' to='example.org'>key</db:result>",
        header("other.net", "example.org")
    );
    let mut strict = stream(Config::default(), &[]);
    assert_eq!(hears(&mut strict, &words), [Step::Go, Step::Go]);
    let said = says(&mut strict);
    assert!(
        said.contains("type='error'") && said.contains("not-authorized"),
        "{said}"
    );
    let lax = Config {
        dialback: true,
        ..Config::default()
    };
    let mut it = stream(lax.clone(), &[]);
    let pair = || (Str::new("example.org"), Str::new("other.net"));
    assert!(
        matches!(&hears(&mut it, &words)[..], [Step::Go, Step::Verify { key, .. }] if key == "key")
    );
    says(&mut it);
    assert_eq!(it.verified(pair().0, pair().1, Some(false)), Step::End);
    assert!(says(&mut it).contains("type='invalid'") && it.proven().is_empty());
    let mut it = stream(lax, &[]);
    hears(&mut it, &words);
    assert!(matches!(
        it.verified(pair().0, pair().1, Some(true)),
        Step::Proven { .. }
    ));
}

#[test]
fn our_keys_are_told_from_others() {
    let mut it = stream(Config::default(), &[]);
    let key = Secret::new(b"ours").key("other.net", "example.org", "i9");
    for (key, answer) in [
        (key.as_str(), "'valid'"),
        ("0123", "'invalid'"),
        ("", "'invalid'"),
    ] {
        it.opened = false;
        let asked =
            format!("<db:verify from='other.net' to='example.org' id='i9'>{key}</db:verify>");
        let words = format!("{}{asked}", header("other.net", "example.org"));
        assert_eq!(hears(&mut it, &words), [Step::Go, Step::Go]);
        let said = says(&mut it);
        assert!(said.contains("id='i9'") && said.contains(answer), "{said}");
    }
}

#[test]
fn a_denied_domain_and_clear_text_get_nowhere() {
    let denied = Config {
        deny: vec!["other.net".into()],
        ..Config::default()
    };
    let mut it = stream(denied, &["other.net"]);
    assert_eq!(
        hears(&mut it, &header("other.net", "example.org")),
        [Step::End]
    );
    assert!(says(&mut it).contains("policy-violation"));
    let mut it = stream(Config::default(), &[]);
    assert_eq!(
        hears(&mut it, &header("other.net", "third.net")),
        [Step::End]
    );
    assert!(says(&mut it).contains("host-unknown"));
    let mut clear = stream(Config::default(), &[]);
    (clear.secure, clear.can_start_tls) = (false, true);
    let words = format!(
        "{}<db:result from='other.net' to='example.org'>k</db:result>",
        header("other.net", "example.org")
    );
    assert_eq!(hears(&mut clear, &words), [Step::Go, Step::End]);
    let said = says(&mut clear);
    assert!(
        said.contains("<required/>") && said.contains("policy-violation"),
        "{said}"
    );
}

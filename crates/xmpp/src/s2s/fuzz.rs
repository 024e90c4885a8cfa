//! What must hold for any bytes of another server: an entry point for fuzzing.

use std::sync::Arc;

use super::config::Config;
use super::dialback::Secret;
use super::incoming::{Ground, Incoming, Step};
use super::outgoing::{self, Outgoing, Purpose};
use crate::wire::{Jid, Limits, StreamParser};

/// A node that serves example.org and believes a certificate of other.net.
struct House;

impl Ground for House {
    fn is_ours(&self, host: &str) -> bool {
        matches!(host, "example.org" | "rooms.example.org")
    }

    fn proves(&self, domain: &str) -> Result<(), String> {
        (domain == "other.net")
            .then_some(())
            .ok_or_else(String::new)
    }

    fn stream_id(&self) -> String {
        "i1".into()
    }
}

const LIMITS: Limits = Limits {
    stanza_bytes: 1024,
    header_bytes: 512,
    depth: 8,
    attributes: 8,
    elements: 32,
};

/// Whatever a peer sends: nothing panics, and no stanza comes out whose sender's domain was not proven or whose addressee
/// is not ours.
pub fn fuzz_stream(data: &[u8]) {
    let Some((flags, data)) = data.split_first() else {
        return;
    };
    let config = Arc::new(Config {
        dialback: flags & 1 != 0,
        require_tls: flags & 2 == 0,
        ..Config::default()
    });
    let secret = Secret::new(b"fuzz");
    let mut incoming = Incoming::new(
        config.clone(),
        secret.clone(),
        House,
        "example.org".into(),
        flags & 4 != 0,
        flags & 4 == 0,
    );
    let mut parser = StreamParser::new(LIMITS).between_servers();
    parser.feed(data);
    while let Ok(Some(frame)) = parser.next_frame() {
        match incoming.frame(frame) {
            Step::Stanza(el) => {
                let domain = |name| el.get(name).and_then(|a| Jid::new(a).ok());
                let from = domain("from").is_some_and(|f| incoming.proven().contains(f.domain()));
                let to = domain("to").is_some_and(|t| House.is_ours(t.domain()));
                assert!(from && to, "{el:?}");
            }
            Step::StartTls => {
                parser.reset();
                incoming.secured();
            }
            Step::Restart => parser.reset(),
            Step::Verify { local, remote, key } => {
                let valid = (key.len() % 3 > 0).then_some(key.len() % 3 > 1);
                if incoming.verified(local, remote, valid) == Step::End {
                    break;
                }
            }
            Step::End => break,
            _ => {}
        }
    }
    let mut outgoing = Outgoing::new(
        config,
        secret,
        "example.org".into(),
        "other.net".into(),
        Purpose::Stanzas,
    );
    outgoing.open();
    let mut parser = StreamParser::new(LIMITS).between_servers();
    parser.feed(data);
    while let Ok(Some(frame)) = parser.next_frame() {
        match outgoing.frame(frame) {
            outgoing::Step::Go => {}
            outgoing::Step::Restart => parser.reset(),
            outgoing::Step::StartTls => {
                parser.reset();
                outgoing.secured(Ok(()));
            }
            _ => break,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pieces of which streams consist, so that some of them make sense.
    const WORDS: &[&str] = &[
        "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' from='other.net' to='example.org' version='1.0'>",
        "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
        "<db:result from='evil.net' to='example.org'>k</db:result>",
        "<db:result from='other.net' to='example.org'>kk</db:result>",
        "<db:verify from='a.b' to='example.org' id='1'>k</db:verify>",
        "<message from='a@other.net' to='b@example.org'/>",
        "<message from='a@evil.net' to='b@example.org'/>",
        "<iq from='a@other.net/x' to='third.net'/>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<bidi xmlns='urn:xmpp:bidi'/>",
        "</stream:stream>",
    ];

    proptest! {
        #[test]
        fn any_words_in_any_order(flags: u8, words in proptest::collection::vec(0..WORDS.len(), 0..12)) {
            let mut data = vec![flags];
            data.extend(words.iter().flat_map(|n| WORDS[*n].bytes()));
            fuzz_stream(&data);
        }
    }
}

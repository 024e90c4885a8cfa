//! What an operator can set for federation.

use std::time::Duration;

use crate::wire::Limits;

/// Settings of the streams between servers.
#[derive(Clone, Debug)]
pub struct Config {
    /// Streams without TLS end (RFC 7590 §3.1).
    pub require_tls: bool,
    /// A peer without a certificate that proves its domain may prove it by dialback (XEP-0220) instead. Who controls
    /// the network between can then pretend to be that peer.
    pub dialback: bool,
    /// Stanzas both ways on one stream (XEP-0288) where the peer offers it.
    pub bidi: bool,
    /// Where not empty, only these domains (and what lies below them).
    pub allow: Vec<String>,
    /// None of these, whatever else is said.
    pub deny: Vec<String>,
    /// How long a message waits for a server that does not answer; then it comes back.
    pub give_up: Duration,
    /// The first pause after a failed try, and the longest one.
    pub pause: (Duration, Duration),
    /// From the first byte to a stream on which stanzas may be sent.
    pub negotiation: Duration,
    /// How long the peer may leave the question unanswered whether it has what it was sent; then it is taken for gone.
    pub answer: Duration,
    /// A stream without a stanza for so long is closed.
    pub idle: Duration,
    /// How long a write may make no progress.
    pub write_timeout: Duration,
    /// What a stream may send before the peer proved anything.
    pub stranger: Limits,
    /// What it may send afterwards.
    pub peer: Limits,
    /// Stanzas a second that one stream may bring for long, and how many at once.
    pub rate: u32,
    /// Burst above the rate.
    pub burst: u32,
    /// Bytes that wait for one domain; presence and questions beyond them come back.
    pub waiting_bytes: usize,
    /// Domains that streams are held to at once.
    pub peers: usize,
    /// Connected people of other servers that do something here at once.
    pub visitors: usize,
    /// How many of them may be of one domain.
    pub visitors_of_domain: usize,
    /// How many connections one person may come with.
    pub visitors_of_person: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            require_tls: true,
            dialback: false,
            bidi: true,
            allow: Vec::new(),
            deny: Vec::new(),
            give_up: Duration::from_secs(24 * 3600),
            pause: (Duration::from_secs(2), Duration::from_secs(600)),
            negotiation: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(900),
            write_timeout: Duration::from_secs(60),
            stranger: Limits {
                stanza_bytes: 16 * 1024,
                elements: 256,
                ..Limits::default()
            },
            peer: Limits::default(),
            rate: 2000,
            burst: 10_000,
            waiting_bytes: 4 << 20,
            peers: 5000,
            visitors: 50_000,
            visitors_of_domain: 10_000,
            visitors_of_person: 64,
        }
    }
}

impl Config {
    /// Whether this node speaks with a domain at all.
    pub fn speaks_with(&self, domain: &str) -> bool {
        let on = |list: &[String]| {
            list.iter().any(|known| {
                domain
                    .strip_suffix(known.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })
        };
        !on(&self.deny) && (self.allow.is_empty() || on(&self.allow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_cover_what_lies_below_a_domain() {
        let mut config = Config {
            deny: vec!["bad.net".into()],
            ..Config::default()
        };
        for (domain, speaks) in [
            ("bad.net", false),
            ("rooms.bad.net", false),
            ("notbad.net", true),
            ("good.net", true),
        ] {
            assert_eq!(config.speaks_with(domain), speaks, "{domain}");
        }
        config.allow = vec!["good.net".into(), "bad.net".into()];
        assert!(config.speaks_with("rooms.good.net"));
        assert!(!config.speaks_with("other.net"));
        assert!(
            !config.speaks_with("bad.net"),
            "a denied domain stays denied"
        );
    }
}

//! A stream that this node opens: from the first header to stanzas (RFC 6120 §4.3, §5, §6; XEP-0178, XEP-0220, XEP-0288).
//! Frames in, bytes and a step out; no IO.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

use super::config::Config;
use super::dialback::Secret;
use super::pipe::Failure;
use crate::wire::{Context, Element, Frame, Str, StreamError, StreamOpen, ns, write};

/// What the stream is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Stanzas.
    Stanzas,
    /// Asking the peer whether a dialback key that somebody showed in its name is its own (XEP-0220 §2.1.2).
    Verify {
        /// The id of the stream on which it was shown.
        id: Str,
        /// The key.
        key: String,
    },
}

/// What is to be done after a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Read on.
    Go,
    /// Do the TLS handshake, then call [`Outgoing::secured`].
    StartTls,
    /// Read a new header.
    Restart,
    /// Stanzas may be sent.
    Ready(Agreed),
    /// The peer said whether the key is its own.
    Verified(bool),
    /// It came to nothing.
    Failed(Failure),
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The peer acknowledges stanzas (XEP-0198).
    pub acknowledges: bool,
    /// The peer sends its own stanzas here too (XEP-0288).
    pub both_ways: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Header,
    Features,
    Proceed,
    Sasl,
    Dialback,
    Verify,
    Enabling,
}

/// Most stanzas of a peer that does not wait for the end of the negotiation.
const EARLY: usize = 256;

/// The machine.
pub struct Outgoing {
    config: Arc<Config>,
    secret: Secret,
    local: Str,
    remote: Str,
    purpose: Purpose,
    phase: Phase,
    /// TLS is there; what the peer's certificate is worth.
    secure: Option<Result<(), String>>,
    id: Str,
    authenticated: bool,
    agreed: Agreed,
    early: Vec<Element>,
    out: Vec<Bytes>,
}

impl Outgoing {
    /// A stream from `local` to `remote`.
    pub fn new(
        config: Arc<Config>,
        secret: Secret,
        local: Str,
        remote: Str,
        purpose: Purpose,
    ) -> Self {
        Self {
            config,
            secret,
            local,
            remote,
            purpose,
            phase: Phase::Header,
            secure: None,
            id: Str::default(),
            authenticated: false,
            agreed: Agreed::default(),
            early: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Output since the last call, in order.
    pub fn take_output(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.out)
    }

    /// Stanzas that the peer sent before the last word of the negotiation (XEP-0288 lets it). They are not counted.
    pub fn take_early(&mut self) -> Vec<Element> {
        std::mem::take(&mut self.early)
    }

    /// Opens the stream in clear text.
    pub fn open(&mut self) {
        self.phase = Phase::Header;
        let mut out = BytesMut::new();
        let attrs = [
            ("xmlns:db", ns::DIALBACK),
            ("from", &self.local),
            ("to", &self.remote),
            ("version", "1.0"),
            ("xml:lang", "en"),
        ];
        write::stream_open(&mut out, ns::SERVER, &attrs);
        self.out.push(out.freeze());
    }

    /// TLS is there; `proof` says whether the certificate proves that this is the server of `remote`. Opens the stream.
    pub fn secured(&mut self, proof: Result<(), String>) {
        self.secure = Some(proof);
        self.open();
    }

    fn send(&mut self, el: &Element) {
        let mut out = BytesMut::new();
        write::element(&mut out, el, Context::SERVER);
        self.out.push(out.freeze());
    }

    fn failed(&mut self, why: impl Into<String>) -> Step {
        self.out.push(Bytes::from_static(write::STREAM_CLOSE));
        Step::Failed(Failure::Unproven(why.into()))
    }

    /// Takes a frame.
    pub fn frame(&mut self, frame: Frame) -> Step {
        match frame {
            Frame::Open(open) if self.phase == Phase::Header => self.header(&open),
            Frame::Stanza(el) if self.is_early(&el) => {
                if self.early.len() >= EARLY {
                    return self.failed(format!("{} does not wait for answers", self.remote));
                }
                self.early.push(el);
                Step::Go
            }
            Frame::Stanza(el) if self.phase != Phase::Header => self.element(&el),
            Frame::Close => Step::Failed(Failure::Unreachable(format!(
                "{} closed the stream",
                self.remote
            ))),
            _ => self.failed(format!("{} does not speak XMPP", self.remote)),
        }
    }

    fn is_early(&self, el: &Element) -> bool {
        let stanza = matches!(
            (el.name(), el.ns()),
            ("message" | "presence" | "iq", ns::CLIENT)
        );
        self.phase == Phase::Enabling && self.agreed.both_ways && stanza
    }

    fn header(&mut self, open: &StreamOpen) -> Step {
        if open.default_ns != ns::SERVER {
            return self.failed(format!("{} is no server of other servers", self.remote));
        }
        self.id = open.id.clone().unwrap_or_default();
        self.phase = Phase::Features;
        // RFC 6120 §4.7.5: before 1.0 there are no features; then all there is is dialback.
        if open.version.as_ref().is_some_and(|v| v.starts_with("1.")) {
            return Step::Go;
        }
        if self.secure.is_none() && self.config.require_tls {
            return self.failed(format!("{} offers no TLS", self.remote));
        }
        self.dial_back()
    }

    fn element(&mut self, el: &Element) -> Step {
        if el.is("error", ns::STREAM) {
            let error = StreamError::from_element(el);
            let why = error.map_or("unknown".to_owned(), |e| e.condition.name().to_owned());
            return Step::Failed(match why.as_str() {
                // RFC 6120 §4.9.3: trouble that passes.
                "system-shutdown"
                | "resource-constraint"
                | "connection-timeout"
                | "reset"
                | "internal-server-error"
                | "remote-connection-failed" => {
                    Failure::Unreachable(format!("{}: {why}", self.remote))
                }
                _ => Failure::Unproven(format!("{} refused the stream: {why}", self.remote)),
            });
        }
        match (self.phase, el.name(), el.ns()) {
            (Phase::Features, "features", ns::STREAM) => self.features(el),
            (Phase::Proceed, "proceed", ns::TLS) => Step::StartTls,
            (Phase::Proceed, "failure", ns::TLS) => {
                self.failed(format!("{} could not begin TLS", self.remote))
            }
            (Phase::Sasl, "success", ns::SASL) => {
                self.authenticated = true;
                self.open();
                Step::Restart
            }
            (Phase::Sasl, "failure", ns::SASL) => {
                let why = el.first().map_or("", Element::name).to_owned();
                tracing::debug!(remote = %self.remote, why, "the peer does not take our certificate; trying dialback");
                self.dial_back()
            }
            (Phase::Dialback, "result", ns::DIALBACK) => match el.get("type") {
                Some("valid") => Step::Ready(self.agreed),
                Some("error") => {
                    let error = crate::wire::StanzaError::of_stanza(el);
                    let why = error.map_or("error", |e| e.condition.name());
                    self.failed(format!("{} refused dialback: {why}", self.remote))
                }
                _ => self.failed(format!("{} could not verify us by dialback", self.remote)),
            },
            (Phase::Verify, "verify", ns::DIALBACK) => {
                let Purpose::Verify { id, .. } = &self.purpose else {
                    return Step::Go;
                };
                if el.get("id") != Some(id) {
                    return Step::Go;
                }
                self.out.push(Bytes::from_static(write::STREAM_CLOSE));
                Step::Verified(el.get("type") == Some("valid"))
            }
            (Phase::Enabling, "enabled", ns::SM) => {
                self.agreed.acknowledges = true;
                Step::Ready(self.agreed)
            }
            (Phase::Enabling, "failed", ns::SM) => Step::Ready(self.agreed),
            // A peer that announces its features again, or extensions that nobody asked for.
            _ => Step::Go,
        }
    }
}

/// What the features lead to.
impl Outgoing {
    fn features(&mut self, features: &Element) -> Step {
        let Some(proof) = self.secure.clone() else {
            if features.has("starttls", ns::TLS) {
                self.send(&Element::new(ns::TLS, "starttls"));
                self.phase = Phase::Proceed;
                return Step::Go;
            }
            if self.config.require_tls {
                return self.failed(format!("{} offers no TLS", self.remote));
            }
            return self.dial_back();
        };
        if self.authenticated {
            return self.settle(features);
        }
        if let Err(why) = proof
            && !self.config.dialback
        {
            return self.unproven(&why);
        }
        if self.purpose != Purpose::Stanzas {
            return self.dial_back();
        }
        // XEP-0288 §2.1: asked for before anybody proves anything.
        if self.config.bidi && features.has("bidi", ns::BIDI_FEATURE) {
            self.send(&Element::new(ns::BIDI, "bidi"));
            self.agreed.both_ways = true;
        }
        let external = features
            .find("mechanisms", ns::SASL)
            .into_iter()
            .flat_map(|m| m.all("mechanism", ns::SASL))
            .any(|m| m.content().trim() == "EXTERNAL");
        if !external {
            return self.dial_back();
        }
        // XEP-0178 §3: the authorization identity is the domain.
        let auth = Element::new(ns::SASL, "auth")
            .attr("mechanism", "EXTERNAL")
            .text(STANDARD.encode(self.local.as_bytes()));
        self.send(&auth);
        self.phase = Phase::Sasl;
        Step::Go
    }

    /// After SASL: what the peer can do besides.
    fn settle(&mut self, features: &Element) -> Step {
        if features.has("sm", ns::SM) {
            self.send(&Element::new(ns::SM, "enable"));
            self.phase = Phase::Enabling;
            return Step::Go;
        }
        Step::Ready(self.agreed)
    }

    fn unproven(&mut self, why: &str) -> Step {
        self.failed(format!(
            "the certificate of {} does not prove that it is: {why}",
            self.remote
        ))
    }

    /// XEP-0220 §2.1.1, or §2.1.2 where a key is to be verified. Whatever led here: without a certificate that proves
    /// the peer, only where dialback alone may do.
    fn dial_back(&mut self) -> Step {
        match self.secure.clone() {
            Some(Err(why)) if !self.config.dialback => return self.unproven(&why),
            None if !self.config.dialback => return self.unproven("there is no TLS"),
            _ => {}
        }
        let (local, remote) = (&self.local, &self.remote);
        let words = match &self.purpose {
            Purpose::Stanzas => {
                self.phase = Phase::Dialback;
                let key = self.secret.key(remote, local, &self.id);
                format!("<db:result from='{local}' to='{remote}'>{key}</db:result>")
            }
            Purpose::Verify { id, key } => {
                self.phase = Phase::Verify;
                let element = Element::new(ns::DIALBACK, "verify")
                    .attr("from", local.clone())
                    .attr("to", remote.clone())
                    .attr("id", id.clone())
                    .text(key.as_str());
                self.send(&element);
                return Step::Go;
            }
        };
        self.out.push(words.into());
        Step::Go
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::wire::{Limits, StreamParser};

    fn machine(config: Config, purpose: Purpose) -> Outgoing {
        let secret = Secret::new(b"secret");
        let mut machine = Outgoing::new(
            Arc::new(config),
            secret,
            "example.org".into(),
            "other.net".into(),
            purpose,
        );
        machine.open();
        machine
    }

    const HEADER: &str = "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
        xmlns:stream='http://etherx.jabber.org/streams' id='i1' from='other.net' version='1.0'>";

    /// What the peer says, as frames of a new stream; returns the last step.
    fn hears(machine: &mut Outgoing, words: &str) -> Step {
        let mut parser = StreamParser::new(Limits::default()).between_servers();
        parser.feed(HEADER.as_bytes());
        parser.feed(words.as_bytes());
        let mut last = Step::Go;
        while let Some(frame) = parser.next_frame().unwrap() {
            let fresh = machine.phase == Phase::Header;
            if fresh || !matches!(frame, Frame::Open(_)) {
                last = machine.frame(frame);
            }
        }
        last
    }

    fn says(machine: &mut Outgoing) -> String {
        let all = machine.take_output().concat();
        String::from_utf8(all).unwrap()
    }

    const STARTTLS: &str =
        "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
    const EXTERNAL: &str = "<stream:features><bidi xmlns='urn:xmpp:features:bidi'/>\
        <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>";
    const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

    fn secured(config: Config, proof: Result<(), String>) -> Outgoing {
        let mut machine = machine(config, Purpose::Stanzas);
        assert_eq!(hears(&mut machine, STARTTLS), Step::Go);
        assert!(
            says(&mut machine).ends_with("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        );
        assert_eq!(hears(&mut machine, PROCEED), Step::StartTls);
        machine.secured(proof);
        machine
    }

    #[test]
    fn two_servers_with_certificates_speak() {
        let mut machine = secured(Config::default(), Ok(()));
        says(&mut machine);
        assert_eq!(hears(&mut machine, EXTERNAL), Step::Go);
        assert_eq!(
            says(&mut machine),
            "<bidi xmlns='urn:xmpp:bidi'/><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>ZXhhbXBsZS5vcmc=</auth>"
        );
        let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
        assert_eq!(hears(&mut machine, success), Step::Restart);
        let features = "<stream:features><sm xmlns='urn:xmpp:sm:3'/></stream:features>";
        assert_eq!(hears(&mut machine, features), Step::Go);
        assert!(says(&mut machine).ends_with("<enable xmlns='urn:xmpp:sm:3'/>"));
        assert_eq!(hears(&mut machine, "<message id='m1'/>"), Step::Go);
        let agreed = Agreed {
            acknowledges: true,
            both_ways: true,
        };
        assert_eq!(
            hears(&mut machine, "<enabled xmlns='urn:xmpp:sm:3'/>"),
            Step::Ready(agreed)
        );
        let early = machine.take_early();
        assert_eq!(
            early.iter().map(|el| el.get("id")).collect::<Vec<_>>(),
            [Some("m1")]
        );
    }

    #[test]
    fn a_peer_that_speaks_as_before_1_0_has_to_prove_itself_as_well() {
        let mut machine = secured(Config::default(), Err("expired".to_owned()));
        let mut parser = StreamParser::new(Limits::default()).between_servers();
        parser.feed(HEADER.replace(" version='1.0'", "").as_bytes());
        let Some(open @ Frame::Open(_)) = parser.next_frame().unwrap() else {
            panic!("no header")
        };
        assert!(matches!(
            machine.frame(open),
            Step::Failed(Failure::Unproven(_))
        ));
        assert!(!says(&mut machine).contains("db:result"));
    }

    #[test]
    fn a_certificate_of_somebody_else_ends_it_unless_dialback_may_do() {
        let wrong = || Err("expired".to_owned());
        let mut strict = secured(Config::default(), wrong());
        let Step::Failed(Failure::Unproven(why)) = hears(&mut strict, EXTERNAL) else {
            panic!("it went on")
        };
        assert_eq!(
            why,
            "the certificate of other.net does not prove that it is: expired"
        );
        let lax = Config {
            dialback: true,
            ..Config::default()
        };
        let mut lax = secured(lax, wrong());
        assert_eq!(hears(&mut lax, "<stream:features/>"), Step::Go);
        let key = Secret::new(b"secret").key("other.net", "example.org", "i1");
        let asked = format!("<db:result from='example.org' to='other.net'>{key}</db:result>");
        assert!(says(&mut lax).ends_with(&asked));
        let valid = "<db:result type='valid' from='other.net' to='example.org'/>";
        assert_eq!(hears(&mut lax, valid), Step::Ready(Agreed::default()));
    }

    #[test]
    fn no_tls_is_no_stream() {
        let mut machine = machine(Config::default(), Purpose::Stanzas);
        assert!(matches!(
            hears(&mut machine, "<stream:features/>"),
            Step::Failed(_)
        ));
    }

    #[test]
    fn a_key_is_verified_by_who_made_it() {
        let verify = Purpose::Verify {
            id: "i7".into(),
            key: "k<".into(),
        };
        let config = Config {
            require_tls: false,
            dialback: true,
            ..Config::default()
        };
        let mut machine = machine(config, verify);
        assert_eq!(hears(&mut machine, "<stream:features/>"), Step::Go);
        assert!(says(&mut machine).ends_with(
            "<verify xmlns='jabber:server:dialback' from='example.org' to='other.net' id='i7'>k&lt;</verify>"
        ));
        let other = "<db:verify id='i8' type='valid'/>";
        assert_eq!(
            hears(&mut machine, other),
            Step::Go,
            "another question's answer"
        );
        assert_eq!(
            hears(&mut machine, "<db:verify id='i7' type='invalid'/>"),
            Step::Verified(false)
        );
    }
}

//! A stream that another server opens: headers, TLS, proofs (SASL EXTERNAL, dialback), and what comes afterwards. Frames
//! in, bytes and a step out; no IO. One stream may bring the stanzas of several domains of the peer, each proven by
//! itself (XEP-0220 §2.6, XEP-0178).

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

use super::config::Config;
use super::dialback::Secret;
use crate::wire::{
    Condition, Context, Element, Frame, Jid, StanzaError, Str, StreamCondition, StreamError,
    StreamOpen, ns, write,
};

/// Most domains that one stream speaks for.
const DOMAINS: usize = 64;
/// Most keys that wait for their verification.
const VERIFYING: usize = 8;

/// What is to be done after a frame.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Read on.
    Go,
    /// Do the TLS handshake, then call [`Incoming::secured`].
    StartTls,
    /// Read a new header.
    Restart,
    /// The peer proved that it is the server of this domain; with `both_ways`, stanzas for it may go out here.
    Proven {
        /// Our domain that it wants.
        local: Str,
        /// Its domain.
        remote: Str,
        /// XEP-0288.
        both_ways: bool,
    },
    /// Ask the server of `remote` about a key, then call [`Incoming::verified`].
    Verify {
        /// Our domain.
        local: Str,
        /// The domain in whose name it was shown.
        remote: Str,
        /// The key.
        key: String,
    },
    /// A stanza from a proven domain to one of ours.
    Stanza(Element),
    /// XEP-0198: the peer asks what was handled.
    Asked,
    /// XEP-0198: the peer has so many of ours.
    Acknowledged(u32),
    /// XEP-0198: counting begins.
    Counting,
    /// Write what is left and end.
    End,
}

/// What the machine asks of the node.
pub trait Ground: Send + Sync {
    /// Whether this is one of our hosts.
    fn is_ours(&self, host: &str) -> bool;
    /// Whether the certificate that the peer showed proves a domain.
    fn proves(&self, domain: &str) -> Result<(), String>;
    /// A new stream id that nobody can guess.
    fn stream_id(&self) -> String;
}

/// The machine.
pub struct Incoming<G> {
    config: Arc<Config>,
    secret: Secret,
    /// What it asks of the node.
    pub ground: G,
    secure: bool,
    can_start_tls: bool,
    opened: bool,
    id: Str,
    local: Str,
    remote: Option<Str>,
    sasl_done: bool,
    both_ways: bool,
    counting: bool,
    proven: BTreeSet<Str>,
    verifying: usize,
    out: Vec<Bytes>,
}

impl<G: Ground> Incoming<G> {
    /// A stream on a connection; `secure` where TLS came first.
    pub fn new(
        config: Arc<Config>,
        secret: Secret,
        ground: G,
        local: Str,
        secure: bool,
        can_start_tls: bool,
    ) -> Self {
        Self {
            config,
            secret,
            ground,
            secure,
            can_start_tls,
            opened: false,
            id: Str::default(),
            local,
            remote: None,
            sasl_done: false,
            both_ways: false,
            counting: false,
            proven: BTreeSet::new(),
            verifying: 0,
            out: Vec::new(),
        }
    }

    /// Output since the last call, in order.
    pub fn take_output(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.out)
    }

    /// The domains that the peer proved.
    pub fn proven(&self) -> &BTreeSet<Str> {
        &self.proven
    }

    /// The stream's id.
    pub fn id(&self) -> &Str {
        &self.id
    }

    /// Whom the peer says to be, for the log.
    pub fn claims(&self) -> &str {
        self.remote.as_deref().unwrap_or("?")
    }

    /// TLS is there now.
    pub fn secured(&mut self) {
        self.secure = true;
        self.can_start_tls = false;
        self.opened = false;
    }

    fn send(&mut self, el: &Element) {
        let mut out = BytesMut::new();
        write::element(&mut out, el, Context::SERVER);
        self.out.push(out.freeze());
    }

    /// Ends the stream with an error.
    pub fn fail(&mut self, error: &StreamError) -> Step {
        if !self.opened {
            self.header();
        }
        tracing::info!(
            protocol = "xmpp",
            remote = self.claims(),
            condition = error.condition.name(),
            "a stream from another server ends: {}",
            error.text.as_deref().unwrap_or_default()
        );
        self.send(&error.to_element());
        self.out.push(Bytes::from_static(write::STREAM_CLOSE));
        Step::End
    }

    /// Takes a frame.
    pub fn frame(&mut self, frame: Frame) -> Step {
        match frame {
            Frame::Open(open) => self.open(&open),
            Frame::Close => {
                self.out.push(Bytes::from_static(write::STREAM_CLOSE));
                Step::End
            }
            Frame::Stanza(_) if !self.opened => self.fail(&StreamCondition::BadFormat.into()),
            Frame::Stanza(el) => self.element(el),
        }
    }

    fn open(&mut self, open: &StreamOpen) -> Step {
        if self.opened {
            return self.fail(&StreamCondition::BadFormat.into());
        }
        if open.default_ns != ns::SERVER {
            return self.fail(&StreamCondition::InvalidNamespace.into());
        }
        if let Some(to) = &open.to {
            match domain(to).filter(|to| self.ground.is_ours(to)) {
                Some(to) => self.local = to,
                None => return self.fail(&StreamCondition::HostUnknown.into()),
            }
        }
        if let Some(from) = &open.from {
            let Some(from) = domain(from) else {
                return self.fail(&StreamCondition::InvalidFrom.into());
            };
            // RFC 6120 §4.6.2: who restarts a stream stays who it is.
            if self.sasl_done && !self.proven.contains(&from) {
                return self.fail(&StreamCondition::InvalidFrom.into());
            }
            if !self.config.speaks_with(&from) || self.ground.is_ours(&from) {
                let error = StreamError::new(StreamCondition::PolicyViolation)
                    .with_text("this server does not speak with yours");
                return self.fail(&error);
            }
            self.remote = Some(from);
        }
        self.header();
        // RFC 6120 §4.7.5: before 1.0 there were no features, only dialback.
        if open.version.as_ref().is_some_and(|v| v.starts_with("1.")) {
            let features = self.features();
            self.send(&features);
        } else if self.config.require_tls && !self.secure {
            return self.fail(&StreamCondition::UnsupportedVersion.into());
        }
        Step::Go
    }

    fn header(&mut self) {
        self.opened = true;
        self.id = self.ground.stream_id().into();
        let mut out = BytesMut::new();
        let mut attrs = vec![
            ("xmlns:db", ns::DIALBACK),
            ("from", self.local.as_str()),
            ("id", &self.id),
            ("version", "1.0"),
            ("xml:lang", "en"),
        ];
        if let Some(remote) = &self.remote {
            attrs.push(("to", remote));
        }
        write::stream_open(&mut out, ns::SERVER, &attrs);
        self.out.push(out.freeze());
    }

    fn features(&self) -> Element {
        let mut features = Element::new(ns::STREAM, "features");
        if self.can_start_tls {
            let must = self.config.require_tls;
            let required = must.then(|| Element::new(ns::TLS, "required"));
            features.push(Element::new(ns::TLS, "starttls").children(required));
        }
        if self.secure || !self.config.require_tls {
            let proves = |r: &Str| self.secure && self.ground.proves(r).is_ok();
            if !self.sasl_done && self.remote.as_ref().is_some_and(proves) {
                // XEP-0178 §3 step 9: only where it would succeed.
                let external = Element::new(ns::SASL, "mechanism").text("EXTERNAL");
                features.push(Element::new(ns::SASL, "mechanisms").child(external));
            }
            let errors = Element::new(ns::DIALBACK_FEATURE, "errors");
            features.push(Element::new(ns::DIALBACK_FEATURE, "dialback").child(errors));
            if self.config.bidi && self.proven.is_empty() {
                features.push(Element::new(ns::BIDI_FEATURE, "bidi"));
            }
            if self.sasl_done {
                features.push(Element::new(ns::SM, "sm"));
            }
        }
        features
    }

    fn element(&mut self, el: Element) -> Step {
        match (el.name(), el.ns()) {
            ("starttls", ns::TLS) if self.can_start_tls && self.proven.is_empty() => {
                self.send(&Element::new(ns::TLS, "proceed"));
                Step::StartTls
            }
            ("error", ns::STREAM) => {
                self.out.push(Bytes::from_static(write::STREAM_CLOSE));
                Step::End
            }
            // XEP-0220 §2.1.2: whoever asks whether a key is ours needs no proof.
            ("verify", ns::DIALBACK) if el.get("type").is_none() => self.verify(&el),
            _ if !self.secure && self.config.require_tls => {
                let error =
                    StreamError::new(StreamCondition::PolicyViolation).with_text("TLS is required");
                self.fail(&error)
            }
            ("auth", ns::SASL) if !self.sasl_done => self.external(&el),
            ("bidi", ns::BIDI) if self.config.bidi && self.proven.is_empty() => {
                self.both_ways = true;
                Step::Go
            }
            ("result", ns::DIALBACK) if el.get("type").is_none() => self.result(&el),
            ("enable", ns::SM) if !self.proven.is_empty() && !self.counting => {
                self.counting = true;
                self.send(&Element::new(ns::SM, "enabled"));
                Step::Counting
            }
            ("enable", ns::SM) => {
                let why = Element::new(ns::STANZA_ERRORS, "unexpected-request");
                self.send(&Element::new(ns::SM, "failed").child(why));
                Step::Go
            }
            ("r", ns::SM) if self.counting => Step::Asked,
            ("a", ns::SM) => {
                let h = el.get("h").and_then(|h| h.parse().ok());
                h.map_or(Step::Go, Step::Acknowledged)
            }
            ("message" | "presence" | "iq", ns::CLIENT) => self.stanza(el),
            // Answers to dialback that this direction never asked for, and extensions that we do not announce.
            (_, ns::DIALBACK | ns::SM) => Step::Go,
            _ if self.proven.is_empty() => self.fail(&StreamCondition::NotAuthorized.into()),
            _ => self.fail(&StreamCondition::UnsupportedStanzaType.into()),
        }
    }

    /// SASL EXTERNAL (RFC 6120 §6, XEP-0178 §3): the certificate proves the domain, or it does not.
    fn external(&mut self, el: &Element) -> Step {
        let text = el.content();
        let named = match text.trim() {
            "" | "=" => self.remote.clone(),
            text => STANDARD
                .decode(text)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .and_then(|text| domain(&text)),
        };
        let asked = el.get("mechanism") == Some("EXTERNAL") && self.secure;
        let refused = match named.filter(|_| asked) {
            None => "invalid-mechanism".to_owned(),
            Some(name) if !self.may(&name) => "not-authorized".to_owned(),
            Some(name) => match self.ground.proves(&name) {
                Ok(()) => {
                    self.send(&Element::new(ns::SASL, "success"));
                    self.sasl_done = true;
                    self.opened = false;
                    self.remote = Some(name.clone());
                    self.proven.insert(name);
                    return Step::Restart;
                }
                Err(why) => {
                    tracing::warn!(protocol = "xmpp", remote = %name, "the certificate of a server that says to be {name} does not prove it: {why}");
                    "not-authorized".to_owned()
                }
            },
        };
        let condition = Element::named(Str::new_static(ns::SASL), refused.into());
        self.send(&Element::new(ns::SASL, "failure").child(condition));
        Step::Go
    }

    fn may(&self, remote: &str) -> bool {
        self.config.speaks_with(remote) && !self.ground.is_ours(remote)
    }

    /// Somebody asks whether a key that was shown in our name is ours.
    fn verify(&mut self, el: &Element) -> Step {
        let to = el
            .get("to")
            .and_then(domain)
            .filter(|to| self.ground.is_ours(to));
        let from = el.get("from").and_then(domain);
        let (Some(to), Some(from), Some(id)) = (to, from, el.get_str("id").cloned()) else {
            return self.fail(&StreamCondition::ImproperAddressing.into());
        };
        // The key was made by `to` (originating) for `from` (receiving), on the stream that `from` gave this id.
        let fits = self.secret.fits(&from, &to, &id, &el.content());
        let answer = Element::new(ns::DIALBACK, "verify")
            .attr("from", to)
            .attr("to", from)
            .attr("id", id)
            .attr("type", if fits { "valid" } else { "invalid" });
        self.send(&answer);
        Step::Go
    }

    /// XEP-0220 §2.1.1: the peer shows a key for one of its domains.
    fn result(&mut self, el: &Element) -> Step {
        let from = el.get("from").and_then(domain);
        let to = el.get("to").and_then(domain);
        let (Some(remote), Some(local)) = (from, to) else {
            return self.fail(&StreamCondition::ImproperAddressing.into());
        };
        if !self.ground.is_ours(&local) {
            return self.dialback_error(&local, &remote, Condition::ItemNotFound);
        }
        if !self.may(&remote) || self.proven.len() + self.verifying >= DOMAINS {
            return self.dialback_error(&local, &remote, Condition::NotAllowed);
        }
        // A certificate is the better proof; where it holds nobody has to be asked.
        let proof = if self.secure {
            self.ground.proves(&remote)
        } else {
            Err("there is no TLS".into())
        };
        match proof {
            Ok(()) => self.accept(local, remote),
            Err(why) if !self.config.dialback => {
                tracing::warn!(protocol = "xmpp", %remote, "the certificate of a server that says to be {remote} does not prove it, and dialback alone is not accepted: {why}");
                self.dialback_error(&local, &remote, Condition::NotAuthorized)
            }
            Err(_) if self.verifying >= VERIFYING => {
                self.dialback_error(&local, &remote, Condition::ResourceConstraint)
            }
            Err(_) => {
                self.verifying += 1;
                Step::Verify {
                    local,
                    remote,
                    key: el.content().trim().to_owned(),
                }
            }
        }
    }

    /// What the server of `remote` said about a key; `None` where it could not be asked.
    pub fn verified(&mut self, local: Str, remote: Str, valid: Option<bool>) -> Step {
        self.verifying = self.verifying.saturating_sub(1);
        match valid {
            Some(true) => self.accept(local, remote),
            Some(false) => {
                tracing::warn!(protocol = "xmpp", %remote, "a dialback key that was shown for {remote} is not its own");
                self.dialback_answer(&local, &remote, "invalid");
                // §2.1.1 step 4: the stream ends.
                self.fail(&StreamCondition::NotAuthorized.into())
            }
            None => self.dialback_error(&local, &remote, Condition::RemoteServerTimeout),
        }
    }

    fn accept(&mut self, local: Str, remote: Str) -> Step {
        self.dialback_answer(&local, &remote, "valid");
        self.proven.insert(remote.clone());
        Step::Proven {
            local,
            remote,
            both_ways: self.both_ways,
        }
    }

    /// The pair for which SASL proved something, once the stream has begun anew.
    pub fn sasl_pair(&self) -> Option<(Str, Str, bool)> {
        let remote = self
            .remote
            .clone()
            .filter(|_| self.sasl_done && self.opened)?;
        Some((self.local.clone(), remote, self.both_ways))
    }

    fn dialback_answer(&mut self, local: &Str, remote: &Str, kind: &'static str) {
        let answer = Element::new(ns::DIALBACK, "result")
            .attr("from", local.clone())
            .attr("to", remote.clone())
            .attr("type", kind);
        self.send(&answer);
    }

    /// XEP-0220 §2.4.
    fn dialback_error(&mut self, local: &Str, remote: &Str, condition: Condition) -> Step {
        let error = StanzaError::new(condition).to_element(&Str::new_static(ns::SERVER));
        let answer = Element::new(ns::DIALBACK, "result")
            .attr("from", local.clone())
            .attr("to", remote.clone())
            .attr("type", "error")
            .child(error);
        self.send(&answer);
        Step::Go
    }

    /// RFC 6120 §8.1.1.2, §8.1.2.2: from a domain that was proven here, to one of ours.
    fn stanza(&mut self, el: Element) -> Step {
        if self.proven.is_empty() {
            return self.fail(&StreamCondition::NotAuthorized.into());
        }
        let address = |name| el.get(name).map(Jid::new);
        let (Some(Ok(from)), Some(to)) = (address("from"), address("to")) else {
            return self.fail(&StreamCondition::ImproperAddressing.into());
        };
        if !self.proven.contains(from.domain()) {
            let error = StreamError::new(StreamCondition::InvalidFrom)
                .with_text("that domain was not proven on this stream");
            return self.fail(&error);
        }
        match to {
            Ok(to) if self.ground.is_ours(to.domain()) => Step::Stanza(el),
            Ok(_) => self.fail(&StreamCondition::HostUnknown.into()),
            Err(_) => self.fail(&StreamCondition::ImproperAddressing.into()),
        }
    }
}

/// A domain as a JID has it, prepared.
pub fn domain(text: &str) -> Option<Str> {
    let jid = Jid::new(text).ok()?;
    (jid.local().is_none() && jid.resource().is_none()).then(|| Str::new(jid.domain()))
}

#[cfg(test)]
#[path = "incoming_tests.rs"]
mod tests;

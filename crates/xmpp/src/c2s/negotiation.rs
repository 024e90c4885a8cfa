//! RFC 6120 §4.3: from the first header to a bound resource. Frames in, pieces of output and a step out; no IO.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sammen_core::{Address, Domain};
use sammen_net::sasl::Channel;

use super::auth::Auth;
use super::bind;
use super::drive::Driven;
use super::sm;
use crate::server::Server;
use crate::wire::{
    Condition, Context, Element, Frame, Jid, StanzaError, StreamCondition, StreamError, StreamOpen,
    framing, ns, write,
};

/// What carries the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A TCP connection, perhaps under TLS (RFC 6120).
    Tcp,
    /// A WebSocket (RFC 7395); each piece of output is one message.
    WebSocket,
}

/// What the connection does after a frame.
pub enum Step {
    /// Reads on.
    Go,
    /// Does the TLS handshake, then calls [`Negotiation::secured`] and reads a new header.
    StartTls,
    /// Reads a new header (after SASL).
    Restart,
    /// The client is signed in; what it negotiated with is no longer needed.
    Ready(Driven),
    /// Writes what is left and ends.
    End,
}

/// Who somebody proved to be.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The account.
    pub account: Address,
    /// Name of the app password or certificate; `None` for the passphrase.
    pub credential: Option<String>,
}

/// What the listener knows of a connection.
#[derive(Clone, Debug)]
pub struct Ground {
    /// What carries it.
    pub carrier: Carrier,
    /// For the throttle.
    pub address: IpAddr,
    /// TLS, and what SASL may bind to.
    pub channel: Channel,
    /// STARTTLS can be offered.
    pub can_start_tls: bool,
    /// Signing in without TLS is allowed.
    pub plain_allowed: bool,
}

/// A stream that nobody has signed in on yet.
pub struct Negotiation {
    pub(crate) server: Arc<Server>,
    pub(crate) ground: Ground,
    pub(crate) domain: Domain,
    opened: bool,
    auth: Auth,
    proven: Option<Proven>,
    pub(crate) out: Vec<Bytes>,
}

impl Negotiation {
    /// A fresh one.
    pub fn new(server: Arc<Server>, ground: Ground) -> Self {
        Self {
            domain: server.domain().clone(),
            server,
            ground,
            opened: false,
            auth: Auth::default(),
            proven: None,
            out: Vec::new(),
        }
    }

    /// Output since the last call, in order, written for [`Context::CLIENT`]; see [`super::drive::websocket`].
    pub fn take_output(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.out)
    }

    /// TLS is there now.
    pub fn secured(&mut self, channel: Channel) {
        self.ground.channel = channel;
        self.ground.can_start_tls = false;
        self.opened = false;
    }

    /// Ends the stream with an error; a header is sent first where none was (RFC 6120 §4.9.1.2).
    pub fn fail(&mut self, error: &StreamError) -> Step {
        if !self.opened {
            self.header();
        }
        self.send(&error.to_element());
        self.close()
    }

    fn close(&mut self) -> Step {
        match self.ground.carrier {
            Carrier::Tcp => self.out.push(Bytes::from_static(write::STREAM_CLOSE)),
            Carrier::WebSocket => self.send(&framing::close()),
        }
        Step::End
    }

    /// Queues an element.
    pub(crate) fn send(&mut self, el: &Element) {
        let mut out = BytesMut::new();
        write::element(&mut out, el, Context::CLIENT);
        self.out.push(out.freeze());
    }

    /// Takes a frame.
    pub async fn frame(&mut self, frame: Frame) -> Step {
        match frame {
            Frame::Open(open) => self.open(&open),
            Frame::Close => self.close(),
            Frame::Stanza(_) if !self.opened => self.fail(&StreamCondition::BadFormat.into()),
            Frame::Stanza(el) => self.element(el).await,
        }
    }

    fn open(&mut self, open: &StreamOpen) -> Step {
        let proper = match self.ground.carrier {
            Carrier::Tcp => ns::CLIENT,
            Carrier::WebSocket => ns::FRAMING,
        };
        if open.default_ns != proper {
            return self.fail(&StreamCondition::InvalidNamespace.into());
        }
        // RFC 6120 §4.7.2: clients say whom they want; those that don't get the main domain.
        if let Some(to) = &open.to {
            let wanted = Domain::new(to).ok();
            match wanted.filter(|d| self.server.node.domains().contains(d)) {
                Some(domain) => self.domain = domain,
                None => return self.fail(&StreamCondition::HostUnknown.into()),
            }
        }
        // RFC 6120 §4.7.5: versions below 1.0 have no features, so nobody could sign in.
        if !open.version.as_ref().is_some_and(|v| v.starts_with("1.")) {
            return self.fail(&StreamCondition::UnsupportedVersion.into());
        }
        self.header();
        let features = self.features();
        self.send(&features);
        Step::Go
    }

    fn header(&mut self) {
        self.opened = true;
        let id = format!("{:032x}", self.server.node.clock().random());
        let domain = self.domain.clone();
        match self.ground.carrier {
            Carrier::Tcp => {
                let mut out = BytesMut::new();
                let attrs = [
                    ("from", domain.as_str()),
                    ("id", &id),
                    ("version", "1.0"),
                    ("xml:lang", "en"),
                ];
                write::stream_open(&mut out, ns::CLIENT, &attrs);
                self.out.push(out.freeze());
            }
            Carrier::WebSocket => {
                let open = framing::open(domain.as_str(), &id, "en");
                self.send(&open);
            }
        }
    }

    /// RFC 6120 §4.3.2.
    fn features(&self) -> Element {
        let mut features = Element::new(ns::STREAM, "features");
        if self.proven.is_some() {
            features.push(Element::new(ns::BIND, "bind"));
            // RFC 3921 §3 for old clients; draft-cridland-xmpp-session-01 says that it does nothing.
            let optional = Element::new(ns::SESSION, "optional");
            features.push(Element::new(ns::SESSION, "session").child(optional));
            features.push(Element::new(ns::SM, "sm"));
            features.push(Element::new(ns::CSI, "csi"));
            features.push(Element::new(ns::ROSTER_VER, "ver"));
            features.push(Element::new(ns::PRE_APPROVAL, "sub"));
        } else {
            if self.ground.can_start_tls {
                let required = Element::new(ns::TLS, "required");
                let must = (!self.ground.plain_allowed).then_some(required);
                features.push(Element::new(ns::TLS, "starttls").children(must));
            }
            let offers = self.policy().offers(&self.ground.channel);
            if !offers.is_empty() {
                let names = offers
                    .iter()
                    .map(|m| Element::new(ns::SASL, "mechanism").text(m.name()));
                features.push(Element::new(ns::SASL, "mechanisms").children(names));
            }
            let types = self.ground.channel.binding_types();
            if !types.is_empty() {
                // XEP-0440 §3.
                let types = types
                    .into_iter()
                    .map(|t| Element::new(ns::CHANNEL_BINDING, "channel-binding").attr("type", t));
                features.push(
                    Element::new(ns::CHANNEL_BINDING, "sasl-channel-binding").children(types),
                );
            }
        }
        features.child(self.limits())
    }

    /// XEP-0478 §3.
    fn limits(&self) -> Element {
        let config = &self.server.config;
        let now = if self.proven.is_some() {
            config.member
        } else {
            config.stranger
        };
        let idle = config.ping_after + config.ping_timeout;
        Element::new(ns::STREAM_LIMITS, "limits")
            .child(Element::new(ns::STREAM_LIMITS, "max-bytes").text(now.stanza_bytes.to_string()))
            .child(Element::new(ns::STREAM_LIMITS, "idle-seconds").text(idle.as_secs().to_string()))
    }

    pub(crate) fn policy(&self) -> &Arc<sammen_net::sasl::Policy> {
        let [secure, plain] = &self.server.policies;
        if self.ground.plain_allowed {
            plain
        } else {
            secure
        }
    }

    async fn element(&mut self, el: Element) -> Step {
        match (el.name(), el.ns()) {
            ("starttls", ns::TLS) => {
                if !self.ground.can_start_tls || self.proven.is_some() {
                    self.send(&Element::new(ns::TLS, "failure"));
                    return self.close();
                }
                self.send(&Element::new(ns::TLS, "proceed"));
                Step::StartTls
            }
            ("auth" | "response" | "abort", ns::SASL) if self.proven.is_none() => {
                let mut auth = std::mem::take(&mut self.auth);
                let proven = auth.element(self, &el).await;
                self.auth = auth;
                match proven {
                    Ok(Some(proven)) => {
                        self.proven = Some(proven);
                        self.opened = false;
                        Step::Restart
                    }
                    Ok(None) => Step::Go,
                    // RFC 6120 §6.4.5: a few tries, then the stream ends.
                    Err(()) => self.fail(&StreamCondition::PolicyViolation.into()),
                }
            }
            _ => match self.proven.clone() {
                None => self.fail(&StreamCondition::NotAuthorized.into()),
                Some(proven) => self.signed_in(&proven, el).await,
            },
        }
    }

    async fn signed_in(&mut self, proven: &Proven, el: Element) -> Step {
        match (el.name(), el.ns()) {
            ("iq", ns::CLIENT) => {
                let child = el.first();
                let set = el.get("type") == Some("set");
                if let (true, Some(bind)) = (set, child.filter(|c| c.is("bind", ns::BIND))) {
                    let resource = bind.find_text("resource", ns::BIND);
                    return match bind::bind(self, proven, resource.as_deref()).await {
                        Ok(driven) => {
                            let jid = driven.client.jid.to_str();
                            let jid = Element::new(ns::BIND, "jid").text(jid);
                            let result = Element::new(ns::CLIENT, "iq")
                                .attr("type", "result")
                                .attr_opt("id", el.get_str("id").cloned())
                                .child(Element::new(ns::BIND, "bind").child(jid));
                            self.send(&result);
                            Step::Ready(driven)
                        }
                        Err(error) => self.refuse(&el, &error),
                    };
                }
                let legacy = child.is_some_and(|c| c.is("session", ns::SESSION));
                if set && legacy {
                    let result = Element::new(ns::CLIENT, "iq")
                        .attr("type", "result")
                        .attr_opt("id", el.get_str("id").cloned());
                    self.send(&result);
                    return Step::Go;
                }
                self.refuse(&el, &Condition::NotAllowed.into())
            }
            ("resume", ns::SM) => match sm::resume(self, proven, &el).await {
                Ok(driven) => Step::Ready(driven),
                Err(failed) => {
                    self.send(&failed);
                    Step::Go
                }
            },
            ("enable", ns::SM) => {
                self.send(&sm::failed(Condition::UnexpectedRequest));
                Step::Go
            }
            // RFC 6120 §7.1: no stanzas before a resource is bound.
            ("message" | "presence", ns::CLIENT) => {
                self.fail(&StreamCondition::NotAuthorized.into())
            }
            _ => self.fail(&StreamCondition::UnsupportedStanzaType.into()),
        }
    }

    fn refuse(&mut self, el: &Element, error: &StanzaError) -> Step {
        if let Some(reply) = error.reply_to(el) {
            self.send(&reply);
        }
        Step::Go
    }

    /// The bare JID of an account, as clients know it.
    pub(crate) fn jid(&self, account: &Address, resource: &str) -> Option<Jid> {
        Jid::from_parts(Some(account.name()), account.domain()?, Some(resource)).ok()
    }
}

//! RFC 6120 §4.3: from the first header to a bound resource. Frames in, pieces of output and a step out; no IO.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sammen_core::{Address, Domain};
use sammen_net::sasl::{self, Channel, Mechanism, TokenMechanism};
use sammen_net::tokens::Agent;

use super::auth::Auth;
use super::bind;
use super::bind2;
use super::drive::Driven;
use super::sasl2::{Came, Sasl2};
use super::signup::{self, Signup};
use super::sm;
use super::upgrade;
use crate::client::Client;
use crate::disco;
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
    /// HTTP requests (XEP-0206).
    Bosh,
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
    /// With what; `None` for the passphrase.
    pub credential: Option<sammen_core::Credential>,
    /// What the app said of itself (XEP-0388); it is known by that.
    pub agent: Option<Agent>,
    /// Of the credentials that it was proven against.
    pub stamp: u64,
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
    /// Whom the stream says that it is from.
    from: Option<Jid>,
    /// The mechanisms on offer.
    offers: Vec<Mechanism>,
    auth: Auth,
    sasl2: Sasl2,
    proven: Option<Proven>,
    pub(crate) signup: Signup,
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
            from: None,
            offers: Vec::new(),
            auth: Auth::default(),
            sasl2: Sasl2::default(),
            proven: None,
            signup: Signup::default(),
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
            Carrier::Bosh => {}
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
            Frame::Open(open) => self.open(&open).await,
            Frame::Close => self.close(),
            Frame::Stanza(_) if !self.opened => self.fail(&StreamCondition::BadFormat.into()),
            Frame::Stanza(el) => self.element(el).await,
        }
    }

    async fn open(&mut self, open: &StreamOpen) -> Step {
        let proper = match self.ground.carrier {
            Carrier::Tcp => ns::CLIENT,
            Carrier::WebSocket => ns::FRAMING,
            Carrier::Bosh => ns::BOSH,
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
        self.from = open.from.as_ref().and_then(|from| Jid::new(from).ok());
        self.offers = self.policy().offers(&self.ground.channel);
        if let Some(from) = &self.from
            && self.proven.is_none()
        {
            let name = from.local().unwrap_or_default();
            let accounts = &self.server.accounts;
            self.offers = accounts
                .narrowed(&self.domain, name, std::mem::take(&mut self.offers))
                .await;
        }
        self.header();
        let features = self.features();
        self.send(&features);
        Step::Go
    }

    /// Whether the stream says that it is from this account, or from nobody.
    pub(crate) fn is_from(&self, account: &Address) -> bool {
        self.from
            .as_ref()
            .is_none_or(|from| from.bare_str() == self.server.bare(account))
    }

    /// What the client was offered, as XEP-0474 hashes it.
    pub(crate) fn announcement(&self) -> String {
        sasl::announcement(&self.offers, &self.ground.channel.binding_types())
    }

    /// The mechanisms for tokens on offer.
    pub(crate) fn token_offers(&self) -> Vec<TokenMechanism> {
        TokenMechanism::offers(self.policy(), &self.ground.channel)
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
            Carrier::Bosh => {}
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
            features.push(disco::server_caps(&self.server));
        } else {
            if self.ground.can_start_tls {
                let required = Element::new(ns::TLS, "required");
                let must = (!self.ground.plain_allowed).then_some(required);
                features.push(Element::new(ns::TLS, "starttls").children(must));
            }
            if !self.offers.is_empty() {
                let names = |ns| {
                    let offers = self.offers.iter();
                    offers.map(move |m| Element::new(ns, "mechanism").text(m.name()))
                };
                features.push(Element::new(ns::SASL, "mechanisms").children(names(ns::SASL)));
                features.push(
                    Element::new(ns::SASL2, "authentication")
                        .children(names(ns::SASL2))
                        .child(self.inline())
                        .children(upgrade::features()),
                );
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
            for feature in signup::features(self) {
                features.push(feature);
            }
        }
        features.child(self.limits(self.proven.is_some()))
    }

    /// XEP-0388 §2.1: what can be done together with signing in.
    fn inline(&self) -> Element {
        let tokens = self.token_offers();
        let tokens = tokens
            .iter()
            .map(|m| Element::new(ns::FAST, "mechanism").text(m.name()));
        Element::new(ns::SASL2, "inline")
            .child(Element::new(ns::SM, "sm"))
            .child(bind2::feature())
            .child(Element::new(ns::FAST, "fast").children(tokens))
    }

    /// What a client with a session can still ask for.
    pub(crate) fn features_bound(&self, client: &Client) -> Element {
        let mut features = Element::new(ns::STREAM, "features");
        if !client.out.lock().is_managed() {
            features.push(Element::new(ns::SM, "sm"));
        }
        features
            .child(Element::new(ns::CSI, "csi"))
            .child(Element::new(ns::ROSTER_VER, "ver"))
            .child(Element::new(ns::PRE_APPROVAL, "sub"))
            .child(disco::server_caps(&self.server))
            .child(self.limits(true))
    }

    /// XEP-0478 §3.
    fn limits(&self, member: bool) -> Element {
        let config = self.server.config.get();
        let now = if member {
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
            (_, ns::SASL2) if self.proven.is_none() => {
                let mut sasl2 = std::mem::take(&mut self.sasl2);
                let came = sasl2.element(self, &el).await;
                self.sasl2 = sasl2;
                match came {
                    Ok(Came::Go) => Step::Go,
                    Ok(Came::In(proven)) => {
                        self.proven = Some(proven);
                        let features = self.features();
                        self.send(&features);
                        Step::Go
                    }
                    Ok(Came::Ready(driven)) => Step::Ready(driven),
                    Err(error) => self.fail(&error),
                }
            }
            ("iq", ns::CLIENT) if self.proven.is_none() => match signup::iq(self, &el).await {
                Some(Ok(child)) => {
                    let result = Element::new(ns::CLIENT, "iq")
                        .attr("type", "result")
                        .attr("from", self.domain.as_str())
                        .attr_opt("id", el.get_str("id").cloned())
                        .children(child);
                    self.send(&result);
                    Step::Go
                }
                Some(Err(error)) => self.refuse(&el, &error),
                None => self.fail(&StreamCondition::NotAuthorized.into()),
            },
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
                Ok((driven, resumed)) => {
                    self.send(&resumed);
                    Step::Ready(driven)
                }
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

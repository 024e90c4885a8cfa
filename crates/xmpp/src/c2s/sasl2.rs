//! XEP-0388: the newer SASL profile. One element says who the client is and what its stream shall be: resumed
//! (XEP-0198), or bound (XEP-0386), with a token for next time (XEP-0484); tasks (XEP-0480) come before success.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sammen_core::Address;
use sammen_net::Hash;
use sammen_net::sasl::{Failure, Login, TokenMechanism, TokenMessage};
use sammen_net::tokens::{Agent, FreshToken, Shown};

use super::auth::TRIES;
use super::bind2;
use super::drive::Driven;
use super::exchange::{self, Exchange, Turn};
use super::negotiation::{Negotiation, Proven};
use super::sm;
use super::upgrade::{self, Upgrade};
use crate::time;
use crate::wire::{Element, StreamCondition, StreamError, ns};

/// What became of an element.
pub enum Came {
    /// The dialogue goes on.
    Go,
    /// Somebody signed in who has neither resumed nor bound yet.
    In(Proven),
    /// Somebody signed in and has a session.
    Ready(Driven),
}

/// What the client wants of its stream.
#[derive(Default)]
struct Request {
    agent: Option<Agent>,
    resume: Option<Element>,
    bind: Option<Element>,
    wants: Option<TokenMechanism>,
    upgrades: Vec<Hash>,
}

/// Somebody who proved who they are.
pub(super) struct Proved {
    pub account: Address,
    pub login: Login,
    /// Of the credentials that it was proven against.
    pub stamp: u64,
    /// Goes out with what follows next.
    pub data: Option<Vec<u8>>,
    fresh: Option<FreshToken>,
    /// It was a token, which gives out its own successors.
    by_token: bool,
}

/// The dialogue on one stream.
#[derive(Default)]
pub struct Sasl2 {
    exchange: Exchange,
    request: Request,
    upgrade: Option<Upgrade>,
    failed: u32,
}

impl Sasl2 {
    /// Takes an element of the namespace.
    ///
    /// # Errors
    /// What ends the stream: too many failures, or an element out of turn (XEP-0388 §2.5).
    pub async fn element(
        &mut self,
        stream: &mut Negotiation,
        el: &Element,
    ) -> Result<Came, StreamError> {
        let busy = self.exchange.runs() || self.upgrade.is_some();
        match (el.name(), &mut self.upgrade) {
            ("authenticate", _) if !busy => self.authenticate(stream, el).await,
            ("response", None) if busy => match message(Some(el)) {
                Ok(message) => {
                    let message = message.unwrap_or_default();
                    let turn = self.exchange.respond(stream, &message).await;
                    self.turn(stream, turn).await
                }
                Err(()) => self.refuse(stream, "incorrect-encoding"),
            },
            ("abort", _) if busy => {
                self.upgrade = None;
                let turn = self.exchange.abort(stream);
                drop(turn);
                self.refuse(stream, "aborted")
            }
            ("next" | "task-data", Some(upgrade)) => match upgrade.element(stream, el).await {
                Ok(upgrade::Step::Said) => Ok(Came::Go),
                Ok(upgrade::Step::Done) => match self.upgrade.take() {
                    Some(upgrade) => self.succeed(stream, upgrade.proved).await,
                    None => Ok(Came::Go),
                },
                Err(failure) => {
                    self.upgrade = None;
                    self.refuse(stream, exchange::condition(failure))
                }
            },
            _ => Err(StreamCondition::NotAuthorized.into()),
        }
    }

    async fn authenticate(
        &mut self,
        stream: &mut Negotiation,
        el: &Element,
    ) -> Result<Came, StreamError> {
        self.request = Request::read(stream, el);
        let Ok(initial) = message(el.find("initial-response", ns::SASL2)) else {
            return self.refuse(stream, "incorrect-encoding");
        };
        let name = el.get("mechanism").unwrap_or_default();
        let Some(mechanism) = TokenMechanism::parse(name) else {
            let announced = stream.announcement();
            let exchange = &mut self.exchange;
            let turn = exchange.start(stream, name, initial.as_deref(), announced);
            let turn = turn.await;
            return self.turn(stream, turn).await;
        };
        let fast = el.find("fast", ns::FAST);
        match self.token(stream, mechanism, initial, fast).await {
            Ok(proved) => self.proved(stream, proved).await,
            Err(failure) => {
                let turn = self.exchange.failed(stream, failure);
                self.turn(stream, turn).await
            }
        }
    }

    /// XEP-0484 §4.4.
    async fn token(
        &mut self,
        stream: &Negotiation,
        mechanism: TokenMechanism,
        initial: Option<Vec<u8>>,
        fast: Option<&Element>,
    ) -> Result<Proved, Failure> {
        if !stream.token_offers().contains(&mechanism) {
            return Err(Failure::NoSuchMechanism);
        }
        let agent = self.request.agent.clone();
        let agent = agent.ok_or(Failure::Malformed("a token without a user-agent id"))?;
        let fast = fast.ok_or(Failure::Malformed("a token without <fast/>"))?;
        let count = fast.get("count").map(str::parse).transpose();
        let message = TokenMessage::parse(&initial.unwrap_or_default())?;
        self.exchange.admit(stream, &message.name)?;
        let shown = Shown {
            agent,
            mechanism,
            message,
            count: count.map_err(|_| Failure::Malformed("count"))?,
            invalidate: matches!(fast.get("invalidate"), Some("true" | "1")),
            wants: self.request.wants,
        };
        let accounts = &stream.server.accounts;
        let login = accounts.token_login(&stream.domain, "xmpp", &stream.ground.channel, shown);
        let login = login.await?;
        self.exchange
            .passed(stream, &login.account, mechanism.name());
        Ok(Proved {
            account: login.account,
            login: login.login,
            stamp: login.stamp,
            data: Some(login.answer),
            fresh: login.fresh,
            by_token: true,
        })
    }

    async fn turn(&mut self, stream: &mut Negotiation, turn: Turn) -> Result<Came, StreamError> {
        match turn {
            Turn::Challenge(message) => {
                let text = STANDARD.encode(message);
                stream.send(&Element::new(ns::SASL2, "challenge").text(text));
                Ok(Came::Go)
            }
            Turn::Success(success) => {
                let Ok(account) = Address::new(&success.account) else {
                    return self.refuse(stream, "not-authorized");
                };
                let proved = Proved {
                    account,
                    login: success.login,
                    stamp: success.stamp,
                    data: success.data,
                    fresh: None,
                    by_token: false,
                };
                self.proved(stream, proved).await
            }
            Turn::Failure(failure) => self.refuse(stream, exchange::condition(failure)),
        }
    }

    /// The identity is proven; tasks come next, where there are any.
    async fn proved(
        &mut self,
        stream: &mut Negotiation,
        proved: Proved,
    ) -> Result<Came, StreamError> {
        // XEP-0388 §2.3: who the stream says that it is from is who may sign in on it.
        if !stream.is_from(&proved.account) {
            return self.refuse(stream, "invalid-authzid");
        }
        let wanted = std::mem::take(&mut self.request.upgrades);
        match Upgrade::begin(stream, proved, wanted).await {
            Ok(upgrade) => {
                self.upgrade = Some(upgrade);
                Ok(Came::Go)
            }
            Err(proved) => self.succeed(stream, *proved).await,
        }
    }

    async fn succeed(
        &mut self,
        stream: &mut Negotiation,
        mut proved: Proved,
    ) -> Result<Came, StreamError> {
        let request = std::mem::take(&mut self.request);
        let proven = Proven {
            account: proved.account.clone(),
            credential: proved.login.credential(),
            stamp: proved.stamp,
            agent: request.agent.clone(),
        };
        let mut parts = Vec::new();
        let mut driven = None;
        // XEP-0386 §3.2: resumption first; where it fails, the failure is told and binding follows.
        if let Some(resume) = &request.resume {
            match sm::resume(stream, &proven, resume).await {
                Ok((resumed, told)) => {
                    driven = Some(resumed);
                    parts.push(told);
                }
                Err(failed) => parts.push(failed),
            }
        }
        if let (None, Some(bind)) = (&driven, &request.bind) {
            match bind2::bind(stream, &proven, bind).await {
                Ok((bound, told)) => {
                    driven = Some(bound);
                    parts.push(told);
                }
                Err(error) => {
                    tracing::info!(protocol = "xmpp", account = %proven.account, ?error, "no session");
                    return self.refuse(stream, "temporary-auth-failure");
                }
            }
        }
        let device = driven.as_ref().map(|d| d.client.device.id);
        if let (Some(agent), Some(device), false) = (request.agent, device, proved.by_token) {
            let accounts = &stream.server.accounts;
            let known =
                accounts.know_agent(&proved.account, device, agent, &proved.login, request.wants);
            match known.await {
                Ok(fresh) => proved.fresh = fresh,
                Err(why) => tracing::warn!(%why, "no token could be made"),
            }
        }
        let whole = match &driven {
            Some(driven) => driven.client.jid.to_str(),
            None => stream.server.bare(&proved.account).into(),
        };
        let mut success = Element::new(ns::SASL2, "success");
        if let Some(data) = &proved.data {
            success.push(Element::new(ns::SASL2, "additional-data").text(STANDARD.encode(data)));
        }
        success.push(Element::new(ns::SASL2, "authorization-identifier").text(whole));
        if let Some(fresh) = &proved.fresh {
            success.push(token(fresh));
        }
        stream.send(&success.children(parts));
        // XEP-0388 §2.6.1: features follow at once, without a new stream.
        Ok(match driven {
            Some(driven) => {
                let features = stream.features_bound(&driven.client);
                stream.send(&features);
                Came::Ready(driven)
            }
            None => Came::In(proven),
        })
    }

    fn refuse(
        &mut self,
        stream: &mut Negotiation,
        condition: &'static str,
    ) -> Result<Came, StreamError> {
        self.exchange.drop(stream);
        self.request = Request::default();
        let failure = Element::new(ns::SASL2, "failure").child(Element::new(ns::SASL, condition));
        stream.send(&failure);
        self.failed += 1;
        if self.failed >= TRIES {
            Err(StreamCondition::PolicyViolation.into())
        } else {
            Ok(Came::Go)
        }
    }
}

impl Request {
    fn read(stream: &Negotiation, el: &Element) -> Self {
        let agent = el.find("user-agent", ns::SASL2).and_then(|agent| {
            let software = agent.find_text("software", ns::SASL2);
            let device = agent.find_text("device", ns::SASL2);
            let id = agent.get("id").unwrap_or_default();
            Agent::new(id, software.as_deref(), device.as_deref())
        });
        let wants = el.find("request-token", ns::FAST);
        let wants = wants.and_then(|w| TokenMechanism::parse(w.get("mechanism")?));
        Self {
            // A token belongs to an app that has a name (XEP-0484 §5.1).
            wants: wants.filter(|w| agent.is_some() && stream.token_offers().contains(w)),
            agent,
            resume: el.find("resume", ns::SM).cloned(),
            bind: el.find("bind", ns::BIND2).cloned(),
            upgrades: upgrade::wanted(el),
        }
    }
}

/// XEP-0484 §4.3.
fn token(fresh: &FreshToken) -> Element {
    let ends = i64::try_from(fresh.expires_ms).unwrap_or(i64::MAX);
    Element::new(ns::FAST, "token")
        .attr("token", fresh.secret.expose())
        .attr("expiry", time::stamp(sammen_core::Timestamp(ends)))
}

/// SASL data (XEP-0388 §2.2); no element is none.
fn message(el: Option<&Element>) -> Result<Option<Vec<u8>>, ()> {
    let Some(el) = el else { return Ok(None) };
    let text = el.content();
    STANDARD.decode(text.trim()).map(Some).map_err(|_| ())
}

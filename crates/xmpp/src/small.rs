//! Small questions that the node answers: ping (XEP-0199), version (XEP-0092), time (XEP-0202), last activity
//! (XEP-0012).

use std::sync::Arc;

use sammen_core::live::Show;
use sammen_core::{Address, Timestamp};

use crate::address::Place;
use crate::client::Client;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::server::Server;
use crate::time;
use crate::wire::{Condition, Element, StanzaError, ns};

const EVERYWHERE: &[Where] = &[
    Where::Server,
    Where::OwnAccount,
    Where::RoomService,
    Where::Upload,
];

/// The feature.
pub static FEATURE: Feature = Feature {
    name: "small",
    disco: |at| match at {
        Where::Server => &[ns::PING, ns::VERSION, ns::TIME, ns::LAST, ns::STREAM_LIMITS],
        Where::OwnAccount | Where::RoomService | Where::Upload => &[ns::PING],
        _ => &[],
    },
    iqs: &[
        // RFC 3921 §3: libraries that are older than RFC 6121 ask after binding, even though it is announced as optional.
        IqHandler {
            name: "session",
            ns: ns::SESSION,
            get: false,
            set: true,
            at: &[Where::Server, Where::OwnAccount],
            handle: |_, _| Box::pin(async { Ok(None) }),
        },
        get("ping", ns::PING, EVERYWHERE, |_, _| {
            Box::pin(async { Ok(None) })
        }),
        get("query", ns::VERSION, &[Where::Server], |client, _| {
            Box::pin(async move { Ok(Some(version(&client.server))) })
        }),
        get("time", ns::TIME, &[Where::Server], |client, _| {
            Box::pin(async move { Ok(Some(now(client.node.now()))) })
        }),
        get(
            "query",
            ns::LAST,
            &[Where::Server, Where::OwnAccount, Where::OtherAccount],
            last,
        ),
    ],
    ..Feature::NONE
};

const fn get(
    name: &'static str,
    ns: &'static str,
    at: &'static [Where],
    handle: fn(Arc<Client>, Iq) -> BoxFuture<IqAnswer>,
) -> IqHandler {
    IqHandler {
        name,
        ns,
        get: true,
        set: false,
        at,
        handle,
    }
}

/// XEP-0092.
pub fn version(server: &Server) -> Element {
    let text = |name: &'static str, text: &str| Element::new(ns::VERSION, name).text(text);
    Element::new(ns::VERSION, "query")
        .child(text("name", &server.config.get().software))
        .child(text("version", &server.config.get().version))
}

/// XEP-0202.
fn now(at: Timestamp) -> Element {
    let mut utc = time::stamp(at);
    // §3: seconds are enough, and some clients understand no more.
    utc.replace_range(19.., "Z");
    Element::new(ns::TIME, "time")
        .child(Element::new(ns::TIME, "tzo").text("+00:00"))
        .child(Element::new(ns::TIME, "utc").text(utc))
}

/// XEP-0012: of the node since when it runs, of contacts since when they were last seen.
fn last(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let seconds = match &iq.place {
            Place::Account(account) => since(&client, account).await?,
            _ => {
                let started = client.server.started;
                (client.node.now().0 - started.0) / 1000
            }
        };
        let query = Element::new(ns::LAST, "query").attr("seconds", seconds.max(0).to_string());
        Ok(Some(query))
    })
}

async fn since(client: &Arc<Client>, account: &Address) -> Result<i64, StanzaError> {
    let forbidden = || StanzaError::new(Condition::Forbidden);
    let (me, whom) = (client.account.clone(), account.clone());
    let read = client.node.read(move |node| {
        let sees = me == whom
            || node
                .contacts(&whom)?
                .get(&me)
                .is_some_and(|c| c.seen && !c.blocked);
        let shares = node.account(&whom)?.is_some_and(|a| a.switches.last_seen);
        let seen = node.store().devices(&whom)?.iter().map(|d| d.seen).max();
        Ok(seen.filter(|_| sees && (shares || me == whom)))
    });
    // §5: who may not see the presence is told forbidden, whether there is an account or not.
    let seen = read.await.map_err(|_| forbidden())?.ok_or_else(forbidden)?;
    let there = client.node.live(|live| {
        let shows = |p: &sammen_core::live::Presence| p.show != Show::Offline;
        live.sessions_of(account)
            .iter()
            .any(|s| s.presence().is_some_and(|p| shows(&p)))
    });
    Ok(if there {
        0
    } else {
        (client.node.now().0 - seen.0) / 1000
    })
}

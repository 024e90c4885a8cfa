//! XEP-0050 Ad-hoc commands: what the own account can set and no other standard has a form for.
//!
//! Each command is one form. Nothing is kept between its two steps, so a session id is only given back.

use std::sync::Arc;

use sammen_core::{Address, Origin, Refusal, encryption, ops};

use crate::address::Place;
use crate::client::Client;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::muc::form::{Form, Submitted};
use crate::wire::{Condition, Element, Jid, StanzaError, ns};

/// The feature. Apps look for commands at their server or at their own account: it is the same list.
pub static FEATURE: Feature = Feature {
    name: "commands",
    disco: |at| match at {
        Where::Server | Where::OwnAccount => &[ns::COMMANDS],
        _ => &[],
    },
    iqs: &[IqHandler {
        name: "command",
        ns: ns::COMMANDS,
        get: false,
        set: true,
        at: &[Where::Server, Where::OwnAccount],
        handle,
    }],
    ..Feature::NONE
};

/// (node, name).
const ALL: &[(&str, &str)] = &[
    (SETTINGS, "What others learn of me"),
    (PLAIN, "Plain text beside encryption"),
];
const SETTINGS: &str = "settings";
const PLAIN: &str = "plain-allow";
/// Far from what a date can hold.
const DAYS: u32 = 36_500;

/// The list of commands, for disco#items.
pub fn items(at: &str) -> impl Iterator<Item = Element> {
    ALL.iter().map(move |(node, name)| {
        Element::new(ns::DISCO_ITEMS, "item")
            .attr("jid", at)
            .attr("node", *node)
            .attr("name", *name)
    })
}

/// What disco#info tells of the list or of one command (§2.2, §2.3); `None` for other nodes.
pub fn info(node: &str) -> Option<Vec<Element>> {
    let (kind, name) = match ALL.iter().find(|(n, _)| *n == node) {
        Some((_, name)) => ("command-node", *name),
        None if node == ns::COMMANDS => ("command-list", "Commands"),
        None => return None,
    };
    let identity = Element::new(ns::DISCO_INFO, "identity")
        .attr("category", "automation")
        .attr("type", kind)
        .attr("name", name);
    let features = [ns::COMMANDS, ns::DATA_FORMS];
    let features = features.map(|var| Element::new(ns::DISCO_INFO, "feature").attr("var", var));
    Some(std::iter::once(identity).chain(features).collect())
}

fn handle(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let node = iq.get("node").unwrap_or_default();
        if !ALL.iter().any(|(n, _)| *n == node) {
            return Err(Condition::ItemNotFound.into());
        }
        let session = match iq.get("sessionid") {
            Some(session) => session.chars().take(128).collect(),
            None => format!("{:016x}", client.node.clock().random() >> 64),
        };
        let answer = |status: &'static str| {
            Element::new(ns::COMMANDS, "command")
                .attr("node", node)
                .attr("sessionid", session.as_str())
                .attr("status", status)
        };
        match iq.get("action").unwrap_or("execute") {
            "cancel" => return Ok(Some(answer("canceled"))),
            "execute" | "next" | "complete" => {}
            _ => return Err(Iq::bad("execute, complete or cancel")),
        }
        let Some(form) = iq.child.find("x", ns::DATA_FORMS) else {
            let actions = Element::new(ns::COMMANDS, "actions")
                .attr("execute", "complete")
                .child(Element::new(ns::COMMANDS, "complete"));
            let form = match node {
                SETTINGS => settings(&client)?,
                _ => plain(),
            };
            return Ok(Some(answer("executing").child(actions).child(form)));
        };
        let form = Submitted::read(form).ok_or_else(|| Iq::bad("the form is to be submitted"))?;
        let done = match node {
            SETTINGS => set(&client, &form).await?,
            _ => allow(&client, &form).await?,
        };
        let note = Element::new(ns::COMMANDS, "note")
            .attr("type", "info")
            .text(done);
        Ok(Some(answer("completed").child(note)))
    })
}

fn settings(client: &Client) -> Result<Element, StanzaError> {
    let account = client.node.account(&client.account)?;
    let account = account.ok_or_else(|| StanzaError::from(Refusal::NotFound))?;
    let switches = &account.switches;
    let days = account.retention_days.map(|d| d.to_string());
    let why = "For all your apps, on every protocol.";
    Ok(Form::new("form", SETTINGS)
        .headed("What others learn of me", why)
        .flag("receipts", "Send receipts", switches.receipts)
        .flag("typing", "Show that I type", switches.typing)
        .flag(
            "last-seen",
            "Tell contacts when I was last here",
            switches.last_seen,
        )
        .text(
            "retention",
            "Erase my direct conversations and files after so many days (empty: never)",
            days.as_deref().unwrap_or_default(),
        )
        .done())
}

async fn set(client: &Client, form: &Submitted) -> Result<&'static str, StanzaError> {
    let (receipts, typing) = (form.flag("receipts"), form.flag("typing"));
    let last_seen = form.flag("last-seen");
    let retention = match form.one("retention").map(str::trim) {
        None => None,
        Some("") => Some(None),
        Some(days) => {
            let days = days.parse().ok().filter(|d| (1..=DAYS).contains(d));
            Some(Some(
                days.ok_or_else(|| Iq::bad("a number of days, or nothing"))?,
            ))
        }
    };
    let of = client.account.clone();
    let change = move |account: &mut sammen_core::Account| {
        let switches = &mut account.switches;
        switches.receipts = receipts.unwrap_or(switches.receipts);
        switches.typing = typing.unwrap_or(switches.typing);
        switches.last_seen = last_seen.unwrap_or(switches.last_seen);
        account.retention_days = retention.unwrap_or(account.retention_days);
    };
    client
        .node
        .write(move |tx| ops::accounts::change(tx, &of, change))
        .await?;
    Ok("Set.")
}

fn plain() -> Element {
    let why = "Once you wrote encrypted with somebody, apps without that encryption (IRC) can't write there. \
               You can allow it for one conversation; both of you see that.";
    Form::new("form", PLAIN)
        .headed("Plain text beside encryption", why)
        .field::<&str>("peer", "jid-single", Some("With whom"), [])
        .flag("allow", "Allow plain text", true)
        .done()
}

async fn allow(client: &Client, form: &Submitted) -> Result<&'static str, StanzaError> {
    let peer = peer(client, form.one("peer").unwrap_or_default())?;
    let allow = form.flag("allow").unwrap_or(true);
    let me = client.account.clone();
    // The notice is for all devices, this one too.
    let origin = Origin::default();
    let written = client
        .node
        .write(move |tx| encryption::allow_plain(tx, &me, &peer, allow, origin));
    written.await.map_err(|refusal| match refusal {
        Refusal::NotFound => StanzaError::new(Condition::ItemNotFound)
            .with_text("You have no conversation with this address."),
        other => other.into(),
    })?;
    Ok(if allow {
        "Plain text is allowed in this conversation."
    } else {
        "Plain text is forbidden in this conversation."
    })
}

fn peer(client: &Client, text: &str) -> Result<Address, StanzaError> {
    let jid = Jid::new(text.trim()).map_err(|_| Iq::bad("that is no address"))?;
    match client.server.place(&jid) {
        Place::Account(address) => Ok(address),
        _ => Err(Iq::bad("that is nobody's address here")),
    }
}

//! XEP-0050 Ad-hoc commands: what no other standard has a form for. A command is a file that stands in one list.
//!
//! Each command is one form at most. Nothing is kept between its two steps, so a session id is only given back.

pub mod admin;
mod invite;
mod own;

use std::sync::Arc;

use sammen_core::live::StateChange;
use sammen_core::ops::announce::{self, Announcement};

use crate::client::Client;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::muc::form::Submitted;
use crate::wire::{Condition, Element, StanzaError, ns};

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
    state: Some(announced),
    available: Some(|client| Box::pin(message_of_the_day(client))),
    ..Feature::NONE
};

/// What came of a command.
#[derive(Default)]
pub struct Done {
    /// A word for the person.
    pub note: Option<String>,
    /// A form of type `result`.
    pub result: Option<Element>,
}

impl Done {
    /// With a note alone.
    pub fn said(note: impl Into<String>) -> Self {
        Self {
            note: Some(note.into()),
            result: None,
        }
    }
}

/// The form of a command.
pub type Ask = fn(Arc<Client>) -> BoxFuture<Result<Element, StanzaError>>;
/// Runs it on what was submitted; on nothing where it has no form.
pub type Run = fn(Arc<Client>, Submitted) -> BoxFuture<Result<Done, StanzaError>>;

/// One command.
pub struct Command {
    /// Its node.
    pub node: &'static str,
    /// What people read.
    pub name: &'static str,
    /// Who may run it; others don't see it.
    pub may: fn(&Client) -> bool,
    /// Its form; without one it runs at once.
    pub ask: Option<Ask>,
    /// What it does.
    pub run: Run,
}

/// All of them, in the order in which apps show them.
fn all() -> impl Iterator<Item = &'static Command> {
    [own::ALL, invite::ALL]
        .into_iter()
        .flatten()
        .chain(admin::all())
}

fn known(client: &Client, node: &str) -> Option<&'static Command> {
    all().find(|c| c.node == node && (c.may)(client))
}

/// The list of commands, for disco#items.
pub fn items(client: &Client, at: &str) -> Vec<Element> {
    all()
        .filter(|c| (c.may)(client))
        .map(|c| {
            Element::new(ns::DISCO_ITEMS, "item")
                .attr("jid", at)
                .attr("node", c.node)
                .attr("name", c.name)
        })
        .collect()
}

/// What disco#info tells of the list or of one command (§2.2, §2.3); `None` for other nodes.
pub fn info(client: &Client, node: &str) -> Option<Vec<Element>> {
    let (kind, name) = match known(client, node) {
        Some(command) => ("command-node", command.name),
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

/// The administrators say something to everybody.
fn announced(client: &Arc<Client>, change: &Arc<StateChange>) -> bool {
    let StateChange::Announced(word) = &**change else {
        return false;
    };
    tell(client, word);
    true
}

/// What they say to everybody who comes.
async fn message_of_the_day(client: Arc<Client>) {
    if let Ok(Some(word)) = client.node.read(announce::motd).await {
        tell(&client, &word);
    }
}

/// XEP-0133 §4.23: a headline of the node's.
fn tell(client: &Client, word: &Announcement) {
    let (available, priority) = {
        let state = client.state.lock();
        (state.available, state.priority)
    };
    if !available || priority < 0 {
        return;
    }
    let child = |name: &'static str, text: &str| Element::new(ns::CLIENT, name).text(text);
    let message = Element::new(ns::CLIENT, "message")
        .attr("type", "headline")
        .attr("from", client.server.domain().as_str())
        .attr("to", client.jid.to_str())
        .children(word.subject.as_deref().map(|s| child("subject", s)))
        .child(child("body", &word.text));
    client.send(&message);
}

fn handle(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let node = iq.get("node").unwrap_or_default();
        let command = match known(&client, node) {
            Some(command) => command,
            // XEP-0050 §4.4: there is such a command, but not for this one.
            None if all().any(|c| c.node == node) => return Err(Condition::Forbidden.into()),
            None => return Err(Condition::ItemNotFound.into()),
        };
        let session = match iq.get("sessionid") {
            Some(session) => session.chars().take(128).collect(),
            None => format!("{:016x}", client.node.clock().random() >> 64),
        };
        let answer = |status: &'static str| {
            Element::new(ns::COMMANDS, "command")
                .attr("node", command.node)
                .attr("sessionid", session.as_str())
                .attr("status", status)
        };
        match iq.get("action").unwrap_or("execute") {
            "cancel" => return Ok(Some(answer("canceled"))),
            "execute" | "next" | "complete" => {}
            _ => return Err(Iq::bad("execute, complete or cancel")),
        }
        let form = match (iq.child.find("x", ns::DATA_FORMS), command.ask) {
            (None, Some(ask)) => {
                let actions = Element::new(ns::COMMANDS, "actions")
                    .attr("execute", "complete")
                    .child(Element::new(ns::COMMANDS, "complete"));
                let form = ask(client).await?;
                return Ok(Some(answer("executing").child(actions).child(form)));
            }
            (None, None) => Submitted::default(),
            (Some(form), _) => {
                Submitted::read(form).ok_or_else(|| Iq::bad("the form is to be submitted"))?
            }
        };
        let done = (command.run)(client, form).await?;
        let note = done.note.map(|note| {
            Element::new(ns::COMMANDS, "note")
                .attr("type", "info")
                .text(note)
        });
        Ok(Some(
            answer("completed").children(done.result).children(note),
        ))
    })
}

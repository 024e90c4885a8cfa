//! XEP-0133 §4.23–§4.26: a word to everybody who is here, and one for everybody who comes.

use std::sync::Arc;

use sammen_core::ops::announce::{self, Announcement};

use super::{form, may};
use crate::client::Client;
use crate::commands::{Command, Done};
use crate::iq::Iq;
use crate::muc::form::Submitted;
use crate::wire::{Element, StanzaError};

/// The commands.
pub const ALL: &[Command] = &[
    Command {
        node: "http://jabber.org/protocol/admin#announce",
        name: "Send an announcement to everybody online",
        may,
        ask: Some(|_| {
            Box::pin(std::future::ready(Ok(ask(
                "announcement",
                "Announcement",
                None,
            ))))
        }),
        run: |client, form| Box::pin(say(client, form)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#set-motd",
        name: "Set the message of the day, and send it to everybody online",
        may,
        ask: Some(|_| {
            Box::pin(std::future::ready(Ok(ask(
                "motd",
                "Message of the day",
                None,
            ))))
        }),
        run: |client, form| Box::pin(set(client, form, true)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#edit-motd",
        name: "Change the message of the day",
        may,
        ask: Some(|client| Box::pin(edit(client))),
        run: |client, form| Box::pin(set(client, form, false)),
    },
    Command {
        node: "http://jabber.org/protocol/admin#delete-motd",
        name: "Delete the message of the day",
        may,
        ask: None,
        run: |client, _| Box::pin(delete(client)),
    },
];

fn ask(var: &'static str, title: &'static str, now: Option<&Announcement>) -> Element {
    let subject = now.and_then(|a| a.subject.as_deref()).unwrap_or_default();
    let lines = now.map(|a| a.text.lines()).into_iter().flatten();
    form(title)
        .text("subject", "Subject", subject)
        .field(var, "text-multi", Some(title), lines)
        .done()
}

async fn edit(client: Arc<Client>) -> Result<Element, StanzaError> {
    let now = client.node.read(announce::motd).await?;
    Ok(ask("motd", "Message of the day", now.as_ref()))
}

fn written(form: &Submitted, var: &str) -> Result<Announcement, StanzaError> {
    let text = form.many(var).unwrap_or_default().join("\n");
    if text.trim().is_empty() {
        return Err(Iq::bad("there is no text"));
    }
    let subject = form.one("subject").map(str::trim).filter(|s| !s.is_empty());
    Ok(Announcement {
        subject: subject.map(str::to_owned),
        text,
    })
}

async fn say(client: Arc<Client>, form: Submitted) -> Result<Done, StanzaError> {
    let word = written(&form, "announcement")?;
    let by = client.principal();
    let told = client
        .node
        .write(move |tx| announce::announce(tx, &by, word));
    told.await?;
    Ok(Done::said("Announced."))
}

async fn set(client: Arc<Client>, form: Submitted, tell: bool) -> Result<Done, StanzaError> {
    let word = written(&form, "motd")?;
    let by = client.principal();
    let done = client.node.write(move |tx| {
        announce::set_motd(tx, &by, Some(word.clone()))?;
        if tell {
            announce::announce(tx, &by, word)?;
        }
        Ok(())
    });
    done.await?;
    Ok(Done::said("Set."))
}

async fn delete(client: Arc<Client>) -> Result<Done, StanzaError> {
    let by = client.principal();
    let done = client
        .node
        .write(move |tx| announce::set_motd(tx, &by, None));
    done.await?;
    Ok(Done::said("Deleted."))
}

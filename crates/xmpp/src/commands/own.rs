//! Commands for the own account: what others learn of it, and plain text beside encryption.

use sammen_core::{Address, Origin, Refusal, encryption, ops};

use crate::address::Place;
use crate::client::Client;
use crate::commands::{Command, Done};
use crate::iq::Iq;
use crate::muc::form::{Form, Submitted};
use crate::wire::{Condition, Element, Jid, StanzaError};

/// Commands of every account.
pub const ALL: &[Command] = &[
    Command {
        node: "settings",
        name: "What others learn of me",
        may: |_| true,
        ask: Some(|client| Box::pin(async move { settings(&client) })),
        run: |client, form| Box::pin(async move { set(&client, &form).await.map(Done::said) }),
    },
    Command {
        node: "plain-allow",
        name: "Plain text beside encryption",
        may: |_| true,
        ask: Some(|_| Box::pin(async { Ok(plain()) })),
        run: |client, form| Box::pin(async move { allow(&client, &form).await.map(Done::said) }),
    },
];
/// Far from what a date can hold.
const DAYS: u32 = 36_500;

fn settings(client: &Client) -> Result<Element, StanzaError> {
    let account = client.node.account(&client.account)?;
    let account = account.ok_or_else(|| StanzaError::from(Refusal::NotFound))?;
    let switches = &account.switches;
    let days = account.retention_days.map(|d| d.to_string());
    let why = "For all your apps, on every protocol.";
    Ok(Form::new("form", "settings")
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
    Form::new("form", "plain-allow")
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

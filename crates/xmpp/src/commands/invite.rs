//! XEP-0401: links that make a contact, or let somebody make an account.

use std::sync::Arc;

use sammen_core::{Address, Name, Timestamp};
use sammen_net::invitations::{self, Inviters, Offer, Token};

use crate::client::Client;
use crate::commands::{Command, Done};
use crate::iq::Iq;
use crate::muc::form::{Form, Submitted};
use crate::time;
use crate::upload::Uploads;
use crate::wire::{Element, StanzaError, ns};

const DAY_MS: i64 = 86_400_000;

/// Both commands.
pub const ALL: &[Command] = &[
    Command {
        node: ns::INVITE,
        name: "Invite somebody",
        may: |client| client.server.config.get().inviters != Inviters::Nobody,
        ask: None,
        run: |client, _| Box::pin(invite(client)),
    },
    Command {
        node: ns::INVITE_ACCOUNT,
        name: "Make an account for somebody",
        may: may_promise,
        ask: Some(|_| Box::pin(async { Ok(form()) })),
        run: |client, form| Box::pin(promise(client, form)),
    },
];

/// Whether this account may invite people who have none.
fn may_promise(client: &Client) -> bool {
    let account = client.node.account(&client.account);
    let account = account.ok().flatten();
    account.is_some_and(|a| client.server.config.get().inviters.include(&a))
}

/// §5.1: a contact; with an account, where this one may offer that.
async fn invite(client: Arc<Client>) -> Result<Done, StanzaError> {
    let offer = Offer {
        inviter: Some(client.account.clone()),
        account: may_promise(&client),
        ..Offer::default()
    };
    made(&client, offer).await
}

/// §5.4: an account under a name, or under one of its person's choice.
fn form() -> Element {
    let why =
        "You get a link with which one person chooses a password. Without a name they choose one.";
    Form::new("form", ns::INVITATION)
        .headed("Make an account for somebody", why)
        .text("username", "Name", "")
        .flag("roster-subscription", "We become contacts", true)
        .done()
}

async fn promise(client: Arc<Client>, form: Submitted) -> Result<Done, StanzaError> {
    let name = form
        .one("username")
        .map(str::trim)
        .filter(|n| !n.is_empty());
    let name = name.map(|n| Name::new(&n.to_lowercase())).transpose();
    let contact = form.flag("roster-subscription").unwrap_or(true);
    let offer = Offer {
        inviter: contact.then(|| client.account.clone()),
        account: true,
        name: name.map_err(|_| Iq::bad("a name is a to z, 0 to 9, dots and dashes"))?,
        ..Offer::default()
    };
    made(&client, offer).await
}

async fn made(client: &Client, offer: Offer) -> Result<Done, StanzaError> {
    let days = i64::from(client.server.config.get().invitation_days);
    let until = Timestamp(client.node.now().0 + days * DAY_MS);
    let offer = Offer {
        uses: Some(1),
        expires: Some(until),
        ..offer
    };
    let token = Token::random(&mut rand::rng());
    let made = token.clone();
    let invitation = client
        .node
        .write(move |tx| invitations::create(tx, offer, &made))
        .await?;
    let domain = Address::domain(&client.account).and_then(|d| sammen_core::Domain::new(d).ok());
    let domain = domain.unwrap_or_else(|| client.server.domain().clone());
    let uri = invitations::uri(&invitation, &domain, &token);
    let mut form = Form::new("result", ns::INVITATION).field(
        "uri",
        "text-single",
        Some("Link for apps"),
        [uri],
    );
    if let Some(base) = client.server.shared::<Uploads>().base() {
        let page = invitations::landing(&base, &token);
        form = form.field(
            "landing-url",
            "text-single",
            Some("Link for a browser"),
            [page],
        );
    }
    let until = time::stamp(until);
    let form = form.field("expire", "text-single", Some("Holds until"), [until]);
    Ok(Done {
        note: None,
        result: Some(form.done()),
    })
}

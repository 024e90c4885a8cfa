//! What a room of many costs without sockets: people join, then one speaks. `cargo run --release --example room_cost`

use std::sync::Arc;
use std::time::Instant;

use sammen_core::memory::MemoryStore;
use sammen_core::ops::accounts;
use sammen_core::ops::sessions::SignIn;
use sammen_core::{Address, Domain, Name, Node, Options, Protocol};
use sammen_net::ThrottleConfig;
use sammen_net::accounts::Accounts;
use sammen_xmpp::wire::{Element, Jid, ns};
use sammen_xmpp::{Client, Config, Server, deliver, feature};

const PEOPLE: usize = 500;
const MESSAGES: usize = 200;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "this is what it is for")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let domain = Domain::new("example.org")?;
    let node = Node::start(Arc::new(MemoryStore::new()), Options::new(domain.clone()))?;
    let names: Vec<Name> = (0..PEOPLE)
        .map(|n| Name::new(&format!("p{n}")))
        .collect::<Result<_, _>>()?;
    let made = names.clone();
    let at = domain.clone();
    node.write(move |tx| {
        for name in &made {
            accounts::create(tx, &at, name, false)?;
        }
        Ok(())
    })
    .await?;
    let accounts =
        Accounts::open(node.clone(), Default::default(), ThrottleConfig::default()).await?;
    let server = Server::new(node.clone(), Config::default(), accounts);
    let mut clients = Vec::new();
    for name in &names {
        let signed = node
            .sign_in(SignIn {
                account: Address::account(&domain, name),
                protocol: Protocol::Xmpp,
                device: None,
                device_label: None,
                credential: None,
                stamp: None,
                label: "desk".into(),
            })
            .await?;
        let jid = Jid::new(&format!("{name}@example.org/desk"))?;
        clients.push(Client::new(
            server.clone(),
            signed.session,
            signed.device,
            jid,
            signed.seq,
        ));
    }
    let enter = feature::FEATURES
        .iter()
        .find_map(|f| f.room_presence)
        .ok_or("no rooms")?;
    let speak = feature::FEATURES
        .iter()
        .find_map(|f| f.room_message)
        .ok_or("no rooms")?;
    let start = Instant::now();
    for (client, name) in clients.iter().zip(&names) {
        let to = format!("town@rooms.example.org/{name}");
        let presence = Element::new(ns::CLIENT, "presence")
            .attr("to", to.as_str())
            .attr("from", client.jid.to_str())
            .child(Element::new(ns::MUC, "x"))
            .child(Element::new(ns::CAPS, "c").attr("ver", "d2RcR9e+/xra30Hn6CDiFqlB+/k="));
        let _ = enter(client.clone(), Jid::new(&to)?, presence).await;
    }
    let joined = start.elapsed();
    receive(&clients).await;
    let seen = start.elapsed();
    println!(
        "{PEOPLE} join: {joined:?} for entering, {seen:?} with {} presences",
        PEOPLE * (PEOPLE - 1)
    );
    let start = Instant::now();
    for n in 0..MESSAGES {
        let message = Element::new(ns::CLIENT, "message")
            .attr("type", "groupchat")
            .attr("id", format!("m{n}"))
            .attr("from", clients[0].jid.to_str())
            .child(Element::new(ns::CLIENT, "body").text("fish for supper"));
        let _ = speak(
            clients[0].clone(),
            Jid::new("town@rooms.example.org")?,
            message,
        )
        .await;
    }
    node.write(|_| Ok(())).await?;
    receive(&clients).await;
    let took = start.elapsed();
    let deliveries = PEOPLE * MESSAGES;
    println!(
        "{deliveries} deliveries: {took:?}, {:.2} µs each",
        took.as_secs_f64() * 1e6 / deliveries as f64
    );
    Ok(())
}

/// Everyone takes what waits for them.
async fn receive(clients: &[Arc<Client>]) {
    let mut deliveries = Vec::new();
    for client in clients {
        client.session.mailbox.take(&mut deliveries, usize::MAX);
        for delivery in deliveries.drain(..) {
            deliver::one(client, delivery).await;
        }
    }
}

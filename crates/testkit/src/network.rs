//! A scripted network: it delays, refuses and forgets as the play says, and has rooms that overrule us.

use std::collections::VecDeque;

use parking_lot::Mutex;
use sammen_core::network::{BoxFuture, Delivery, Network, OutboxRow, Reach};
use sammen_core::{Address, Event, NetworkName};

/// The network.
pub struct ScriptedNetwork {
    name: NetworkName,
    /// What it answers to the next rows; `Done` when nothing is left.
    script: Mutex<VecDeque<Delivery>>,
    /// What it took, in order.
    taken: Mutex<Vec<(OutboxRow, Option<Event>)>>,
    /// Whom it knows.
    known: Vec<String>,
}

impl ScriptedNetwork {
    /// A network of this name that knows these people.
    pub fn new(name: &str, known: &[&str]) -> Self {
        Self {
            name: NetworkName::new(name).expect("a network's name"),
            script: Mutex::default(),
            taken: Mutex::default(),
            known: known.iter().map(|k| (*k).to_owned()).collect(),
        }
    }

    /// Adds an answer to the script.
    pub fn will(&self, answer: Delivery) {
        self.script.lock().push_back(answer);
    }

    /// What it took, in order.
    pub fn taken(&self) -> Vec<(OutboxRow, Option<Event>)> {
        self.taken.lock().clone()
    }
}

impl Network for ScriptedNetwork {
    fn name(&self) -> NetworkName {
        self.name.clone()
    }

    fn reach<'a>(&'a self, typed: &'a str) -> BoxFuture<'a, Option<Reach>> {
        let found = self.known.iter().any(|k| k == typed).then(|| Reach {
            network: self.name.clone(),
            address: Address::remote(&self.name, typed).expect("an address"),
            confirmed: true,
        });
        Box::pin(async move { found })
    }

    fn deliver<'a>(
        &'a self,
        row: &'a OutboxRow,
        event: Option<&'a Event>,
    ) -> BoxFuture<'a, Delivery> {
        let answer = self.script.lock().pop_front().unwrap_or(Delivery::Done);
        if matches!(answer, Delivery::Done | Delivery::Unknown) {
            self.taken.lock().push((row.clone(), event.cloned()));
        }
        Box::pin(async move { answer })
    }
}

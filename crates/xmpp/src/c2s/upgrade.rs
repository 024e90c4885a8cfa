//! XEP-0480: a client that has the password brings the hash of it that the account lacks, because it moved in from a
//! server that kept another one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sammen_net::Hash;
use sammen_net::credentials::PasswordId;
use sammen_net::sasl::{Failure, Login};

use super::negotiation::Negotiation;
use super::sasl2::Proved;
use crate::wire::{Element, ns};

/// Hashes that a client can bring.
const HASHES: [Hash; 2] = [Hash::Sha256, Hash::Sha512];

/// The features (XEP-0480 §2.1). Always the same, so that they tell nothing of an account.
pub fn features() -> impl Iterator<Item = Element> {
    HASHES
        .into_iter()
        .map(|hash| Element::new(ns::SASL_UPGRADE, "upgrade").text(task(hash)))
}

/// What a client asks for.
pub fn wanted(el: &Element) -> Vec<Hash> {
    let asked = |hash: &Hash| {
        el.elements()
            .any(|e| e.is("upgrade", ns::SASL_UPGRADE) && e.content().trim() == task(*hash))
    };
    HASHES.into_iter().filter(asked).collect()
}

fn task(hash: Hash) -> String {
    format!("UPGR-SCRAM-{}", hash.name())
}

/// What became of an element.
pub enum Step {
    /// Something was said to the client.
    Said,
    /// All is there.
    Done,
}

/// The tasks of one sign-in.
pub struct Upgrade {
    /// Who is in when they are done.
    pub(super) proved: Proved,
    id: PasswordId,
    /// The first one runs.
    hashes: Vec<Hash>,
    /// The client began it.
    begun: bool,
}

impl Upgrade {
    /// Asks for the first task; `Err` where there is nothing to do.
    pub(super) async fn begin(
        stream: &mut Negotiation,
        proved: Proved,
        wanted: Vec<Hash>,
    ) -> Result<Self, Box<Proved>> {
        let Login::Password(id, _) = &proved.login else {
            return Err(Box::new(proved));
        };
        if wanted.is_empty() {
            return Err(Box::new(proved));
        }
        let id = *id;
        let accounts = &stream.server.accounts;
        let known = accounts.credentials(&proved.account).await.ok().flatten();
        let lacks = |hash: &Hash| known.as_ref().is_some_and(|c| c.lacks(id, *hash));
        let hashes: Vec<Hash> = wanted.into_iter().filter(lacks).collect();
        if hashes.is_empty() {
            return Err(Box::new(proved));
        }
        let mut this = Self {
            proved,
            id,
            hashes,
            begun: false,
        };
        this.ask(stream);
        Ok(this)
    }

    fn ask(&mut self, stream: &mut Negotiation) {
        let mut ask = Element::new(ns::SASL2, "continue");
        // XEP-0388 §2.6.3: the server's proof goes out with whatever follows the exchange.
        if let Some(data) = self.proved.data.take() {
            ask.push(Element::new(ns::SASL2, "additional-data").text(STANDARD.encode(data)));
        }
        let name = self.hashes.first().map(|hash| task(*hash));
        let task = Element::new(ns::SASL2, "task").text(name.unwrap_or_default());
        ask.push(Element::new(ns::SASL2, "tasks").child(task));
        self.begun = false;
        stream.send(&ask);
    }

    /// Takes what the client says of its task.
    pub(super) async fn element(
        &mut self,
        stream: &mut Negotiation,
        el: &Element,
    ) -> Result<Step, Failure> {
        let hash = self.hashes.first().copied().ok_or(Failure::OutOfTurn)?;
        let accounts = stream.server.accounts.clone();
        match (el.name(), self.begun) {
            ("next", false) => {
                if el.get("task") != Some(&task(hash)) {
                    return Err(Failure::Malformed("another task"));
                }
                let known = accounts.credentials(&self.proved.account).await;
                let known = known.ok().flatten().ok_or(Failure::Unavailable)?;
                let params = known.params(hash);
                let salt = Element::new(ns::SCRAM_UPGRADE, "salt")
                    .attr("iterations", params.iterations.to_string())
                    .text(STANDARD.encode(&params.salt));
                stream.send(&Element::new(ns::SASL2, "task-data").child(salt));
                self.begun = true;
                Ok(Step::Said)
            }
            ("task-data", true) => {
                let salted = el.find_text("hash", ns::SCRAM_UPGRADE);
                let salted = salted.and_then(|text| STANDARD.decode(text.trim()).ok());
                let salted = salted.filter(|s| s.len() == hash.size());
                let salted = salted.ok_or(Failure::Malformed("no hash"))?;
                let id = self.id;
                let complete = accounts.change(&self.proved.account, move |credentials| {
                    Ok(credentials.complete(id, hash, &salted))
                });
                complete.await.map_err(|_| Failure::Unavailable)?;
                self.hashes.remove(0);
                if self.hashes.is_empty() {
                    return Ok(Step::Done);
                }
                self.ask(stream);
                Ok(Step::Said)
            }
            _ => Err(Failure::OutOfTurn),
        }
    }
}

//! RFC 6120 §6: SASL on the stream; who it is says [`super::exchange`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sammen_core::Address;
use sammen_net::sasl::Success;

use super::exchange::{self, Exchange, Turn};
use super::negotiation::{Negotiation, Proven};
use crate::wire::{Element, ns};

/// Failed tries on one stream.
pub const TRIES: u32 = 5;

/// The exchange that runs, and how many failed.
#[derive(Default)]
pub struct Auth {
    exchange: Exchange,
    failed: u32,
}

impl Auth {
    /// Takes an element of the SASL namespace. `Err`: too many failures.
    pub async fn element(
        &mut self,
        stream: &mut Negotiation,
        el: &Element,
    ) -> Result<Option<Proven>, ()> {
        let exchange = &mut self.exchange;
        let turn = match el.name() {
            "auth" => {
                let mechanism = el.get("mechanism").unwrap_or_default();
                // RFC 6120 §6.4.2: no text is no initial response, `=` an empty one.
                match initial(&el.content()) {
                    Ok(initial) => {
                        let announced = stream.announcement();
                        let start =
                            exchange.start(stream, mechanism, initial.as_deref(), announced);
                        start.await
                    }
                    Err(()) => return self.incorrect(stream),
                }
            }
            "response" => {
                let Ok(message) = initial(&el.content()) else {
                    return self.incorrect(stream);
                };
                exchange.respond(stream, &message.unwrap_or_default()).await
            }
            _ => exchange.abort(stream),
        };
        match turn {
            Turn::Challenge(message) => {
                let text = STANDARD.encode(message);
                stream.send(&Element::new(ns::SASL, "challenge").text(text));
                Ok(None)
            }
            Turn::Success(success) => Ok(succeeded(stream, &success)),
            Turn::Failure(failure) => self.refused(stream, exchange::condition(failure)),
        }
    }

    fn incorrect(&mut self, stream: &mut Negotiation) -> Result<Option<Proven>, ()> {
        self.exchange.drop(stream);
        self.refused(stream, "incorrect-encoding")
    }

    fn refused(
        &mut self,
        stream: &mut Negotiation,
        condition: &'static str,
    ) -> Result<Option<Proven>, ()> {
        let failure = Element::new(ns::SASL, "failure").child(Element::new(ns::SASL, condition));
        stream.send(&failure);
        self.failed += 1;
        if self.failed >= TRIES {
            Err(())
        } else {
            Ok(None)
        }
    }
}

fn succeeded(stream: &mut Negotiation, success: &Success) -> Option<Proven> {
    let account = Address::new(&success.account).ok()?;
    let mut answer = Element::new(ns::SASL, "success");
    if let Some(data) = &success.data {
        answer.push_text(STANDARD.encode(data));
    }
    stream.send(&answer);
    Some(Proven {
        account,
        credential: success.login.credential(),
        stamp: success.stamp,
        agent: None,
    })
}

fn initial(text: &str) -> Result<Option<Vec<u8>>, ()> {
    match text.trim() {
        "" => Ok(None),
        "=" => Ok(Some(Vec::new())),
        text => STANDARD.decode(text).map(Some).map_err(|_| ()),
    }
}

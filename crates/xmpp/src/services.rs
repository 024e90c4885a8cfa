//! XEP-0215: the STUN and TURN servers that apps use for calls, with credentials that end by themselves.

use std::sync::Arc;

use sammen_net::relay::{Credentials, Service};

use crate::client::Client;
use crate::feature::{BoxFuture, Feature, IqAnswer, IqHandler};
use crate::iq::{Iq, Where};
use crate::server::Server;
use crate::time;
use crate::wire::{Condition, Element, ns};

/// The feature: announced where there are servers.
pub static FEATURE: Feature = Feature {
    name: "services",
    configured: |server, at| match at {
        Where::Server if there_are(server) => &[ns::EXTDISCO],
        _ => &[],
    },
    iqs: &[
        IqHandler {
            name: "services",
            ns: ns::EXTDISCO,
            get: true,
            set: false,
            at: &[Where::Server],
            handle: services,
        },
        IqHandler {
            name: "credentials",
            ns: ns::EXTDISCO,
            get: true,
            set: false,
            at: &[Where::Server],
            handle: credentials,
        },
    ],
    ..Feature::NONE
};

fn there_are(server: &Server) -> bool {
    !server.config.get().relays.services.is_empty()
}

/// §3.1, §3.2: all of them, or those of a type. Old credentials stay good for their time, so nothing is pushed.
fn services(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        if !there_are(&client.server) {
            return Err(Condition::ServiceUnavailable.into());
        }
        let wanted = iq.get("type");
        let config = client.server.config.get();
        let relays = &config.relays;
        let made = relays.credentials(&client.account, client.node.now());
        let fit = relays.services.iter();
        let fit = fit.filter(|s| wanted.is_none_or(|w| w == s.kind.name()));
        Ok(Some(
            Element::new(ns::EXTDISCO, "services")
                .attr_opt("type", wanted)
                .children(fit.map(|s| element(s, made.as_ref()))),
        ))
    })
}

/// §3.3: for one server that the app knows already.
fn credentials(client: Arc<Client>, iq: Iq) -> BoxFuture<IqAnswer> {
    Box::pin(async move {
        let asked = iq.child.find("service", ns::EXTDISCO);
        let asked = asked.ok_or_else(|| Iq::bad("which service"))?;
        let (Some(host), Some(kind)) = (asked.get("host"), asked.get("type")) else {
            return Err(Iq::bad("a service has a host and a type"));
        };
        let port = asked.get("port");
        let config = client.server.config.get();
        let relays = &config.relays;
        let made = relays.credentials(&client.account, client.node.now());
        let fits = |s: &&Service| {
            s.host.eq_ignore_ascii_case(host)
                && s.kind.name() == kind
                && port.is_none_or(|port| port == s.port.to_string())
        };
        let found: Vec<Element> = relays
            .services
            .iter()
            .filter(fits)
            .map(|s| element(s, made.as_ref()))
            .collect();
        if found.is_empty() {
            return Err(Condition::ItemNotFound.into());
        }
        Ok(Some(iq.child.shell().children(found)))
    })
}

fn element(service: &Service, made: Option<&Credentials>) -> Element {
    let told = Element::new(ns::EXTDISCO, "service")
        .attr("type", service.kind.name())
        .attr("host", service.host.as_str())
        .attr("port", service.port.to_string())
        .attr("transport", service.transport.name());
    let Some(made) = made.filter(|_| service.kind.is_restricted()) else {
        return told;
    };
    told.attr("restricted", "1")
        .attr("username", made.username.as_str())
        .attr("password", made.password.expose())
        .attr("expires", time::stamp(made.expires))
}

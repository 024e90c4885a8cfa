//! The cards that `sammen try` prints: for each client the exact words to type.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::config::{Config, Security};
use crate::run::Running;
use crate::trial::Person;

/// What a client has to know.
struct Known<'a> {
    domain: &'a str,
    ca: String,
    c2s: u16,
    direct_tls: u16,
    irc_tls: u16,
    irc_plain: u16,
    http: String,
    metrics: String,
    alice: &'a Person,
    bob: &'a Person,
}

fn port(list: &[(Security, SocketAddr)], security: Security) -> u16 {
    let found = list.iter().find(|(s, _)| *s == security);
    found.map_or(0, |(_, address)| address.port())
}

/// All cards.
pub fn cards(config: &Config, running: &Running, people: &[Person], kept: bool) -> String {
    let [alice, bob, ..] = people else {
        return String::new();
    };
    let addresses = &running.addresses;
    let authority = running.tls.authority().unwrap_or_default();
    let known = Known {
        domain: config.domain.as_str(),
        ca: authority.display().to_string(),
        c2s: port(&addresses.xmpp, Security::Plain),
        direct_tls: port(&addresses.xmpp, Security::Tls),
        irc_tls: port(&addresses.irc, Security::Tls),
        irc_plain: port(&addresses.irc, Security::Plain),
        http: crate::protocols::http_url(config, addresses).unwrap_or_default(),
        metrics: addresses
            .metrics
            .first()
            .map_or_else(String::new, ToString::to_string),
        alice,
        bob,
    };
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = render(&mut out, &known, &config.data.display().to_string(), kept);
    out
}

fn render(out: &mut String, k: &Known<'_>, data: &str, kept: bool) -> std::fmt::Result {
    let Known {
        domain,
        ca,
        c2s,
        direct_tls,
        irc_tls,
        irc_plain,
        alice,
        bob,
        ..
    } = k;
    let (alice_pw, bob_pw) = (&alice.password, &bob.password);
    writeln!(
        out,
        "Sammen runs on this computer. Two people live here, and a room that both can enter:\n
    alice@{domain}   password {alice_pw}
    bob@{domain}     password {bob_pw}
    the room: town@rooms.{domain} on XMPP, #town on IRC

The certificate is the node's own: {ca}
Choose one card for Alice and one for Bob, and type what stands there.\n"
    )?;
    card(
        out,
        "Profanity (XMPP, as Alice): start `profanity`, then",
        &[
            &format!("/connect alice@{domain} server 127.0.0.1 port {c2s} tls trust"),
            &format!("     its password prompt: {alice_pw}"),
            // In the window of a room it would be for somebody in there.
            &format!("/msg bob@{domain} hello Bob"),
            &format!("/join town@rooms.{domain}"),
        ],
    )?;
    card(
        out,
        "WeeChat (IRC, as Bob): start `weechat`, then",
        &[
            &format!("/set weechat.network.gnutls_ca_user {ca}"),
            // 3.8, as Debian 12 has it, calls TLS ssl.
            &format!("/server add sammen localhost/{irc_tls} -ssl"),
            "/set irc.server.sammen.ipv6 off",
            "/set irc.server.sammen.nicks bob",
            "/set irc.server.sammen.sasl_mechanism plain",
            "/set irc.server.sammen.sasl_username bob",
            &format!("/set irc.server.sammen.sasl_password {bob_pw}"),
            "/connect sammen",
            "/join #town",
            "/query alice hello Alice",
            "     (WeeChat 4 and later: -tls in place of -ssl)",
        ],
    )?;
    card(
        out,
        "irssi (IRC, as Bob): start `irssi`, then",
        &[
            &format!(
                "/network add -sasl_mechanism PLAIN -sasl_username bob -sasl_password {bob_pw} -nick bob sammen"
            ),
            &format!(
                "/server add -network sammen -tls -tls_verify -tls_cafile {ca} -4 localhost {irc_tls}"
            ),
            "/connect sammen",
            "/join #town",
        ],
    )?;
    card(
        out,
        "Any other IRC client (as Bob)",
        &[
            &format!(
                "server localhost, port {irc_tls} with TLS, or 127.0.0.1, port {irc_plain} without"
            ),
            &format!("nick bob, SASL PLAIN or SCRAM-SHA-256: user bob, password {bob_pw}"),
            "no SASL? The server password does it too, as bob:PASSWORD",
        ],
    )?;
    card(
        out,
        "Gajim (XMPP, as Alice)",
        &[
            &format!(
                "address alice@{domain}, password {alice_pw}, Advanced Settings, custom hostname:"
            ),
            &format!("127.0.0.1, port {c2s}, type START TLS (or port {direct_tls}, type TLS)"),
            "it shows a certificate that it does not know: accept it",
        ],
    )?;
    card(
        out,
        "Dino (XMPP, as Alice)",
        &[
            "it asks for no port: start the node with `sammen try --ports 5222`, then",
            &format!("address alice@{domain} and the password are enough"),
        ],
    )?;
    card(
        out,
        "Conversations and other XMPP apps (as Alice)",
        &[
            &format!("address alice@{domain}, password {alice_pw}"),
            &format!("hostname 127.0.0.1, port {c2s} (STARTTLS) or {direct_tls} (direct TLS)"),
            "a phone does not reach this computer's loopback: use an emulator, or `adb reverse`",
        ],
    )?;
    card(
        out,
        "Element and other Matrix apps (as Alice)",
        &[
            &format!("homeserver {}, user alice, password {alice_pw}", k.http),
            "the app, or the browser that it runs in, has to trust the certificate named above",
            &format!("the room is #town:{domain}, Bob is @bob:{domain}"),
        ],
    )?;
    card(
        out,
        "slixmpp (Python, as Alice)",
        &[
            "import slixmpp",
            &format!("me = slixmpp.ClientXMPP('alice@{domain}', '{alice_pw}')"),
            &format!("me.ssl_context.load_verify_locations('{ca}')"),
            "me.enable_direct_tls = False",
            "async def hello(_): me.send_presence(); me.send_message(f'bob@{me.boundjid.domain}', 'hello Bob', mtype='chat')",
            "me.add_event_handler('session_start', hello)",
            &format!("me.connect('127.0.0.1', {c2s}); me.loop.run_forever()"),
        ],
    )?;
    writeln!(
        out,
        "Also here: {} (the node's own page for a browser, files, WebSocket), http://{}/metrics\nAdministration: sammen account list --data {data}\nCtrl-C ends it{}.",
        k.http,
        k.metrics,
        if kept {
            "; accounts and messages stay in that folder"
        } else {
            " and removes everything; with --data DIR it stays"
        }
    )
}

fn card(out: &mut String, title: &str, lines: &[&str]) -> std::fmt::Result {
    writeln!(out, "-- {title}")?;
    for line in lines {
        writeln!(out, "    {line}")?;
    }
    writeln!(out)
}

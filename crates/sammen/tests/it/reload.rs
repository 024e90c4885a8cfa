//! What an operator changes in the configuration holds after SIGHUP, without anybody losing their connection.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::node::{Node, folder, told};

/// An XMPP connection in clear text, as it comes on the wire.
struct Wire(TcpStream, String);

impl Wire {
    /// Signs in. `token` is "\0name\0password" in Base64.
    fn signs_in(address: &str, token: &str) -> Self {
        let mut wire = Self(TcpStream::connect(address).unwrap(), String::new());
        let open = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>";
        wire.says(open, "</stream:features>");
        let auth = format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{token}</auth>"
        );
        wire.says(&auth, "<success");
        wire.says(open, "</stream:features>");
        wire.says(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            "</iq>",
        );
        wire
    }

    /// Sends, and reads until this has come; gives what was read since.
    fn says(&mut self, what: &str, until: &str) -> String {
        self.0.write_all(what.as_bytes()).unwrap();
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.1.find(until) {
                let rest = self.1.split_off(at + until.len());
                return std::mem::replace(&mut self.1, rest);
            }
            let n = self.0.read(&mut buffer).unwrap();
            assert!(n > 0, "it ended after {}", self.1);
            self.1.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    }
}

#[test]
fn settings_of_xmpp_and_limits_change_while_people_are_connected() {
    let (temporary, data) = folder();
    let config = temporary.path().join("sammen.toml");
    let text = |xmpp: &str, limits: &str, irc: &str| {
        let any = "address = '127.0.0.1:0', security = 'plain'";
        format!(
            "domain = 'example.org'\ndata = '{}'\n[xmpp]\nlisten = [{{ {any} }}]\ns2s = {{ listen = [] }}\n{xmpp}\n\
             [irc]\nlisten = [{irc}]\n[http]\nlisten = []\n[metrics]\nlisten = []\n[limits]\n{limits}\n",
            data.display()
        )
    };
    std::fs::write(&config, text("", "", "")).unwrap();
    let node = Node::serves(&config);
    let ready = node.card.as_str().unwrap().to_owned();
    let address = ready.rsplit("xmpp ").next().unwrap().to_owned();
    told(&data, "account add alice --stdin", "correct horse\n");
    let mut alice = Wire::signs_in(&address, "AGFsaWNlAGNvcnJlY3QgaG9yc2U=");
    let question = "<iq type='get' id='d' to='example.org'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
    assert!(!alice.says(question, "</iq>").contains("abuse"));

    let xmpp = "abuse_addresses = ['mailto:abuse@example.org']\nresume_seconds = 77";
    let listener = "{ address = '127.0.0.1:0', security = 'plain' }";
    let new = text(xmpp, "text_kib = 1\nconnections_per_address = 1", listener);
    std::fs::write(&config, new).unwrap();
    node.signal("HUP");
    // Asked again until it is there: there is no other sign of a reload than what it changes.
    while !alice
        .says(question, "</iq>")
        .contains("mailto:abuse@example.org")
    {}
    let enabled = alice.says("<enable xmlns='urn:xmpp:sm:3' resume='true'/>", "<enabled ")
        + &alice.says("", ">");
    assert!(enabled.contains("max='77'"), "{enabled}");
    let long = format!(
        "<message to='alice@example.org' id='m'><body>{}</body></message>",
        "x".repeat(1500)
    );
    assert!(alice.says(&long, "</error>").contains("id='m'"));
    // A second connection from here is one too many now; the first goes on.
    let mut second = TcpStream::connect(&address).unwrap();
    assert_eq!(second.read(&mut [0; 64]).unwrap_or(0), 0);
    alice.says(question, "</iq>");
    // The listener needs a restart, and the log says so.
    node.logged("irc.listen changed: restart the node");
}

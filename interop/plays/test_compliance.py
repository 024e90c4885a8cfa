"""XEP-0479 (Compliance Suites 2023), level Advanced, column Server, line by line; and what Conversations' compliance tester
looks for beside it. Each line is a play, and docs/standards.md must say the same as the plays.

A line that the node does not meet yet is a strict xfail with the reason: once it holds, it fails until the mark is taken away.
"""

import base64
import hashlib
import json
import re
import socket
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import befriend

from drivers.component import Component
from drivers.person import words
from drivers.programs import free_ports
from drivers.served import Served
from drivers.slix import Refused, Slixmpp
from drivers.xmppjs import XmppJs

pytestmark = pytest.mark.sammen

STANDARDS = Path(__file__).resolve().parents[2] / "docs" / "standards.md"
LINES = []


def line(suite: str, feature: str, *standards: str, missing: str | None = None):
    """Registers a play as the line of a table; `missing` says why the node does not meet it yet."""

    def register(play):
        marks = [pytest.mark.xfail(strict=True, reason=missing, raises=(AssertionError, Refused, pytest.fail.Exception))] if missing else []
        name = f"{suite}-{feature}".replace(" ", "_")
        LINES.append(pytest.param(standards, missing, play, id=name, marks=marks))
        return play

    return register


class Town:
    """A node with alice, who has a phone and a desk, and bob, her contact."""

    def __init__(self):
        calls = '[calls]\nservers = [{ type = "stun", host = "127.0.0.1", port = 3478, transport = "udp" }]'
        (door,) = free_ports(1)
        components = (
            f'components = {{ listen = [{{ address = "127.0.0.1:{door}", security = "plain" }}], '
            'known = { "echo.localhost" = { secret = "component-secret" } } }'
        )
        self.node = Served(calls, sections={"xmpp": f'abuse_addresses = ["mailto:abuse@localhost"]\n{components}'})
        self.node.components = door
        self.node.runs("room", "create", "town")
        self.people = []
        befriend(self.node, "alice", "bob")

    def person(self, name: str, device: str, driver=Slixmpp, **options):
        self.people.append(driver(self.node, name, device, **options))
        return self.people[-1]

    def __getattr__(self, name: str):
        """`alice` and `bob` are made when a play first needs them; `phone` is alice's other device."""
        if name not in ("alice", "bob", "phone"):
            raise AttributeError(name)
        one = self.person("alice" if name == "phone" else name, "desk" if name != "phone" else "phone")
        setattr(self, name, one)
        return one

    def server(self) -> set[str]:
        return self.alice.features(self.node.domain)

    def account(self) -> set[str]:
        return self.alice.features(f"alice@{self.node.domain}")

    def items(self) -> list[str]:
        answer = self.alice.asks("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", to=self.node.domain)
        return [i.get("jid") for i in answer.iter("{http://jabber.org/protocol/disco#items}item")]

    def stream_features(self) -> str:
        """The features after sign-in, as the desk saw them."""
        self.alice.roster()
        seen = [text for text in self.alice.transcript(4000).splitlines() if "stream:features" in text]
        return seen[-1]


@pytest.fixture(scope="module")
def town():
    town = Town()
    yield town
    for one in reversed(town.people):
        one.ends()
    town.node.stop()


# --- Core


@line("Core", "core features", "RFC 6120")
def core(town):
    """A stream, SASL, a resource, and an error for what nobody understands."""
    assert town.alice.client.boundjid.full == f"alice@{town.node.domain}/desk"
    with pytest.raises(Refused, match="service-unavailable"):
        town.alice.asks("get", "<nothing xmlns='urn:example:nothing'/>", to=town.node.domain)


@line("Core", "servers to servers", "XEP-0220")
def servers(town):
    """A domain that nobody can reach is answered as such; what goes on between servers have plays of their own."""
    with pytest.raises(Refused, match="remote-server-(not-found|timeout)"):
        town.alice.asks("get", "<ping xmlns='urn:xmpp:ping'/>", to="nowhere.invalid")


@line("Core", "TLS", "RFC 7590")
def tls(town):
    """STARTTLS with a certificate that holds for the domain, TLS 1.2 at least, and no password before it."""
    with socket.create_connection(("127.0.0.1", town.node.xmpp), 10) as plain:
        plain.sendall(b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
        features = b""
        while b"</stream:features>" not in features:
            features += plain.recv(4096)
        assert b"<starttls" in features
        plain.sendall(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        assert b"proceed" in plain.recv(4096)
        with town.node.tls().wrap_socket(plain, server_hostname=town.node.domain) as secure:
            assert secure.version() in ("TLSv1.2", "TLSv1.3")


@line("Core", "direct TLS", "XEP-0368")
def direct_tls(town):
    context = town.node.tls()
    context.set_alpn_protocols(["xmpp-client"])
    with (
        socket.create_connection(("127.0.0.1", town.node.xmpp_tls), 10) as plain,
        context.wrap_socket(plain, server_hostname=town.node.domain) as secure,
    ):
        assert secure.selected_alpn_protocol() == "xmpp-client"
    town.person("alice", "direct", direct_tls=True)


@line("Core", "feature discovery", "XEP-0030")
def disco(town):
    answer = town.alice.asks("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", to=town.node.domain)
    identity = answer.find(".//{http://jabber.org/protocol/disco#info}identity")
    assert (identity.get("category"), identity.get("type")) == ("server", "im")
    assert town.node.rooms_domain in town.items()


@line("Core", "feature broadcasts", "XEP-0115")
def caps(town):
    """The node says what it can do as a stream feature; the hash is that of its disco#info (XEP-0115 §5.1)."""
    told = re.search(r"<c [^>]*jabber.org/protocol/caps[^>]*>", town.stream_features())
    assert told, "no <c/> in the stream's features"
    ver = re.search(r'ver="([^"]+)"', told[0])[1]
    node = re.search(r'node="([^"]+)"', told[0])[1]
    info = "{http://jabber.org/protocol/disco#info}"
    answer = town.alice.asks("get", f"<query xmlns='http://jabber.org/protocol/disco#info' node='{node}#{ver}'/>", to=town.node.domain)
    query = answer.find(f"{info}query")
    text = "".join(
        f"{i.get('category')}/{i.get('type')}/{i.get('{http://www.w3.org/XML/1998/namespace}lang', '')}/{i.get('name', '')}<"
        for i in sorted(query.iter(f"{info}identity"), key=lambda i: (i.get("category"), i.get("type")))
    )
    text += "".join(f"{var}<" for var in sorted(f.get("var") for f in query.iter(f"{info}feature")))
    data = "{jabber:x:data}"
    for form in query.iter(f"{data}x"):
        values = {f.get("var"): sorted(v.text or "" for v in f.iter(f"{data}value")) for f in form.iter(f"{data}field")}
        text += values.pop("FORM_TYPE")[0] + "<"
        text += "".join(f"{var}<" + "".join(f"{v}<" for v in values[var]) for var in sorted(values))
    assert base64.b64encode(hashlib.sha1(text.encode()).digest()).decode() == ver


@line("Core", "server extensibility", "XEP-0114")
def components(town):
    """Both ways, presence too; what is sent while it is away waits."""
    echo = Component(town.node, "echo.localhost", "component-secret")
    assert "echo.localhost" in town.items()
    town.alice.says("bot@echo.localhost", text := words("hello"))
    town.alice.hears(f"you said {text}", who="bot@echo.localhost")
    town.alice.sends("<presence to='bot@echo.localhost' type='subscribe'/>")
    town.alice.sees("subscribed", who="bot@echo.localhost")
    # It speaks for itself alone.
    echo.sends("<message from='bob@localhost' to='alice@localhost'><body>forged</body></message>")
    echo.is_sent_away()
    town.alice.says("bot@echo.localhost", text := words("while you were away"))
    with pytest.raises(Refused, match="service-unavailable"):
        town.alice.asks("get", "<ping xmlns='urn:xmpp:ping'/>", "echo.localhost")
    assert not Component(town.node, "echo.localhost", "wrong", waits=False).is_in(5)
    echo = Component(town.node, "echo.localhost", "component-secret")
    town.alice.hears(f"you said {text}", who="bot@echo.localhost")
    assert not town.alice.find("message", text="forged")
    echo.ends()


@line("Core", "event publishing", "XEP-0163")
def pep(town):
    """What alice publishes comes to bob, who said `+notify`."""
    tune = "<tune xmlns='http://jabber.org/protocol/tune'><title>{}</title></tune>"
    bob = town.person("bob", "listener", online=False)
    bob.client.plugin["xep_0163"].add_interest("http://jabber.org/protocol/tune")
    bob.sends("<presence/>")
    bob.client.plugin["xep_0115"]
    title = words("a tune")
    town.alice.publishes("http://jabber.org/protocol/tune", tune.format(title))
    assert title in ET.tostring(town.bob.items("http://jabber.org/protocol/tune", "alice")["current"], "unicode")


# --- Web


@line("Web", "WebSocket", "RFC 7395")
def websocket(town):
    browser = town.person("alice", "browser", XmppJs, web=True)
    browser.sends("presence", {}, ["priority", None, "5"])
    browser.asks("get", ["ping", {"xmlns": "urn:xmpp:ping"}])
    town.bob.says("alice", text := words("to the browser"))
    browser.hears(text)


@line("Web", "BOSH", "XEP-0124, 0206")
def bosh(town):
    body = b"<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost' wait='5' hold='1' ver='1.6' xml:lang='en'/>"
    url = town.node.http.rstrip("/") + "/http-bind"
    status, answer = town.alice.http("POST", url, body, {"Content-Type": "text/xml; charset=utf-8"})
    assert status == 200 and b"sid=" in answer


@line("Web", "connection discovery", "XEP-0156")
def host_meta(town):
    base = town.node.http.rstrip("/")
    status, answer = town.alice.http("GET", f"{base}/.well-known/host-meta.json")
    assert status == 200
    links = {link["rel"]: link["href"] for link in json.loads(answer)["links"]}
    assert links["urn:xmpp:alt-connections:websocket"].startswith("wss://")
    status, answer = town.alice.http("GET", f"{base}/.well-known/host-meta")
    assert status == 200 and b"urn:xmpp:alt-connections:websocket" in answer


# --- IM


@line("IM", "core features", "RFC 6121")
def im(town):
    assert town.alice.roster()["bob"] == "both"
    town.alice.says("bob", text := words("hello"))
    town.bob.hears(text, who="alice")


PICTURE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")


@line("IM", "user avatar compatibility", "XEP-0398", "XEP-0153")
def avatars(town):
    """A picture published by PEP (0084) is the vCard's (0054) and its hash stands in presence (0153)."""
    assert "urn:xmpp:pep-vcard-conversion:0" in town.account()
    town.alice.sets_avatar(PICTURE)
    vcard = town.bob.vcard("alice")
    assert base64.b64decode(vcard.findtext(".//{vcard-temp}BINVAL")) == PICTURE
    sha1 = hashlib.sha1(PICTURE).hexdigest()
    watcher = town.person("bob", "watcher")
    watcher.waits("the hash in presence", lambda: any("<presence" in t and sha1 in t for t in watcher.transcript(500).splitlines()))


@line("IM", "vcard-temp", "XEP-0054")
def vcard(town):
    assert "vcard-temp" in town.server() | town.account()
    town.alice.sets_vcard(name := words("Alice"))
    assert town.bob.vcard("alice").findtext("{vcard-temp}FN") == name


@line("IM", "outbound message synchronization", "XEP-0280")
def carbons(town):
    assert "urn:xmpp:carbons:2" in town.server()
    phone = town.phone
    town.alice.says("bob", text := words("to be copied"))
    assert phone.hears(text, where="bob").copy


@line("IM", "user blocking", "XEP-0191")
def blocking(town):
    assert "urn:xmpp:blocking" in town.server()
    bob = town.bob
    town.alice.blocks("bob")
    try:
        assert "bob" in " ".join(town.alice.blocked())
        bob.says("alice", lost := words("nobody hears"))
        bob.roster()
    finally:
        town.alice.unblocks("bob")
    bob.says("alice", text := words("heard again"))
    town.alice.hears(text)
    town.alice.heard_never(lost)


@line("IM", "group chat", "XEP-0045", "XEP-0249")
def rooms(town):
    assert "http://jabber.org/protocol/muc" in town.alice.features(town.node.rooms_domain)
    town.alice.joins("#town")
    town.alice.invites("#town", "bob", direct=True)
    assert town.bob.sees("invite", who="alice")
    town.bob.joins("#town")
    town.alice.says("#town", text := words("in the room"))
    town.bob.hears(text, where="#town", who="alice")


@line("IM", "bookmarks", "XEP-0048", "XEP-0402")
def bookmarks(town):
    """What one app keeps as PEP item another reads from private storage (`#compat`)."""
    assert "urn:xmpp:bookmarks:1#compat" in town.account()
    town.alice.sets_bookmark("#town")
    old = town.alice.asks("get", "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>")
    found = [c.get("jid") for c in old.iter("{storage:bookmarks}conference")]
    assert town.node.jid("#town") in found


@line("IM", "archive of rooms", "XEP-0313")
def room_archive(town):
    assert "urn:xmpp:mam:2" in town.alice.features(town.node.jid("#town"))
    town.alice.joins("#town")
    town.alice.says("#town", text := words("to be kept"))
    assert any(s.text == text for s in town.alice.history("#town"))


@line("IM", "self-ping", "XEP-0410")
def self_ping(town):
    town.alice.joins("#town")
    town.alice.self_pings("#town")
    me = town.node.jid("#town/alice")
    with pytest.raises(Refused, match="not-acceptable"):
        town.person("alice", "outside").asks("get", "<ping xmlns='urn:xmpp:ping'/>", to=me.replace("#", ""))


@line("IM", "private data via PubSub", "XEP-0222, 0223")
def private_data(town):
    """Options come with the item; nobody else reads it, and it is there after signing in again."""
    town.alice.publishes("urn:example:private", "<x xmlns='urn:example:private'/>", access="whitelist")
    assert "current" in town.alice.items("urn:example:private")
    with pytest.raises(Refused):
        town.bob.items("urn:example:private", "alice")


@line("IM", "private XML storage", "XEP-0049")
def private_xml(town):
    kept = "<query xmlns='jabber:iq:private'><x xmlns='urn:example:kept'>{}</x></query>"
    town.alice.asks("set", kept.format(text := words("kept")))
    assert text in ET.tostring(town.alice.asks("get", kept.format("")), "unicode")


@line("IM", "stream management", "XEP-0198")
def stream_management(town):
    assert "urn:xmpp:sm:3" in town.stream_features()
    mobile = town.person("alice", "mobile")
    mobile.loses_connection()
    town.bob.says("alice", text := words("in the tunnel"))
    assert mobile.comes_again() == "resumed"
    mobile.hears(text)
    mobile.heard_once(text)


@line("IM", "history", "XEP-0313")
def history(town):
    assert {"urn:xmpp:mam:2", "urn:xmpp:mam:2#extended"} <= town.account()
    town.bob.says("alice", text := words("for later"))
    town.alice.hears(text)
    assert any(s.text == text for s in town.alice.history("bob"))


@line("IM", "file upload", "XEP-0363")
def upload(town):
    url = town.alice.uploads("hello.txt", data := words("a file").encode())
    status, got = town.bob.http("GET", url)
    assert (status, got) == (200, data)


# --- Mobile


@line("Mobile", "stream management", "XEP-0198")
def resumption(town):
    assert "urn:xmpp:sm:3" in town.stream_features()


@line("Mobile", "client state", "XEP-0352")
def client_state(town):
    """Presence waits while nobody looks; messages never do."""
    assert "urn:xmpp:csi:0" in town.stream_features()
    # An app that asks nobody anything by itself: an answer takes along what waits.
    pocket = town.person("alice", "pocket", XmppJs)
    pocket.sends("presence", {}, ["priority", None, "9"])
    pocket.sends("inactive", {"xmlns": "urn:xmpp:csi:0"})
    pocket.asks("get", ["ping", {"xmlns": "urn:xmpp:ping"}])
    status = words("waits")
    seen = lambda: any(status in t for t in pocket.transcript(500).splitlines() if " < " in t)  # noqa: E731
    town.bob.goes_away(status)
    town.alice.waits("the new status", lambda: any(status in t for t in town.alice.transcript(500).splitlines()))
    assert not seen(), f"presence came while nobody looks\n{pocket.transcript(12)}"
    town.bob.says("alice", text := words("does not wait"))
    pocket.hears(text)
    assert seen(), "what waited comes with the message"
    pocket.ends()


@line("Mobile", "push", "XEP-0357", missing="push is being built")
def push(town):
    assert "urn:xmpp:push:0" in town.account()


# --- A/V


@line("AV", "STUN and TURN discovery", "XEP-0215")
def external_services(town):
    answer = town.alice.asks("get", "<services xmlns='urn:xmpp:extdisco:2'/>", to=town.node.domain)
    told = answer.find("{urn:xmpp:extdisco:2}services/{urn:xmpp:extdisco:2}service")
    assert (told.get("type"), told.get("port")) == ("stun", "3478")


# --- Conversations' compliance tester, what is not above


@line("Tester", "roster versioning", "RFC 6121")
def roster_versioning(town):
    assert "urn:xmpp:features:rosterver" in town.stream_features()
    answer = town.alice.asks("get", "<query xmlns='jabber:iq:roster' ver=''/>")
    ver = answer.find("{jabber:iq:roster}query").get("ver")
    assert ver
    again = town.alice.asks("get", f"<query xmlns='jabber:iq:roster' ver='{ver}'/>")
    assert again.find("{jabber:iq:roster}query") is None, "nothing is new"


@line("Tester", "bookmark conversion", "XEP-0402")
def bookmark_conversion(town):
    """XEP-0411's successor is announced, and an old bookmark becomes a PEP item."""
    town.alice.asks(
        "set",
        "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>"
        f"<conference jid='{town.node.jid('#town')}' autojoin='true'/></storage></query>",
    )
    assert any("town" in room for room in town.alice.bookmarks())


@line("Tester", "OMEMO readiness", "XEP-0163")
def omemo_ready(town):
    """publish-options are preconditions, and an open node is read by a stranger to the roster."""
    assert "http://jabber.org/protocol/pubsub#publish-options" in town.account()
    devices = "eu.siacs.conversations.axolotl.devicelist"
    town.alice.publishes(devices, "<list xmlns='eu.siacs.conversations.axolotl'/>", access="open")
    with pytest.raises(Refused, match="conflict"):
        town.alice.publishes(devices, "<list xmlns='eu.siacs.conversations.axolotl'/>", access="whitelist")
    assert town.bob.items(devices, "alice")


@line("Tester", "offline messages", "XEP-0160")
def offline(town):
    carol = "bob"
    for one in [p for p in town.people if p.name == carol]:
        one.ends()
        town.people.remove(one)
    town.__dict__.pop(carol, None)
    town.alice.says(carol, text := words("while you were out"))
    town.alice.roster()
    assert not town.bob.hears(text).live


@line("Tester", "upload from web pages", "XEP-0363")
def upload_cors(town):
    url = town.alice.uploads("page.txt", b"for a page")
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
    status, _ = town.alice.http("OPTIONS", url, None, headers)
    assert status in (200, 204)


@line("Tester", "contact for abuse", "XEP-0157")
def abuse(town):
    answer = town.alice.asks("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", to=town.node.domain)
    fields = {f.get("var") for f in answer.iter("{jabber:x:data}field")}
    assert "abuse-addresses" in fields


@line("Tester", "proxy", "XEP-0065", missing="the SOCKS5 proxy is being built")
def proxy(town):
    kinds = set()
    for jid in town.items():
        answer = town.alice.asks("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", to=jid)
        kinds |= {(i.get("category"), i.get("type")) for i in answer.iter("{http://jabber.org/protocol/disco#info}identity")}
    assert ("proxy", "bytestreams") in kinds


@line("Tester", "changing the password", "XEP-0077")
def register(town):
    answer = town.alice.asks("get", "<query xmlns='jabber:iq:register'/>", to=town.node.domain)
    assert answer.find(".//{jabber:iq:register}registered") is not None


@line("Tester", "signing in with one element", "XEP-0388", "XEP-0386", "XEP-0484")
def sasl2(town):
    app = town.person("alice", "app", XmppJs)
    assert app.answers("success", "bound")
    app.waits("a token", lambda: app.token)


@pytest.mark.parametrize(("standards", "gap", "play"), LINES)
def test_line(request, town, standards, gap, play):
    request.node.people = [town.people, town.node]
    play(town)


def rows() -> dict[str, str]:
    """docs/standards.md: what each standard is said to be."""
    cells = [[c.strip() for c in row.strip("|").split("|")] for row in STANDARDS.read_text().splitlines() if row.startswith("| ")]
    return {row[0]: row[3] for row in cells if len(row) == 6}


@pytest.mark.parametrize(("standards", "gap"), [p.values[:2] for p in LINES], ids=[p.id for p in LINES])
def test_the_page_of_standards_says_the_same(standards, gap):
    said = rows()
    for standard in standards:
        assert standard in said, f"no row {standard}"
        if not gap:
            assert said[standard] in ("yes", "partial"), f"{standard} works, and the page says {said[standard]}"
    if gap:
        assert any(said[s] != "yes" for s in standards), f"{standards}: the page promises what is missing"

"""The page and the world outside: what links lead to, and how people get back in."""

import base64
import datetime
import ipaddress
import json
import os
import re
import socket
import ssl
import struct
import zlib

import http_ece
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from drivers.page import Page
from drivers.person import until, words
from drivers.rawirc import RawIrc
from drivers.website import Website


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((x % 256, 90, 120)[i] for x in range(width) for i in range(3)) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.fixture
def website():
    sites = []

    def open_(*pages, **options):
        sites.append(Website(*pages, **options))
        return sites[-1]

    yield open_
    for site in sites:
        site.ends()


@pytest.fixture
def enter(cast, browser):
    people = []

    def come(place, name, device="browser", **options):
        people.append(cast(Page, place, name, device, browser=browser, **options))
        return people[-1]

    yield come
    assert [fault for one in people for fault in one.faults] == []


def test_a_link_is_shown_with_what_the_node_found(serves, cast, enter, website):
    page = b"""<!doctype html><title>no</title><meta property="og:title" content="Bread &amp; &lt;b&gt;butter&lt;/b&gt;">
        <meta property="og:description" content="How it is baked"><meta property="og:image" content="/loaf.png">"""
    site = website({"/bread": ("text/html", page), "/loaf.png": ("image/png", png(900, 600))})
    node = serves(f'[fetch]\nallow = ["127.0.0.1/32"]\nports = [{site.port}]')
    alice, bob = enter(node, "alice"), cast(RawIrc, node, "bob")
    bob.joins("#town")
    alice.joins("#town")
    bob.says("#town", text := f"{words('look')} {site.url}/bread, good")
    alice.hears(text, where="#town", who="bob")
    card = alice.line(text).locator("a.preview")
    card.wait_for()
    said = card.inner_text()
    assert "Bread & <b>butter</b>" in said and "How it is baked" in said
    assert card.get_attribute("href") == f"{site.url}/bread"
    picture = card.locator("img")
    assert picture.get_attribute("src").startswith("/api/v1/previews/")
    until("the picture", lambda: picture.evaluate("it => it.complete && it.naturalWidth") == 480, transcript=alice.transcript)
    # The node asked, once, and nobody's browser did.
    assert site.paths() == ["/bread", "/loaf.png"]
    assert all(head["user-agent"].startswith("Sammen/") and "cookie" not in head for _, _, head, _ in site.asked)
    # Who wants none asks for none.
    alice.goes("settings/look")
    alice.tab.get_by_role("switch", name="Show what links lead to").click()
    bob.says("#town", quiet := f"{words('again')} {site.url}/other")
    alice.goes("")
    alice.opens("#town")
    alice.hears(quiet, where="#town", who="bob")
    alice.tab.reload()
    alice.where = None
    alice.opens("#town")
    alice.hears(quiet, where="#town", who="bob")
    assert alice.tab.locator("a.preview").count() == 0 and "/other" not in site.paths()


def test_links_do_not_lead_into_the_house(serves, cast, enter, website):
    """Nothing of this computer is fetched on a stranger's word, by whichever name, and no redirect leads there."""
    inside = website({"/secret": ("text/html", b"<title>secret</title>")})
    outside = website({"/away": lambda *_: (302, {"Location": f"{inside.url}/secret"}, b"")}, host="127.0.0.2")
    node = serves(f'[fetch]\nallow = ["127.0.0.2/32"]\nports = [{inside.port}, {outside.port}]')
    alice, bob = enter(node, "alice"), cast(RawIrc, node, "bob")
    bob.joins("#town")
    alice.joins("#town")
    links = [f"http://{host}:{inside.port}/secret" for host in ("127.0.0.1", "localhost", "[::1]", "2130706433")]
    links += [f"{outside.url}/away", "http://169.254.169.254/latest/meta-data/"]
    for link in links:
        with alice.tab.expect_response("**/previews") as answered:
            bob.says("#town", text := f"{words('see')} {link}")
            alice.hears(text, where="#town", who="bob")
        assert answered.value.json() == {"previews": []}, link
    assert inside.asked == [] and outside.paths() == ["/away"]


def test_a_strangers_link_is_not_followed_before_they_are_accepted(serves, cast, enter, website):
    site = website({"/trap": ("text/html", b"<title>trap</title>")})
    node = serves(f'[accounts]\nrequests_between_accounts = true\n[fetch]\nallow = ["127.0.0.1/32"]\nports = [{site.port}]')
    bob = cast(RawIrc, node, "bob")
    bob.says("alice", text := f"{words('hello')} {site.url}/trap")
    alice = enter(node, "alice")
    alice.opens("bob")
    alice.hears(text, where="bob", who="bob")
    asks = """async () => {
        const list = await (await fetch('/api/v1/conversations')).json();
        const one = list.conversations.find(c => c.kind === 'direct');
        return await (await fetch(`/api/v1/conversations/${one.id}/entries/${one.last.id}/previews`)).json();
    }"""
    assert alice.tab.evaluate(asks) == {"previews": []} and site.asked == []
    alice.tab.get_by_role("button", name="Accept").click()
    alice.waits("the preview", lambda: alice.tab.locator("a.preview").count() == 1)
    assert site.paths() == ["/trap"]


def test_a_forgotten_passphrase(node, enter):
    """With the recovery code somebody sets another passphrase, once, and is shown the next code."""
    alice = enter(node, "alice")
    alice.goes("settings/passwords")
    form = alice.tab.locator("section", has=alice.tab.get_by_role("heading", name="Recovery code"))
    form.locator("input[type=password]").fill(alice.password)
    form.get_by_role("button").click()
    code = form.locator("code.secret").inner_text()
    other = enter(node, "alice", "other", sign_in=False)

    def recover(code: str, new: str):
        other.tab.get_by_role("button", name="I forgot my passphrase").click()
        other.tab.fill("input[name=username]", "alice")
        other.tab.fill("input[name=code]", code)
        other.tab.fill("input[name=password]", new)
        other.tab.get_by_role("button", name="Set passphrase").click()

    recover(code, "another passphrase")
    kept = other.tab.locator("code.secret")
    kept.wait_for()
    assert kept.inner_text() != code
    other.tab.get_by_role("button", name="I kept it: sign in").click()
    other.tab.wait_for_selector("#filter")
    # Whoever was in by the old one is out.
    alice.tab.wait_for_selector("input[name=username]")
    third = enter(node, "alice", "third", sign_in=False)
    other = third
    recover(code, "a third passphrase")
    third.tab.locator('[role="alert"]').wait_for()


@pytest.fixture
def service(tmp_path, website):
    """A push service with a certificate of an authority of its own: `service(path → answer)`."""
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)

    def certificate(name: str, key, issuer: str, signer, ca: bool):
        called = lambda text: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])  # noqa: E731
        made = x509.CertificateBuilder(called(issuer), called(name), key.public_key(), x509.random_serial_number(), now - day, now + day)
        made = made.add_extension(x509.BasicConstraints(ca, None), critical=True)
        made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        return made.sign(signer, hashes.SHA256())

    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    (tmp_path / "ca.pem").write_bytes(certificate("authority", authority, "authority", authority, True).public_bytes(pem))
    kept = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "own.pem").write_bytes(certificate("push", own, "authority", authority, False).public_bytes(pem) + kept)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "own.pem")
    return website({}, tls=tls), tmp_path / "ca.pem"


class Subscriber:
    """A browser's half of a subscription, as RFC 8291 has it; opened with an implementation that is not ours."""

    def __init__(self, page: Page, endpoint: str, text: bool):
        self.page, self.key, self.auth = page, ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
        point = self.key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        text64 = lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=").decode()  # noqa: E731
        wish = {"endpoint": endpoint, "p256dh": text64(point), "auth": text64(self.auth), "text": text}
        self.asks("PUT", wish, 204)

    def asks(self, method: str, body=None, status: int = 200):
        script = """async ([method, body]) => {
            const headers = { 'Sammen-Client': 'web', 'Content-Type': 'application/json' };
            const answer = await fetch('/api/v1/me/push', { method, headers, body: body ? JSON.stringify(body) : undefined });
            return [answer.status, await answer.text()];
        }"""
        told = self.page.tab.evaluate(script, [method, body])
        assert told[0] == status, told
        return json.loads(told[1]) if told[1] else None

    def opens(self, body: bytes) -> dict:
        return json.loads(http_ece.decrypt(body, private_key=self.key, auth_secret=self.auth, version="aes128gcm"))


def signed(head: dict[str, str], audience: str) -> str:
    """The key that an Authorization of RFC 8292 was signed with, if it was."""
    token, key = re.fullmatch(r"vapid t=([\w.-]+), k=([\w-]+)", head["authorization"]).groups()
    raw = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))  # noqa: E731
    said, signature = token.rsplit(".", 1)
    r, s = (int.from_bytes(half) for half in (raw(signature)[:32], raw(signature)[32:]))
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw(key))
    public.verify(encode_dss_signature(r, s), said.encode(), ec.ECDSA(hashes.SHA256()))
    claims = json.loads(raw(said.split(".")[1]))
    assert claims["aud"] == audience and claims["sub"].startswith("https://")
    return key


def listens(port: int) -> bool:
    with socket.socket() as it:
        return it.connect_ex(("127.0.0.1", port)) == 0


def test_a_closed_browser_hears_by_its_push_service(serves, cast, enter, service):
    site, authority = service
    taken = lambda *_: (201, {"Location": "/m/1"}, b"")  # noqa: E731
    site.pages = {"/full": taken, "/bare": taken, "/gone": lambda *_: (410, {}, b"")}
    node = serves(f'[fetch]\nallow = ["127.0.0.1/32"]\nports = [{site.port}]\nauthorities = ["{authority}"]')
    alice, other, bob = enter(node, "alice"), enter(node, "alice", "other"), cast(RawIrc, node, "bob")
    bob.joins("#town")
    alice.joins("#town")
    full, bare = Subscriber(alice, f"{site.url}/full", True), Subscriber(other, f"{site.url}/bare", False)
    state = full.asks("GET")
    assert state["on"] and state["text"]
    pushed = lambda path: [(head, body) for _, at, head, body in site.asked if at == path]  # noqa: E731
    waits = lambda path, count: until(f"{count} at {path}", lambda: len(pushed(path)) == count, transcript=node.logs)  # noqa: E731
    bob.says("#town", text := words("are you there"))
    waits("/full", 1)
    waits("/bare", 1)
    head, body = pushed("/full")[0]
    assert text.encode() not in body and b"bob" not in body
    told = full.opens(body)
    assert (told["who"], told["text"], told["kind"]) == ("bob", text, "message") and told["room"]
    assert signed(head, site.url) == state["key"]
    assert head["content-encoding"] == "aes128gcm" and int(head["ttl"]) > 0 and head["urgency"] == "normal"
    quiet = bare.opens(pushed("/bare")[0][1])
    assert set(quiet) == {"c", "kind"}
    # Muted: only who is named hears. What one says oneself, nobody does.
    post = """async ([path, method, body]) => { const headers = { 'Sammen-Client': 'web', 'Content-Type': 'application/json' };
        return (await fetch('/api/v1/conversations/' + path, { method, headers, body: JSON.stringify(body) })).status; }"""
    assert alice.tab.evaluate(post, [f"{told['c']}/flags", "PATCH", {"muted_until": 0}]) == 200
    bob.says("#town", words("to nobody"))
    alice.says("#town", words("by myself"))
    named = {"txn": "1", "text": words("and you"), "mentions": ["alice@localhost"]}
    assert enter(node, "bob").tab.evaluate(post, [f"{told['c']}/entries", "POST", named]) == 201
    waits("/full", 2)
    assert full.opens(pushed("/full")[1][1])["text"] == named["text"]
    assert alice.tab.evaluate(post, [f"{told['c']}/flags", "PATCH", {"muted_until": -1}]) == 200
    # A service that says that the subscription is gone is not asked again.
    gone = Subscriber(other, f"{site.url}/gone", True)
    bob.says("#town", words('once more'))
    waits("/full", 3)
    waits("/gone", 1)
    other.waits("the end of the subscription", lambda: not gone.asks("GET")["on"])
    # It lives over a restart, and ends with the session.
    node.program.stop()
    node.start()
    until("the node to listen", lambda: listens(node.irc_tls), transcript=node.logs)
    bob = cast(RawIrc, node, "bob", "again")
    bob.joins("#town")
    bob.says("#town", words('after the night'))
    waits("/full", 4)
    alice.tab.evaluate("""async () => fetch('/api/v1/session', { method: 'DELETE', headers: { 'Sammen-Client': 'web' } })""")
    site.pages["/last"] = taken
    Subscriber(other, f"{site.url}/last", False)
    bob.says("#town", words('signed out'))
    waits("/last", 1)
    assert len(pushed("/full")) == 4


def test_a_subscription_leads_nowhere_inside(serves, enter, service):
    site, authority = service
    node = serves(f'[fetch]\nauthorities = ["{authority}"]')
    alice = enter(node, "alice")
    for endpoint in (f"{site.url}/x", "http://push.example/x", "https://127.0.0.1:22/", "file:///x", "https://a:b@push.example/"):
        with pytest.raises(AssertionError, match="422"):
            Subscriber(alice, endpoint, False)
    assert site.asked == []


def test_the_service_worker_shows_what_was_pushed(node, enter):
    """Chromium's own delivery to the worker; names and texts are only what the node told."""
    alice = enter(node, "alice")
    alice.context.grant_permissions(["notifications"])
    session = alice.context.new_cdp_session(alice.tab)
    known: list[dict] = []
    session.on("ServiceWorker.workerRegistrationUpdated", lambda told: known.extend(told["registrations"]))
    session.send("ServiceWorker.enable")
    alice.tab.evaluate("async () => { await navigator.serviceWorker.ready }")
    alice.waits("the worker", lambda: known)
    origin = alice.tab.evaluate("location.origin")

    def shown(told) -> list:
        data = told if isinstance(told, str) else json.dumps(told)
        push = {"origin": origin, "registrationId": known[-1]["registrationId"], "data": data}
        look = "async () => (await (await navigator.serviceWorker.ready).getNotifications()).map(n => [n.title, n.body, n.tag])"

        def tried():
            # The debugger's door may lose what comes while the worker starts; the same again replaces itself.
            session.send("ServiceWorker.deliverPushMessage", push)
            alice.tab.wait_for_timeout(500)
            return alice.tab.evaluate(look)

        return alice.waits("a notification", tried)

    assert shown({"c": "7", "kind": "message", "who": "Bob", "room": "town", "text": "<b>hi</b> $&"}) == [["Bob · town", "<b>hi</b> $&", "7"]]

"""The page and the world outside: what links lead to, and how people get back in."""

import struct
import zlib

import pytest

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
    alice.joins("#town")
    bob.joins("#town")
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
    outside = website({"/away": lambda *_: (302, {"Location": f"http://127.0.0.2:{inside.port}/secret"}, b"")})
    node = serves(f'[fetch]\nallow = ["127.0.0.1/32"]\nports = [{outside.port}]')
    alice, bob = enter(node, "alice"), cast(RawIrc, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
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

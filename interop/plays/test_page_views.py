"""Every view of the page: axe finds nothing serious, no word is written in by hand, and pictures for the book."""

import os
import re
from pathlib import Path

import pytest
from conftest import befriend

from drivers.page import Page
from drivers.person import words
from drivers.slix import Slixmpp

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "interop/node/node_modules/axe-core/axe.min.js"
SETTINGS = ["profile", "look", "privacy", "devices", "passwords", "lost", "blocked", "data", "about"]
ADMIN = ["overview", "accounts", "rooms", "invitations", "reports", "sessions", "storage", "health", "audit"]
PLAIN = ["", "new", "discover", "search", "shortcuts", *(f"settings/{one}" for one in SETTINGS)]
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 780}

UNSAID = """() => {
  const found = []
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const text = node.textContent.trim()
    if (!/\\p{L}{2,}/u.test(text) || text.includes('⟦')) continue
    const parent = node.parentElement
    if (!parent || parent.closest('[data-said], script, style, noscript')) continue
    found.push(text)
  }
  for (const one of document.querySelectorAll('[aria-label],[title],[placeholder],[alt]')) {
    if (one.closest('[data-said]')) continue
    for (const name of ['aria-label', 'title', 'placeholder', 'alt']) {
      const text = one.getAttribute(name) ?? ''
      if (/\\p{L}{2,}/u.test(text) && !text.includes('⟦') && !text.includes('example.org')) found.push(name + '=' + text)
    }
  }
  return [...new Set(found)]
}"""


def furnish(node, alice, cast) -> dict:
    """A room and a direct conversation with something in them, so that views are not empty."""
    befriend(node, alice.name, "bob")
    bob = cast(Slixmpp, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
    bob.says("#town", "Good morning! Who brings the cake on Saturday?")
    alice.hears("Good morning! Who brings the cake on Saturday?", where="#town")
    alice.says("#town", "I can. Here is how: `cream`, then **lemon**.")
    bob.hears(re.compile("then"), where="#town", who=alice.name)
    bob.says("#town", "Does anybody mind nuts?")
    alice.hears("Does anybody mind nuts?", where="#town")
    alice.reacts("Does anybody mind nuts?", "👍")
    bob.says(alice.name, text := words("See you at eight"))
    alice.opens("bob")
    alice.hears(text, where="bob")
    return {"town": path_of(alice, "#town"), "bob": path_of(alice, "bob")}


def path_of(one: Page, where: str) -> str:
    one.opens(where)
    return one.tab.evaluate("() => location.hash.slice(2)")


def visits(one: Page, path: str) -> None:
    one.goes(path)
    one.tab.wait_for_function("() => !document.querySelector('[aria-busy=true]')")
    one.tab.evaluate("() => document.fonts.ready.then(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))))")


def paths(places: dict) -> list[str]:
    inside = [places["bob"], places["town"], f"{places['town']}/details", f"{places['town']}/readers"]
    return [*PLAIN, *inside, *(f"admin/{one}" for one in ADMIN)]


@pytest.fixture
def carol(node):
    """Carol may administer the node."""
    node.accounts["carol"] = "four words that nobody guesses"
    node.runs("account", "add", "carol", "--admin", "--stdin", stdin=node.accounts["carol"] + "\n")
    return "carol"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(node, cast, browser, carol, scheme):
    alice = cast(Page, node, carol, browser=browser, sign_in=False, color_scheme=scheme)
    source = AXE.read_text()
    found = {"signin": alice.axe(source)}
    alice.signs_in()
    for path in paths(furnish(node, alice, cast)):
        visits(alice, path)
        found[path] = alice.axe(source)
    assert {path: what for path, what in found.items() if what} == {}
    assert alice.faults == []


def test_no_word_is_written_in_by_hand(node, cast, browser, carol):
    """In a language that nobody speaks, everything that was not said by people is in brackets."""
    alice = cast(Page, node, carol, browser=browser)
    places = furnish(node, alice, cast)
    alice.tab.evaluate("() => localStorage.setItem('language', 'pseudo')")
    alice.tab.reload()
    alice.tab.wait_for_selector("#filter")
    found = {}
    for path in paths(places):
        visits(alice, path)
        if unsaid := alice.tab.evaluate(UNSAID):
            found[path] = unsaid
    assert found == {}


@pytest.mark.parametrize("language", ["da", "de"])
def test_speaks(node, cast, browser, language):
    alice = cast(Page, node, "alice", browser=browser, locale=language)
    alice.tab.wait_for_function("language => document.documentElement.lang === language", arg=language)
    alice.shows({"da": "Vælg en samtale", "de": "Wähle ein Gespräch"}[language])


def test_nothing_comes_from_elsewhere(node, cast, browser):
    """Everything that the page fetches comes from the node."""
    asked: list[str] = []
    alice = cast(Page, node, "alice", browser=browser, sign_in=False)
    alice.tab.on("request", lambda request: asked.append(request.url))
    alice.signs_in()
    for path in PLAIN:
        visits(alice, path)
    assert [url for url in asked if not url.startswith((node.page, node.page.replace("http", "ws", 1), "blob:", "data:"))] == []


@pytest.mark.skipif(not os.environ.get("PICTURES"), reason="PICTURES=1 takes the book's pictures anew")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["wide", "phone"])
def test_pictures(node, cast, browser, carol, scheme, size):
    folder = ROOT / "docs/screens"
    folder.mkdir(exist_ok=True)
    alice = cast(Page, node, carol, browser=browser, sign_in=False, color_scheme=scheme, viewport=WIDE)
    alice.tab.wait_for_selector("h1")
    shot = lambda name: alice.tab.screenshot(path=folder / f"{name}-{size}-{scheme}.png")  # noqa: E731
    view = WIDE if size == "wide" else PHONE
    alice.tab.set_viewport_size(view)
    shot("signin")
    alice.tab.set_viewport_size(WIDE)
    alice.signs_in()
    places = furnish(node, alice, cast)
    alice.tab.get_by_role("button", name="That was me").click()
    alice.tab.set_viewport_size(view)
    views = {"list": "", "conversation": places["town"], "readers": f"{places['town']}/readers", "room": f"{places['town']}/details", "new": "new", "settings": "settings/profile", "admin": "admin/overview"}
    for name, path in views.items():
        visits(alice, path)
        shot(name)

"""Alice at the page, Bob in other apps: what a person in a browser says, hears and changes, and what happens to it on the way."""

import re

import pytest
from conftest import befriend

from drivers.page import Page
from drivers.person import until, words
from drivers.rawirc import RawIrc
from drivers.slix import Slixmpp


@pytest.fixture
def enter(cast, node, browser):
    """`enter("alice")`: a person at the page; nothing on it may break a rule of its policy."""
    people = []

    def come(name, device="browser", **options):
        people.append(cast(Page, node, name, device, browser=browser, **options))
        return people[-1]

    yield come
    assert [fault for one in people for fault in one.faults] == []


def test_in_the_room_with_irc(node, cast, enter):
    alice, bob = enter("alice"), cast(RawIrc, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
    alice.says("#town", text := words("from the page"))
    bob.hears(text, where="#town", who="alice")
    bob.says("#town", text := words("from irc"))
    alice.hears(text, where="#town", who="bob")
    alice.heard_once(text)


def test_directly_with_xmpp(node, cast, enter):
    befriend(node, "alice", "bob")
    alice, bob = enter("alice"), cast(Slixmpp, node, "bob")
    alice.writes_to("bob")
    alice.says("bob", text := words("from the page"))
    bob.hears(text, where="alice", who="alice")
    bob.says("alice", text := words("from xmpp"))
    alice.hears(text, where="bob", who="bob")


def test_two_browsers_show_the_same(node, enter):
    first, second = enter("alice", "first"), enter("alice", "second")
    bob = enter("bob")
    for one in (first, second, bob):
        one.joins("#town")
    bob.says("#town", text := words("to both"))
    for one in (first, second):
        one.hears(text, where="#town", who="bob")
    first.says("#town", text := words("from one"))
    for one in (first, second):
        one.hears(text, where="#town", who="alice")
    bob.hears(text, where="#town", who="alice")
    for one in (first, second, bob):
        one.heard_once(text)


def test_what_is_changed_shows_changed(node, cast, enter):
    alice, bob = enter("alice"), enter("bob")
    for one in (alice, bob):
        one.joins("#town")
    alice.says("#town", text := words("first"))
    bob.hears(text, where="#town")
    alice.tool(text, "Edit")
    alice.types(better := words("second"))
    alice.tab.press("#write", "Enter")
    bob.hears(better, where="#town", edited=True)
    assert text not in bob.lines()
    bob.reacts(better, "👍")
    alice.waits("the reaction", lambda: alice.find("message", text=better, reactions=["👍"]))
    bob.tool(better, "Reply")
    bob.types(answer := words("answer"))
    bob.tab.press("#write", "Enter")
    assert better in alice.hears(answer, where="#town").more["reply"]
    alice.tool(better, "Take back")
    alice.tab.click('[data-play="yes"]')
    bob.waits("the tombstone", lambda: better not in bob.lines())


def test_offline_and_back(node, cast, enter):
    """What is written without a connection is kept, sent once, and what others said meanwhile is there."""
    alice, bob = enter("alice"), cast(RawIrc, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
    alice.says("#town", before := words("before"))
    bob.hears(before, where="#town")
    alice.context.set_offline(True)
    alice.says("#town", written := words("written offline"))
    alice.tab.wait_for_selector(".waiting")
    bob.says("#town", missed := words("said meanwhile"))
    alice.context.set_offline(False)
    bob.hears(written, where="#town", who="alice")
    alice.hears(missed, where="#town", who="bob")
    alice.waits("nothing waiting", lambda: not alice.tab.query_selector(".waiting"))
    assert alice.lines().count(written) == 1
    bob.heard_once(written)


def test_a_page_that_was_closed_while_offline_sends_later(node, cast, enter):
    alice, bob = enter("alice"), cast(RawIrc, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
    alice.says("#town", before := words("before"))
    bob.hears(before, where="#town")
    alice.tab.route("**/entries", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    alice.says("#town", text := words("kept"))
    alice.tab.wait_for_selector(".waiting")
    alice.tab.unroute("**/entries")
    alice.tab.reload()
    bob.hears(text, where="#town", who="alice")
    bob.says("#town", after := words("after"))
    alice.where = "#town"
    alice.hears(after, where="#town")
    bob.heard_once(text)


def test_node_restarted_under_the_page(node, cast, enter):
    alice = enter("alice")
    alice.joins("#town")
    alice.says("#town", before := words("before"))
    alice.hears(before, where="#town")
    until("it is on the node", lambda: not alice.tab.query_selector(".waiting"))
    node.kill9()
    alice.tab.wait_for_selector(".offline")
    alice.says("#town", while_down := words("while the node was down"))
    node.restart()
    bob = cast(RawIrc, node, "bob")
    bob.joins("#town")
    alice.waits("the message on its way", lambda: not alice.tab.query_selector(".waiting"))
    bob.says("#town", after := words("after"))
    alice.hears(after, where="#town", who="bob")
    lines = alice.lines()
    assert [lines.count(text) for text in (before, while_down, after)] == [1, 1, 1], lines


def test_draft_is_kept(node, enter):
    alice = enter("alice")
    alice.joins("#town")
    alice.types(text := words("not finished"))
    alice.goes("settings")
    alice.shows("Your address")
    until("it is kept", lambda: alice.tab.evaluate("() => new Promise(done => { const open = indexedDB.open('sammen'); open.onsuccess = () => { const all = open.result.transaction('drafts').objectStore('drafts').getAll(); all.onsuccess = () => { open.result.close(); done(all.result.length) } } })"))
    alice.tab.reload()
    alice.tab.wait_for_selector("#filter")
    alice.opens("#town")
    until("the draft", lambda: alice.tab.input_value("#write") == text)


def test_unread_counts_and_read_marks(node, cast, enter):
    befriend(node, "alice", "bob")
    alice, bob = enter("alice"), cast(RawIrc, node, "bob")
    bob.joins("#town")
    alice.joins("#town")
    bob.says("alice", words("one"))
    bob.says("alice", last := words("two"))
    alice.waits("the count", lambda: alice.unread("bob") == "2")
    alice.opens("bob")
    alice.hears(last, where="bob")
    alice.waits("nothing unread", lambda: alice.unread("bob") == "")


def test_typing_shows(node, enter):
    befriend(node, "alice", "bob")
    alice, bob = enter("alice"), enter("bob")
    alice.writes_to("bob")
    alice.says("bob", text := words("hi"))
    bob.opens("alice")
    bob.hears(text, where="alice")
    bob.tab.locator("#write").press_sequentially("hel")
    alice.tab.get_by_text(re.compile("bob is writing", re.I)).first.wait_for()


def test_mention_is_completed_and_marked(node, enter):
    alice, bob = enter("alice"), enter("bob")
    for one in (bob, alice):
        one.joins("#town")
    bob.says("#town", hello := words("hello"))
    alice.hears(hello, where="#town")
    alice.tab.locator("#write").press_sequentially("@bo")
    alice.tab.locator(".names [role=option]").first.wait_for()
    alice.tab.press("#write", "Enter")
    alice.tab.locator("#write").press_sequentially(token := words("look"))
    alice.tab.press("#write", "Enter")
    bob.waits("the line that calls bob", lambda: bob.tab.query_selector("article.called"))
    assert token in bob.tab.inner_text("article.called")


def test_markdown_is_shown_and_safe(node, cast, enter):
    alice, bob = enter("alice"), enter("bob")
    irc = cast(RawIrc, node, "alice", "irc")
    for one in (alice, bob):
        one.joins("#town")
    irc.joins("#town")
    token = words("mark")
    alice.types(f"**{token}** <img src=x onerror=alert(1)> [x](javascript:alert(1))\n```python\nprint(1)\n```")
    alice.tab.press("#write", "Enter")
    bob.waits("bold", lambda: bob.tab.query_selector(f"article strong:has-text('{token}')"))
    bob.waits("colours for code", lambda: bob.tab.query_selector("article code .hljs-built_in, article code .hljs-number"))
    assert not bob.tab.query_selector(".said-text img, .said-text a[href^='javascript']")
    irc.says("#town", evil := f"<script>document.title='gone'</script><b onmouseover=alert(1)>{token}</b>")
    bob.hears(evil, where="#town")
    assert "gone" not in bob.tab.title()


def test_file_by_button_and_picture_in_the_viewer(node, cast, enter, tmp_path):
    alice, bob = enter("alice"), enter("bob")
    for one in (alice, bob):
        one.joins("#town")
    picture = tmp_path / "sea.png"
    picture.write_bytes(alice.tab.screenshot(clip={"x": 0, "y": 0, "width": 60, "height": 40}))
    alice.tab.set_input_files("input[type=file]", str(picture))
    alice.tab.wait_for_selector(".files li:not(:has(progress))")
    alice.types(text := words("a picture"))
    alice.tab.press("#write", "Enter")
    image = bob.tab.locator("article .picture img").last
    image.wait_for()
    until("it is drawn", lambda: image.evaluate("one => one.naturalWidth") == 60)
    image.click()
    bob.tab.wait_for_selector("dialog img")
    bob.tab.keyboard.press("Escape")
    bob.waits("the viewer closed", lambda: not bob.tab.query_selector("dialog"))
    bob.hears(text, where="#town")


def test_making_a_room_asks_who_can_take_part(node, cast, enter):
    alice = enter("alice")
    alice.goes("new")
    alice.tab.fill("[data-play=title]", "Summer house")
    alice.tab.click(".choice:has(input[value=every-app])")
    alice.tab.get_by_role("button", name="Make the room").click()
    alice.tab.wait_for_selector('nav .list a[data-conversation="Summer house"]')
    band = alice.tab.inner_text("[data-play=readers]")
    assert "your node" in band
    alice.tab.wait_for_selector("aside .list")
    assert "owner" in alice.tab.inner_text("aside .list")


def test_who_can_read(node, enter):
    alice = enter("alice")
    alice.joins("#town")
    alice.tab.click("[data-play=readers]")
    alice.tab.wait_for_selector("[data-play=sentence]")
    assert alice.tab.inner_text("[data-play=sentence]") == alice.tab.inner_text("[data-play=readers]").strip()
    assert "alice" in alice.tab.inner_text("aside table").lower()


def test_pin_mute_archive(node, enter):
    alice = enter("alice")
    alice.joins("#town")

    def menu(what):
        alice.tab.click(".middle header button[aria-haspopup=menu]")
        alice.tab.get_by_role("menuitem", name=what, exact=True).click()

    menu("Pin")
    alice.tab.wait_for_selector("nav .list a svg[aria-label=pinned]")
    menu("Mute")
    alice.tab.wait_for_selector("nav .list a svg[aria-label=muted]")
    menu("Archive")
    alice.waits("the room gone from the list", lambda: not alice.tab.query_selector("nav .rows a[data-conversation]"))
    alice.tab.get_by_role("button", name="Archive", exact=True).click()
    alice.tab.wait_for_selector("nav .rows a[data-conversation]")


def test_search_leads_to_the_line(node, enter):
    alice = enter("alice")
    alice.joins("#town")
    alice.says("#town", text := words("zeppelin"))
    alice.hears(text)
    until("it is on the node", lambda: not alice.tab.query_selector(".waiting"))
    alice.goes("search")
    alice.tab.fill("form[role=search] input", "zeppelin")
    alice.tab.press("form[role=search] input", "Enter")
    alice.tab.click("[data-play=found] a")
    alice.tab.wait_for_selector("article.flash")
    assert text in alice.tab.inner_text("article.flash")


def test_blocking_and_taking_it_back(node, enter):
    alice = enter("alice")
    alice.goes("settings/blocked")
    alice.tab.fill("form input", "bob")
    alice.tab.click("form button")
    alice.tab.wait_for_selector(".list.card li button")
    assert "bob" in alice.tab.inner_text(".list.card")
    alice.tab.click(".list.card li button")
    alice.shows("Nobody is blocked.")


def test_app_password_signs_an_app_in_and_is_taken_back(node, cast, enter):
    alice = enter("alice")
    alice.goes("settings/passwords")
    alice.tab.fill("form input >> nth=0", "My app")
    alice.tab.click("form button.lead")
    secret = alice.tab.inner_text("code.secret")
    node.accounts["alice"], passphrase = secret, node.accounts["alice"]
    try:
        app = cast(RawIrc, node, "alice", "app")
    finally:
        node.accounts["alice"] = passphrase
    app.joins("#town")
    alice.tab.locator(".list.card li", has_text="My app").get_by_role("button").click()
    alice.tab.click('[data-play="yes"]')
    alice.shows("No app passwords yet.")


def test_signing_out_leaves_nothing_on_the_device(node, enter):
    alice = enter("alice")
    alice.joins("#town")
    alice.types("a secret draft")
    alice.tab.click("nav header button[aria-haspopup=menu]")
    alice.tab.get_by_role("menuitem", name="Sign out").click()
    alice.tab.wait_for_selector("input[name=password]")
    kept = """() => new Promise(done => { const open = indexedDB.open('sammen'); open.onsuccess = async () => {
      const counts = await Promise.all([...open.result.objectStoreNames].map(name => new Promise(told => { const r = open.result.transaction(name).objectStore(name).count(); r.onsuccess = () => told(r.result) })));
      open.result.close(); done(counts.reduce((a, b) => a + b, 0)) } })"""
    until("nothing is kept", lambda: alice.tab.evaluate(kept) == 0)
    alice.tab.reload()
    alice.tab.wait_for_selector("input[name=password]")


def test_everything_by_keyboard(node, cast, enter):
    """From the list to a conversation, to its lines, an answer, and back, without a pointer."""
    alice, bob = enter("alice"), cast(RawIrc, node, "bob")
    bob.joins("#town")
    alice.joins("#town")
    bob.says("#town", text := words("by key"))
    alice.hears(text, where="#town")
    alice.goes("settings")
    alice.shows("Your address")
    alice.where = None
    keys = alice.tab.keyboard
    keys.press("Control+k")
    keys.type("town")

    def opens():
        keys.press("Enter")  # does nothing while the room is still looked for
        return alice.tab.query_selector(".scroller[data-settled]")

    until("the room is open", opens)
    alice.where = "#town"
    until("the field has the focus", lambda: alice.tab.evaluate("() => document.activeElement?.id") == "write")
    keys.press("Shift+Tab")
    until("a line has the focus", lambda: alice.tab.evaluate("() => !!document.activeElement?.dataset.line"))
    keys.press("r")
    until("the field again", lambda: alice.tab.evaluate("() => document.activeElement?.id") == "write")
    keys.type(answer := words("answered"))
    keys.press("Enter")
    bob.hears(answer, where="#town", who="alice")

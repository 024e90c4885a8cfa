"""Other people's apps in a browser: Converse.js signs in over WebSocket and finds the room with all that was said."""

import re

import pytest
from conftest import befriend

from drivers.converse import Converse
from drivers.matrix import Nio
from drivers.person import words
from drivers.slix import Slixmpp
from drivers.weechat import Weechat


def test_converse_in_the_room(node, cast, browser, tmp_path):
    """Words from IRC, XMPP and Matrix are there; what she writes reaches them; a reload loses nothing."""
    befriend(node, "alice", "bob")
    weechat, slixmpp, nio = cast(Weechat, node, "bob"), cast(Slixmpp, node, "bob", "desk"), cast(Nio, node, "bob", "nio")
    earlier = []
    for one in (weechat, slixmpp, nio):
        one.joins("#town")
    for one in (weechat, slixmpp, nio):
        one.says("#town", text := words(f"earlier from {one.program}"))
        slixmpp.hears(text, where="#town")
        earlier.append(text)
    alice = cast(Converse, node, "alice", browser=browser)
    alice.joins("#town")
    for text in earlier:
        alice.hears(text, where="#town", who="bob")
        alice.shows(text)
    alice.says("#town", hello := words("from a browser"))
    for one in (weechat, slixmpp, nio):
        one.hears(hello, where="#town", who="alice")
        one.says("#town", back := words(f"back from {one.program}"))
        alice.hears(back, where="#town", who="bob")
        earlier.append(back)

    note = tmp_path / "note.txt"
    note.write_text(text := words("a file"))
    alice.sends_file("#town", note)
    link = slixmpp.sees("message", where="#town", who="alice", text=re.compile(r"^https?://\S+$")).text
    status, got = slixmpp.http("GET", link)
    assert (status, got.decode()) == (200, text)

    alice.says("bob", direct := words("directly"))
    weechat.hears(direct, where="alice", who="alice")
    weechat.says("alice", answer := words("answer"))
    alice.hears(answer, where="bob", who="bob")

    alice.reloads()
    alice.joins("#town")
    for text in (*earlier, hello):
        alice.shows(text)
    assert [alice.lines("#town").count(text) for text in (*earlier, hello)] == [1] * 7
    alice.says("#town", again := words("after the reload"))
    weechat.hears(again, where="#town", who="alice")
    assert alice.refused <= {"item-not-found", "service-unavailable"}, "only what nobody has stored yet"

"""Apps that reach nothing but a web server come in by BOSH: Strophe.js in Chromium, in its ways to ask (XEP-0124, XEP-0206)."""

from __future__ import annotations

import pytest
from drivers.person import words
from drivers.slix import Slixmpp
from drivers.strophe import Strophe


@pytest.mark.parametrize("hold, wait", [(1, 60), (1, 1)])
def test_strophe_talks_over_http(node, cast, hold, wait):
    bob = cast(Slixmpp, node, "bob")
    alice = cast(Strophe, node, "alice", hold=hold, wait=wait)
    said = [words(str(n)) for n in range(20)]
    for text in said:
        bob.says("alice", text)
    for text in said:
        alice.hears(text, who="bob")
        bob.hears(f"heard: {text}", who="alice")
    assert [s.text for s in alice.seen if s.text in said] == said, "in order, each once"
    for text in said:
        bob.heard_once(f"heard: {text}")
    bob.says("alice", "bye")
    alice.waits("the end", lambda: "DISCONNECTED" in alice.states)
    # She said goodbye: what comes now waits for the next app.
    bob.says("alice", late := words("late"))
    cast(Slixmpp, node, "alice", carbons=False).hears(late, who="bob")


def test_a_wrong_password_is_refused(node, cast):
    eve = cast(Strophe, node, "alice", password="not hers at all", fails=True)
    eve.waits("a refusal", lambda: "AUTHFAIL" in eve.states)

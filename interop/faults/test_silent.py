"""A peer server that goes silent with its socket open: what it did not acknowledge goes again when it is back."""

import pytest

from drivers.elsewhere import Ejabberd, Prosody, Sammen, Wire, World
from drivers.person import words
from drivers.slix import Slixmpp

pytestmark = pytest.mark.sammen
PEERS = {"prosody": Prosody, "ejabberd": Ejabberd, "sammen": lambda world: Sammen(world, "there.example")}


@pytest.fixture(params=PEERS)
def towns(request):
    """Our node, another server, and the wire by which ours reaches it."""
    world, opened = World(), []
    try:
        opened.append(Sammen(world, s2s="answer_seconds = 5"))
        opened.append(PEERS[request.param](world))
        opened.append(Wire(world, opened[1].domain))
        request.node.people = opened[:2]
        yield opened
    finally:
        for one in reversed(opened):
            one.stop()
        world.stop()


def test_what_a_silent_server_did_not_get_goes_again(towns, cast):
    ours, theirs, wire = towns
    alice, bob = cast(Slixmpp, ours, "alice"), cast(Slixmpp, theirs, "bob")
    me, you = ours.jid("alice"), theirs.jid("bob")
    # So that there is a stream; nobody asked yet whether it answers.
    alice.sends(f"<presence xmlns='jabber:client' type='subscribe' to='{you}'/>")
    bob.sees("subscribe", who=me)
    wire.freezes()
    sent = [words(f"into the silence {n}") for n in range(3)]
    for text in sent:
        alice.says(you, text)
    alice.waits("the node has them", alice.is_acknowledged)
    alice.waits("the stream is given up", wire.is_given_up, 60)
    wire.thaws()
    bob.waits("what was said", lambda: [s.text for s in bob.find("message", who=me)] == sent, 90)

"""Our people in a room of Debian's Prosody: alice with WeeChat, and with an XMPP app; bob lives there."""

import pytest

from drivers.elsewhere import Prosody, Sammen, World
from drivers.person import until, words
from drivers.profanity import Profanity
from drivers.slix import Slixmpp
from drivers.weechat import Weechat

pytestmark = pytest.mark.sammen
ROOM, HERE = "square@rooms.prosody.example", "#square%rooms.prosody.example"
BOB = "bob%square%rooms.prosody.example/xmpp"


@pytest.fixture
def towns(request):
    """Our node and Prosody, which know each other."""
    world, servers = World(), []
    try:
        servers += [Sammen(world), Prosody(world)]
        request.node.people = [*getattr(request.node, "people", []), *servers]
        yield servers
    finally:
        for server in reversed(servers):
            server.stop()
        world.stop()


@pytest.fixture
def bob(towns, cast):
    """bob, who has made the room and lives on its server."""
    bob = cast(Slixmpp, towns[1], "bob")
    bob.makes_room("#square", roomconfig_persistentroom="1")
    return bob


def test_weechat_is_in_a_room_of_prosody(towns, bob, cast):
    ours, _ = towns
    bob.says("#square", past := words("before"))
    assert bob.hears(past)
    alice = cast(Weechat, ours, "alice")
    alice.joins(HERE)
    bob.sees("join", who="alice", where="#square")
    # Both ways, and what was said before.
    alice.says(HERE, text := words("hello from IRC"))
    assert bob.hears(text, where="#square", who="alice")
    bob.says("#square", text := words("hello from Prosody"))
    assert alice.hears(text, where=HERE, who=BOB)
    bob.sets_topic("#square", topic := words("topic"))
    alice.sees("topic", where=HERE, text=topic)
    # Somebody comes and goes.
    other = cast(Slixmpp, towns[1], "alice", "far")
    other.joins("#square", "carol")
    alice.sees("join", where=HERE, who=BOB.replace("bob", "carol"))
    other.leaves("#square")
    alice.sees("part", where=HERE, who=BOB.replace("bob", "carol"))
    # Bob throws her out.
    bob.kicks("#square", "alice", "enough")
    alice.sees("kick", where=HERE)


def test_an_xmpp_app_and_weechat_of_one_account_share_a_room_of_prosody(towns, bob, cast):
    ours, _ = towns
    app = cast(Slixmpp, ours, "alice")
    app.joins(ROOM, "alice")
    bob.sees("join", who="alice", where="#square")
    # The room is among the account's: on IRC it is there without being joined.
    irc = cast(Weechat, ours, "alice", "irc")
    irc.sees("join", who="alice", where=HERE)
    bob.says("#square", text := words("to both"))
    assert app.hears(text)
    assert irc.hears(text, where=HERE, who=BOB)
    irc.says(HERE, text := words("from irc"))
    assert bob.hears(text, where="#square", who="alice")
    assert app.hears(text)
    app.sends(f"<message xmlns='jabber:client' type='groupchat' id='g1' to='{ROOM}'><body>{(text := words('from the app'))}</body></message>")
    assert bob.hears(text, where="#square", who="alice")
    assert irc.hears(text, where=HERE, who="alice")
    assert len(bob.find("message", text=text)) == 1


def test_it_is_in_again_after_each_server_was_away(towns, bob, cast):
    ours, theirs = towns
    alice = cast(Weechat, ours, "alice")
    alice.joins(HERE)
    bob.sees("join", who="alice", where="#square")
    # Ours goes: talk goes on, and is read afterwards.
    ours.program.stop()
    bob.says("#square", missed := words("while you were away"))
    assert bob.hears(missed)
    ours.start()
    alice.waits("being back", lambda: alice.find("join", where=HERE, who="alice")[1:], 60)
    assert alice.hears(missed, where=HERE, timeout=60)
    bob.says("#square", text := words("welcome back"))
    assert alice.hears(text, where=HERE, timeout=60)
    alice.says(HERE, text := words("thanks"))
    assert bob.hears(text, where="#square", who="alice", timeout=60)


def test_profanity_is_in_a_room_of_prosody_beside_weechat(towns, bob, cast):
    ours, _ = towns
    irc = cast(Weechat, ours, "bob", "irc")
    irc.joins(HERE)
    alice = cast(Profanity, ours, "alice")
    alice.terminal.types(f"/join {ROOM} nick alice")
    bob.sees("join", who="alice", where="#square")
    irc.sees("join", who="alice", where=HERE)
    bob.says("#square", text := words("to all of you"))
    alice.shows(text)
    assert irc.hears(text, where=HERE)
    alice.terminal.types(said := words("from Profanity"))
    assert bob.hears(said, where="#square", who="alice")
    assert irc.hears(said, where=HERE, who="alice")
    until("one copy of each", lambda: len(irc.find("message", text=said)) == 1)

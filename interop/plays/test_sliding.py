"""Matrix apps that sync by windows over their rooms (simplified sliding sync, MSC4186): Element's engine in that mode."""

import pytest
from conftest import befriend

from drivers.matrix import MatrixJs, MatrixSliding, Nio
from drivers.person import words
from drivers.rawirc import RawIrc
from drivers.slix import Slixmpp

SERVERS = "org.matrix.simplified_msc3575"


def test_a_room_as_others_see_it(matrix, cast):
    """All that `test_drivers_matrix` does by /sync, by a window: at Synapse and at the node."""
    alice, bob = cast(MatrixSliding, matrix, "alice"), cast(Nio, matrix, "bob")
    assert alice.http("GET", "/_matrix/client/versions")[1]["unstable_features"][SERVERS]
    alice.makes_room("#garden")
    bob.joins("#garden")
    alice.sees("join", who="bob", where="#garden")
    said = alice.says("#garden", words())
    heard = bob.hears(said.text, where="#garden", who="alice")
    bob.replies(heard, answer := words("yes"))
    assert alice.hears(answer, where="#garden", who="bob").to == said.id
    reaction = bob.reacts(heard, "👍")
    alice.sees("reaction", to=said.id, text="👍", who="bob")
    bob.unreacts(reaction)
    alice.sees("reaction", to=said.id, text="", who="bob")
    mine = bob.says("#garden", words("teh"))
    bob.edits(mine, better := words("the"))
    alice.sees("edit", to=mine.id, text=better)
    bob.says_in_thread(heard, text := words("in a thread"))
    assert alice.hears(text, where="#garden").more["thread"] == said.id
    bob.retracts(mine)
    alice.sees("retraction", to=mine.id)
    bob.types("#garden")
    alice.sees("typing", text="typing", who="bob", where="#garden")
    last = alice.says("#garden", words("the last"))
    bob.marks_read(bob.hears(last.text))
    alice.sees("read", to=last.id, who="bob", where="#garden")
    alice.sets_topic("#garden", topic := words("roses"))
    alice.sees("topic", text=topic, where="#garden")
    alice.does("read", room=alice.room("#garden"), event=last.id)


def test_encrypted_both_ways(matrix, cast):
    """Keys come by the to-device and e2ee extensions, before the messages that need them."""
    alice, bob = cast(MatrixSliding, matrix, "alice"), cast(MatrixSliding, matrix, "bob")
    alice.makes_direct("bob", encrypted=True)
    bob.accepts("alice")
    alice.sees("join", who="bob")
    alice.says("bob", text := words("secret"))
    assert bob.hears(text, where="alice", who="alice").more["encrypted"]
    bob.says("alice", text := words("secret too"))
    assert alice.hears(text, where="bob", who="bob").more["encrypted"]


def test_leaving_and_being_put_out(matrix, cast):
    """Each end is told once, with the own membership; who comes again is told the room anew."""
    alice, bob = cast(Nio, matrix, "alice"), cast(MatrixSliding, matrix, "bob")
    second = cast(MatrixSliding, matrix, "bob", "second")
    alice.makes_room("#garden")
    room = bob.joins("#garden")
    second.waits("the room", lambda: second.rooms.get(room, {}).get("mine") == "join")
    bob.leaves("#garden")
    second.waits("the end", lambda: second.rooms[room]["mine"] == "leave")
    second.sees("part", who="bob", where="#garden")
    bob.joins("#garden")
    second.waits("the room again", lambda: second.rooms[room]["mine"] == "join")
    alice.kicks("#garden", "bob", "out")
    for one in (bob, second):
        one.waits("being put out", lambda one=one: one.rooms[room]["mine"] == "leave")
        assert one.sees("kick", who="bob", text="out").more["by"] == "alice"
    bob.joins("#garden")
    alice.says("#garden", text := words("welcome back"))
    bob.hears(text, where="#garden")
    alice.bans("#garden", "bob", "for good")
    bob.waits("the ban", lambda: bob.rooms[room]["mine"] == "ban")
    endings = [one for one in bob.told(room) for e in one.get("required_state", [])
               if e["type"] == "m.room.member" and e["state_key"] == bob.user and e["content"]["membership"] in ("leave", "ban")]  # fmt: skip
    assert len(endings) == 3


def test_a_window_moves_over_the_rooms(node, cast):
    """Two of four rooms are in the window: what is said in another moves it in; a room left outside of it is told all the same."""
    bob = cast(Slixmpp, node, "bob")
    maker = cast(Nio, node, "alice", "maker")
    rooms = {}
    for name in ("#one", "#two", "#three", "#four"):
        rooms[name] = maker.makes_room(name)
        bob.joins(name)
        bob.says(name, words("first"))
    alice = cast(MatrixSliding, node, "alice", window=2, limit=1)
    first = alice.slid()[0]
    assert set(first["rooms"]) == {rooms["#three"], rooms["#four"]}
    assert first["lists"]["all"]["count"] >= 4
    assert all(len(r["timeline"]) == 1 and r["limited"] for r in first["rooms"].values())
    bob.says("#one", text := words("it moves"))
    alice.hears(text, where="#one", who="bob")
    assert alice.told(rooms["#one"])[0]["initial"] and not alice.told(rooms["#two"])
    # By its id, more of it than the window tells.
    alice.does("subscribe", rooms=[rooms["#two"]])
    alice.waits("the room", lambda: alice.told(rooms["#two"]))
    assert len(alice.told(rooms["#two"])[0]["timeline"]) > 1
    # Left on another device while it stands outside of the window.
    bob.says("#two", text := words("up"))
    bob.says("#three", text := words("up"))
    alice.hears(text, where="#three")
    maker.leaves("#one")
    alice.waits("the end", lambda: alice.rooms[rooms["#one"]]["mine"] == "leave")
    # The whole list.
    alice.does("window", size=100)
    alice.waits("all of them", lambda: {rooms["#two"], rooms["#three"], rooms["#four"]} <= set(alice.does("rooms")))


@pytest.fixture(params=[Slixmpp, RawIrc], ids=lambda d: d.program)
def other(request):
    return request.param


def test_with_people_on_other_protocols(node, cast, other):
    befriend(node, "alice", "bob")
    alice, bob = cast(MatrixSliding, node, "alice"), cast(other, node, "bob")
    for one in (alice, bob):
        one.joins("#town")
    mine = alice.says("#town", words())
    heard = bob.hears(mine.text, where="#town", who="alice")
    theirs = bob.says("#town", words())
    alice.hears(theirs.text, where="#town", who="bob")
    bob.reacts(heard, "👍")
    alice.sees("reaction", to=mine.id, text="👍", who="bob")
    bob.types("#town")
    alice.sees("typing", text="typing", who="bob", where="#town")
    # A conversation that nobody's Matrix app has seen before comes by itself, and counts.
    bob.says("alice", text := words("to you"))
    direct = alice.hears(text, where="bob", who="bob")
    room = direct.more["room"]
    alice.waits("the count", lambda: alice.does("unread", room=room)["all"] == 1)
    assert alice.told(room)[0]["is_dm"]
    cast(MatrixJs, node, "alice", "second").marks_read(alice.find("message", text=text)[0])
    alice.waits("the read count", lambda: alice.does("unread", room=room)["all"] == 0)


def test_it_goes_on_after_a_kill(node, cast):
    """The connection is over (M_UNKNOWN_POS), the app begins anew by itself: nothing is missing, nothing is there twice."""
    alice, bob = cast(MatrixSliding, node, "alice"), cast(Nio, node, "bob")
    for one in (alice, bob):
        one.joins("#town")
    bob.says("#town", before := words("before"))
    alice.hears(before, where="#town")
    node.kill9()
    node.restart()
    bob.says("#town", after := words("after"))
    alice.hears(after, where="#town")
    alice.waits("the error", lambda: [e for e in alice.slid() if e.get("error") == "M_UNKNOWN_POS"])
    for text in (before, after):
        alice.heard_once(text)
    mine = alice.says("#town", words("and on"))
    bob.hears(mine.text, where="#town")

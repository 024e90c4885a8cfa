"""Desktop apps that people use, in windows of their own: they sign in, show the contact and the room with what was said there on
IRC, XMPP and Matrix, and what is typed into them reaches everybody."""

import pytest
from conftest import befriend

from drivers.desktop import address
from drivers.dino import Dino
from drivers.gajim import Gajim
from drivers.matrix import Nio
from drivers.nheko import Nheko
from drivers.person import words
from drivers.slix import Slixmpp
from drivers.weechat import Weechat


@pytest.fixture
def town(serves, cast):
    """A node at the usual port of an address of its own; bob is in `#town` with three apps and has said something in each."""
    where = address()
    place = serves(domain="sammen.test", also=(f"{where}:5222",))
    place.where_it_is = where
    place.runs("room", "create", "town", json=False)
    befriend(place, "alice", "bob")
    desk = cast(Slixmpp, place, "alice", "before")
    desk.joins("#town")
    place.bobs = [cast(app, place, "bob") for app in (Weechat, Slixmpp, Nio)]
    for one in place.bobs:
        one.joins("#town")
    place.earlier = [words(f"earlier from {one.program}") for one in place.bobs]
    for one, text in zip(place.bobs, place.earlier):
        one.says("#town", text)
        desk.hears(text, where="#town")
    place.bobs[0].says("alice", text := words("earlier directly"))
    desk.hears(text, where="bob")
    place.direct = text
    return place


def shows_and_says(town, alice):
    """What everybody expects of an app: the past of the room and of the contact, and words both ways."""
    for text in town.earlier:
        alice.hears(text, where="#town", who="bob")
    alice.hears(town.direct, where="bob", who="bob")
    alice.says("#town", text := words("from a window"))
    for one in town.bobs:
        one.hears(text, where="#town", who="alice")
        one.says("#town", back := words(f"back from {one.program}"))
        alice.hears(back, where="#town", who="bob")
        alice.heard_once(back)
    alice.says("bob", text := words("directly from a window"))
    for one in town.bobs:
        one.hears(text, where="alice", who="alice")
    town.bobs[0].says("alice", back := words("back"))
    alice.hears(back, where="bob", who="bob")


def test_dino(town, cast):
    alice = cast(Dino, town, "alice", where=town.where_it_is)
    alice.waits("the contact", lambda: alice.contacts().get("bob") == "both")
    shows_and_says(town, alice)
    # Nothing stored yet, no TURN server, and the addresses behind an open room are not for everybody.
    assert alice.refused() <= {"item-not-found", "service-unavailable", "forbidden"}


@pytest.mark.desktop
def test_gajim(town, cast):
    alice = cast(Gajim, town, "alice", where=town.where_it_is)
    shows_and_says(town, alice)
    assert alice.refused() <= {"item-not-found", "service-unavailable", "forbidden"}


def test_nheko(town, cast):
    alice = cast(Nheko, town, "alice")
    shows_and_says(town, alice)

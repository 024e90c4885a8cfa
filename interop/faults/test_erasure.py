"""What was erased is gone from the data folder within the hour: a byte search finds nothing, and every client shows a tombstone.

The hour, and the days of a retention time, pass by the layer's clock.
"""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from conftest import befriend
from drivers.person import until
from drivers.rawirc import RawIrc
from drivers.slix import Slixmpp
from faults.town import Town, check

pytestmark = [pytest.mark.sammen, pytest.mark.timeout(300)]
RETRACT = "{urn:xmpp:message-retract:1}"


class Words:
    """Texts that nobody else writes: each begins with a random word that search takes in too."""

    def __init__(self):
        self.of: dict[str, str] = {}

    def __call__(self, what: str, length: int = 0) -> str:
        self.of[what] = uuid.uuid4().hex
        return f"{self.of[what]} {what}" + " and so on" * (length // 10)


def found(data: Path, words: dict[str, str]) -> dict[str, set[str]]:
    """Which of these stand in which files. Search keeps words without the beginning that they share with their neighbour."""
    out: dict[str, set[str]] = {}
    for path in data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for what, word in words.items():
                if word[6:].encode() in content or bytes.fromhex(word) in content:
                    out.setdefault(what, set()).add(path.name)
    return out


def an_hour_passes(town: Town) -> None:
    """A minute at a time. Each time somebody asks the node something, so that it looks at its clock."""
    for _ in range(60):
        town.faults.lets_pass(60)
        for _ in range(2):
            town.runs("account", "list")


def nothing_is_found(town: Town, words: dict[str, str]) -> None:
    until("the upkeep", lambda: not found(town.data, words), patience=20, transcript=lambda: f"still there: {found(town.data, words)}")


def tombstone(person: Slixmpp, where: str, id: str) -> ET.Element:
    """What the archive has in the place of this message."""
    got: list[ET.Element] = []
    query = uuid.uuid4().hex
    person._answers[query] = got
    form = f"<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field><field var='ids'><value>{id}</value></field>"
    to = person.place.jid(where) if where.startswith("#") else None
    person.asks("set", f"<query xmlns='urn:xmpp:mam:2' queryid='{query}'><x xmlns='jabber:x:data' type='submit'>{form}</x></query>", to)
    assert len(got) == 1, f"{len(got)} entries for {id}"
    return got[0][1]


def is_a_tombstone(entry: ET.Element) -> None:
    """XEP-0424 §4."""
    assert entry.find(f".//{RETRACT}retracted") is not None, ET.tostring(entry)
    assert entry.find(".//{jabber:client}body") is None, ET.tostring(entry)


@pytest.fixture
def place(town, layer):
    node = town(layer)
    node.people("carol")
    return node


def test_taken_back(place, cast):
    say = Words()
    befriend(place, "alice", "bob")
    alice, bob = cast(Slixmpp, place, "alice"), cast(RawIrc, place, "bob")
    for one in (alice, bob):
        one.joins("#town")
    kept = say("kept")
    alice.says("#town", kept)
    stays = {"kept": say.of.pop("kept")}

    from_xmpp = alice.says("#town", say("from xmpp"))
    long = alice.says("#town", say("long", 9000))
    edited = alice.says("#town", say("before the edit"))
    alice.edits(edited, say("the edit"))
    from_irc = bob.says("#town", say("from irc"))
    direct = alice.says("bob", say("direct"))
    theirs = bob.says("alice", say("direct from irc"))
    own = bob.hears(direct.text)
    until("all of it on the disk", lambda: set(found(place.data, say.of)) == set(say.of), transcript=lambda: str(found(place.data, say.of)))

    for seen in (from_xmpp, long, edited, direct):
        alice.retracts(seen)
    for seen in (from_irc, theirs):
        bob.retracts(seen)
    alice.waits("the retractions", lambda: all(alice.find("retraction", where="#town", to=s.archive_id) for s in (from_irc,)))
    bob.fences()
    for id in (from_xmpp.archive_id, long.archive_id, edited.archive_id, from_irc.archive_id):
        is_a_tombstone(tombstone(alice, "#town", id))
    for id in (own.archive_id, theirs.archive_id):
        is_a_tombstone(tombstone(alice, "bob", id))
    for where, person in (("#town", bob), ("alice", bob), ("#town", alice), ("bob", alice)):
        shown = " ".join(s.text for s in person.history(where) if s.kind in ("message", "edit"))
        assert not [what for what, word in say.of.items() if word in shown]
    for one in (alice, bob):
        one.ends()

    an_hour_passes(place)
    nothing_is_found(place, say.of)
    assert set(found(place.data, stays)) == {"kept"}, "the search finds nothing at all"
    place.program.stop()
    assert not found(place.data, say.of)
    assert check(place.data) == []


def test_retention(place, cast):
    say = Words()
    place.runs("room", "create", "brief", "--owner", "alice", "retention_days=1")
    alice, bob = cast(Slixmpp, place, "alice"), cast(RawIrc, place, "bob")
    for one in (alice, bob):
        one.joins("#brief")
    old = [alice.says("#brief", say("from xmpp")), bob.says("#brief", say("from irc")), alice.says("#brief", say("long", 9000))]
    for one in (alice, bob):
        one.ends()
    place.faults.lets_pass(2 * 86400)
    an_hour_passes(place)
    nothing_is_found(place, say.of)
    alice, bob = cast(Slixmpp, place, "alice"), cast(RawIrc, place, "bob")
    for one in (alice, bob):
        one.joins("#brief")
    fresh = alice.says("#brief", say("fresh"))
    bob.hears(fresh.text)
    for one in old:
        is_a_tombstone(tombstone(alice, "#brief", one.archive_id))
    assert [s.text for s in bob.history("#brief") if s.kind == "message"] == [fresh.text]


def test_a_removed_account(place, cast):
    say = Words()
    befriend(place, "carol", "bob")
    carol, bob = cast(Slixmpp, place, "carol"), cast(RawIrc, place, "bob")
    for one in (carol, bob):
        one.joins("#town")
    in_town = carol.says("#town", say("in town"))
    direct = carol.says("bob", say("direct"))
    own = bob.hears(direct.text)
    carol.publishes("urn:xmpp:bookmarks:1", f"<conference xmlns='urn:xmpp:bookmarks:1' name='{say('bookmark')}'/>", item="town@rooms.localhost", access="whitelist")
    carol.asks("set", f"<vCard xmlns='vcard-temp'><FN>{say('card')}</FN></vCard>")
    carol.asks("set", f"<query xmlns='jabber:iq:private'><note xmlns='urn:example:note'>{say('note')}</note></query>")
    carol.asks("set", f"<query xmlns='jabber:iq:roster'><item jid='dave@example.org' name='{say('contact')}'/></query>")
    url = carol.uploads("f.txt", say("file").encode())
    irc = cast(RawIrc, place, "carol", "irc")
    irc.joins("#town")
    from_irc = irc.says("#town", say("from irc"))
    until("all of it on the disk", lambda: set(found(place.data, say.of)) == set(say.of), transcript=lambda: str(found(place.data, say.of)))

    place.runs("account", "remove", "carol")
    carol.waits("being signed out", lambda: carol._state == "off")
    irc.waits("being signed out", lambda: irc.closed)
    bob.ends()
    an_hour_passes(place)
    nothing_is_found(place, say.of)
    alice, bob = cast(Slixmpp, place, "alice"), cast(RawIrc, place, "bob")
    for one in (alice, bob):
        one.joins("#town")
    for one in (in_town, from_irc):
        is_a_tombstone(tombstone(alice, "#town", one.archive_id))
    shown = " ".join(s.text for where in ("#town", "carol") for s in bob.history(where) if s.kind == "message")
    assert not [what for what, word in say.of.items() if word in shown]
    assert own.archive_id not in {s.archive_id for s in bob.history("carol") if s.kind == "message"}
    assert alice.http("GET", url)[0] in (403, 404, 410)
    place.program.stop()
    assert check(place.data) == []

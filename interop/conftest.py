"""Fixtures of the interop plays: places to be, a cast that is ended and whose transcripts go into a failure's report."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from drivers.node import Node  # noqa: E402
from drivers.peers import InspIrcd, Ngircd, Prosody  # noqa: E402
from drivers.person import Person  # noqa: E402
from drivers.rawirc import RawIrc  # noqa: E402
from drivers.served import Served  # noqa: E402
from drivers.slix import Slixmpp  # noqa: E402
from drivers.synapse import Synapse  # noqa: E402

PLACES = {"prosody": Prosody, "inspircd": InspIrcd, "ngircd": Ngircd, "synapse": Synapse, "sammen": Node}
MARKS = {"prosody": "prosody", "inspircd": "ircd", "ngircd": "ircd", "synapse": "synapse", "sammen": "sammen"}


def places(*names: str):
    """Parameters for the fixtures `xmpp` and `irc`: the same play at several places."""
    return [pytest.param(name, marks=getattr(pytest.mark, MARKS[name]), id=name) for name in names]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if {"node", "serves"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.sammen)


def _at(name: str):
    place = PLACES[name]()
    yield place
    place.stop()


@pytest.fixture(params=places("prosody", "sammen"))
def xmpp(request):
    """A place with XMPP: Prosody, and the node."""
    yield from _at(request.param)


@pytest.fixture(params=places("inspircd", "ngircd", "sammen"))
def irc(request):
    """A place with IRC: other people's daemons, and the node."""
    yield from _at(request.param)


@pytest.fixture(params=places("synapse", "sammen"))
def matrix(request):
    """A place with Matrix: Synapse where SYNAPSE names it, and the node."""
    for place in _at(request.param):
        request.node.people = [*getattr(request.node, "people", []), place]
        yield place


@pytest.fixture
def node(request):
    """A node of this play's own."""
    for place in _at("sammen"):
        request.node.people = [*getattr(request.node, "people", []), place]
        yield place


@pytest.fixture
def serves(request):
    """`serves(settings, …)`: a node from a configuration, for this play."""
    nodes: list[Served] = []

    def serve(*words, **more):
        nodes.append(Served(*words, **more))
        request.node.people = [*getattr(request.node, "people", []), nodes[-1]]
        return nodes[-1]

    yield serve
    for one in nodes:
        one.stop()


@pytest.fixture
def cast(request):
    """`cast(Driver, place, "alice", …)`: a person who is sent home when the play ends."""
    people: list[Person] = []
    request.node.people = [*getattr(request.node, "people", []), people]

    def enter(driver, place, name, *more, **options):
        one = driver.__new__(driver)
        try:
            one.__init__(place, name, *more, **options)
        except BaseException:  # it could not come in: its program must not stay behind
            with contextlib.suppress(Exception):
                one.ends()
            raise
        people.append(one)
        return one

    yield enter
    for one in reversed(people):
        one.ends()


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, once for all plays; each person at the page has a profile of their own."""
    from drivers.page import Browser

    one = Browser()
    yield one
    one.ends()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What everybody saw and did stands below a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.when == "call":
        for one in getattr(item, "people", []):
            for person in one if isinstance(one, list) else []:
                report.sections.append((f"transcript of {person} ({person.device})", person.transcript(80)))
            if not isinstance(one, list):
                report.sections.append((f"log of {one.name}", one.logs()[-6000:]))


def befriend(place, one: str, other: str) -> None:
    """Both accounts are accepted contacts of each other, as two people who know each other are."""
    people = {name: Slixmpp(place, name, "befriending") for name in (one, other)}
    try:
        for me, you in ((one, other), (other, one)):
            if people[me].roster().get(you) in ("to", "both"):
                continue
            people[me].befriends(you)
            people[you].sees("subscribe", who=me)
            people[you].accepts(me)
            people[me].sees("subscribed", who=you)
        for me, you in ((one, other), (other, one)):
            people[me].waits("the contact in both directions", lambda me=me, you=you: people[me].roster().get(you) == "both")
    finally:
        for person in people.values():
            person.ends()


@dataclass
class Talk:
    """One speaks, the other listens; `to` is how the speaker names the conversation, `at` how the listener does."""

    speaker: Person
    listener: Person
    to: str
    at: str

    @property
    def in_room(self) -> bool:
        return self.to.startswith("#")

    @property
    def back(self) -> Talk:
        """The same conversation, the other one speaking."""
        return Talk(self.listener, self.speaker, self.at, self.to)

    @property
    def alice(self) -> Slixmpp:
        return self.speaker if isinstance(self.speaker, Slixmpp) else self.listener

    @property
    def bob(self) -> RawIrc:
        return self.speaker if isinstance(self.speaker, RawIrc) else self.listener

    @property
    def from_xmpp(self) -> bool:
        return isinstance(self.speaker, Slixmpp)

    def hears(self, text, **want):
        """The listener hears this from the speaker, in this conversation."""
        return self.listener.hears(text, where=self.at, who=self.speaker.name, **want)

    def said(self, text: str):
        """The speaker says it; returns it as each of the two names it: (the speaker's view, the listener's)."""
        mine = self.speaker.says(self.to, text)
        theirs = self.hears(text)
        if mine.archive_id is None and self.from_xmpp:
            mine.archive_id = self.alice.waits(
                "it in the own archive", lambda: next((s.archive_id for s in self.alice.history(self.to) if s.id == mine.id), None)
            )
        return mine, theirs


@pytest.fixture(params=["xmpp to irc", "irc to xmpp"])
def direction(request):
    return request.param


@pytest.fixture(params=["room", "direct"])
def talk(request, node, cast, direction):
    """alice in slixmpp and bob on an IRC socket: in both directions, in a room and directly."""
    befriend(node, "alice", "bob")
    alice, bob = cast(Slixmpp, node, "alice"), cast(RawIrc, node, "bob")
    if request.param == "room":
        alice.joins("#town")
        bob.joins("#town")
        to_irc = Talk(alice, bob, "#town", "#town")
    else:
        to_irc = Talk(alice, bob, "bob", "alice")
    return to_irc if direction == "xmpp to irc" else to_irc.back

"""The translation table as people see it: alice in Profanity, bob in WeeChat and in irssi; in a room and directly, both ways.

What Profanity 0.13 cannot do (retractions, reactions, replies) alice does with her second client, slixmpp.
"""

import re
from types import SimpleNamespace

import pytest
from conftest import befriend

from drivers.irssi import Irssi
from drivers.node import Node
from drivers.person import words
from drivers.profanity import Profanity
from drivers.slix import Slixmpp
from drivers.weechat import Weechat

pytestmark = pytest.mark.sammen


@pytest.fixture(scope="module", params=[Weechat, Irssi], ids=lambda d: d.program)
def town(request):
    """A node, and two people who know each other, both in #town."""
    node, people = Node(), []
    try:
        befriend(node, "alice", "bob")
        for driver, name in ((Profanity, "alice"), (request.param, "bob")):
            people.append(driver(node, name))
            people[-1].joins("#town")
        yield SimpleNamespace(node=node, alice=people[0], bob=people[1])
    finally:
        for one in reversed(people):
            one.ends()
        node.stop()


@pytest.fixture
def stage(request, town):
    request.node.people = [*getattr(request.node, "people", []), [town.alice, town.bob], town.node]
    return town


@pytest.fixture
def phone(stage, cast):
    """alice's second client, in #town too."""
    phone = cast(Slixmpp, stage.node, "alice", "phone")
    phone.joins("#town")
    return phone


@pytest.fixture(params=["room", "direct"])
def names(request):
    """How alice names the conversation, and how bob does."""
    return ("#town", "#town") if request.param == "room" else ("bob", "alice")


def some(text):
    return re.compile(re.escape(text))


def is_told(bob, mark, pattern):
    """bob is shown a line (a message or a notice) that the pattern finds."""
    return bob.waits(f"a line like {pattern}", lambda: next((s for s in bob.seen[mark:] if re.search(pattern, s.text)), None))


@pytest.fixture
def yard(request, stage):
    """A room of its own for each play: `yard("alice")` makes it and owns it, the other one comes in."""
    room = f"#{words('yard').replace(' ', '')}"

    def opens(owner):
        first, second = (stage.alice, stage.bob) if owner == "alice" else (stage.bob, stage.alice)
        first.joins(room)
        second.joins(room)
        return room

    return opens


def test_message(stage, names):
    to_bob, to_alice = names
    stage.alice.says(to_bob, text := words("from Profanity"))
    stage.bob.hears(text, where=to_alice, who="alice")
    stage.bob.says(to_alice, text := words("to Profanity"))
    stage.alice.hears(text, where=to_bob, who="bob")


def test_action(stage, names):
    to_bob, to_alice = names
    stage.alice.says(to_bob, text := words("/me waves"))
    stage.bob.hears(text, where=to_alice, who="alice")
    stage.bob.says(to_alice, text := words("/me nods"))
    stage.alice.hears(text, where=to_bob, who="bob")


def test_formatting(stage, names):
    """What is *bold* on XMPP is a code on IRC, which the client shows as bold, and back."""
    to_bob, to_alice = names
    stage.alice.says(to_bob, f"a *{(token := words('bold'))}* word")
    stage.bob.hears(f"a {token} word", where=to_alice)
    stage.bob.says(to_alice, f"a \x02{(token := words('bold'))}\x02 word")
    stage.alice.hears(f"a *{token}* word", where=to_bob)


def test_edit(stage, names):
    to_bob, to_alice = names
    stage.alice.says(to_bob, text := words("teh"))
    stage.bob.hears(text, where=to_alice)
    stage.alice.edits(to_bob, better := words("the"))
    stage.bob.hears(re.compile(rf"^\* {better}$"), where=to_alice, who="alice")


def test_retraction(stage, names, phone):
    to_bob, to_alice = names
    said = phone.says(to_bob, words("oops"))
    stage.bob.hears(said.text, where=to_alice)
    mark = stage.bob.now()
    phone.retracts(said)
    is_told(stage.bob, mark, r"took back what they said")


def test_reaction_and_reply(stage, names, phone):
    to_bob, to_alice = names
    stage.bob.says(to_alice, text := words("nice day"))
    heard = phone.hears(text, where=to_bob)
    mark = stage.bob.now()
    phone.reacts(heard, "👍")
    is_told(stage.bob, mark, "👍")  # WeeChat 3.8 asks for tags and ignores those of reactions
    phone.replies(heard, answer := words("it is"))
    stage.bob.hears(some(answer), where=to_alice, who="alice")


def test_several_lines(stage, names, phone):
    """Without draft/multiline they are lines one after the other; from there they are messages one after the other."""
    to_bob, to_alice = names
    one, two = words("one"), words("two")
    phone.says(to_bob, f"{one}\n\n{two}")
    stage.bob.hears(one, where=to_alice)
    stage.bob.hears(two, where=to_alice)
    one, two = words("one"), words("two")
    stage.bob.says(to_alice, f"{one}\n{two}")
    stage.alice.hears(one, where=to_bob)
    stage.alice.hears(two, where=to_bob)


def test_long_text(stage, names):
    """Longer than a line of IRC: nothing is lost on the way."""
    to_bob, to_alice = names

    def arrives(speaker, to, listener, at):
        long, mark = words("long ") + " " + " ".join(f"word{n}" for n in range(120)) + " end", listener.now()
        speaker.says(to, long)

        def whole():
            parts = [s.text for s in listener.find("message", mark, where=at, who=speaker.name)]
            return "".join(long.split()) == "".join("".join(parts).split())

        listener.waits("all of the long text", whole)

    arrives(stage.alice, to_bob, stage.bob, to_alice)
    arrives(stage.bob, to_alice, stage.alice, to_bob)


def test_file(stage, names, phone):
    to_bob, to_alice = names
    said = phone.shares(to_bob, "note.txt", b"what was written")
    stage.bob.hears(some(said.text), where=to_alice, who="alice")


def test_file_from_profanity(stage, names):
    to_bob, to_alice = names
    picture = stage.alice.folder / f"{words('note').replace(' ', '')}.txt"
    picture.write_text("what was written")
    stage.alice.window(to_bob)
    stage.alice.types_line(f"/sendfile {picture}")
    stage.bob.hears(re.compile(rf"https://\S+/{picture.name}"), where=to_alice, who="alice")


def test_topic_from_xmpp(stage, yard):
    room = yard("alice")
    stage.alice.sets_topic(room, topic := words("roses"))
    stage.bob.sees("topic", text=topic, where=room, who="alice")


def test_topic_from_irc(stage, yard):
    room = yard("bob")
    stage.alice.window(room)
    stage.bob.sets_topic(room, topic := words("tulips"))
    stage.alice.shows(topic)


def test_coming_and_leaving(stage, yard):
    room = yard("bob")
    stage.bob.sees("join", who="alice", where=room)
    stage.alice.leaves(room)
    stage.bob.sees("part", who="alice", where=room)
    stage.alice.joins(room)
    stage.alice.window(room)
    stage.bob.leaves(room, "tea")
    stage.alice.shows_like("<- bob has left the room")


def test_kick_from_irc(stage, yard):
    room = yard("bob")
    stage.alice.window(room)
    stage.bob.kicks(room, "alice", "enough of this")
    stage.alice.shows_like(r"(?i)kicked from .*")
    stage.alice.shows("enough of this")


def test_kick_from_xmpp(stage, yard):
    room = yard("alice")
    stage.alice.kicks(room, "bob", "enough")
    stage.bob.sees("kick", who="bob", where=room, text="enough")


def test_ban_from_irc(stage, yard):
    room = yard("bob")
    stage.alice.window(room)
    stage.bob.bans(room, "alice")
    stage.alice.shows_like(r"(?i)banned from ")


def test_ban_from_xmpp(stage, yard):
    room = yard("alice")
    stage.alice.window(room)
    stage.alice.types_line(f"/ban {stage.node.jid('bob')} enough")
    stage.bob.sees("kick", who="bob", where=room)


def test_invitation_from_irc(stage, yard):
    room = f"#{words('den').replace(' ', '')}"
    stage.bob.joins(room)
    stage.alice.types_line("/win 1")
    stage.bob.invites(room, "alice")
    stage.alice.shows_like(rf"(?i)invite received[\s\S]*{room[1:]}")


def test_invitation_from_xmpp(stage):
    room = f"#{words('den').replace(' ', '')}"
    stage.alice.joins(room)
    stage.alice.invites(room, "bob")
    # It invites directly (XEP-0249); the room makes it its own.
    stage.bob.sees("invite", who="alice", where=room)


def test_mediated_invitation_from_xmpp(stage, phone):
    room = f"#{words('den').replace(' ', '')}"
    phone.joins(room)
    phone.invites(room, "bob")
    stage.bob.sees("invite", who="alice", where=room)


def test_private_message_in_a_room(stage):
    stage.alice.says("#town/bob", text := words("psst"))
    assert stage.bob.hears(some(text)).where != "#town"


def test_away(stage):
    stage.alice.types_line("/win 1")
    stage.bob.goes_away("tea time")
    stage.alice.shows_like(r'bob.* is away.*tea time')
    stage.bob.comes_back()
    stage.alice.shows_like(r"bob.* is online")
    stage.alice.goes_away("coffee time")
    stage.alice.shows("Status set to away")

    def told():
        stage.bob.says("alice", words("there?"))
        stage.alice.says("bob", text := words("no"))
        stage.bob.hears(text)
        return stage.bob.find("away", who="alice", text="coffee time")

    stage.bob.waits("the reason why alice is away", told)
    stage.alice.comes_back()

"""alice on XMPP and bob on IRC, with the clients that people use: in a room and directly, both ways."""

import pytest
from conftest import befriend

from drivers.gosendxmpp import GoSendxmpp
from drivers.irssi import Irssi
from drivers.ircframework import IrcFramework, IrcFrameworkWeb
from drivers.person import words
from drivers.profanity import Profanity
from drivers.rawirc import RawIrc
from drivers.slix import Slixmpp
from drivers.weechat import Weechat

PAIRS = [
    (Profanity, Weechat), (Profanity, Irssi), (Slixmpp, Weechat), (Slixmpp, Irssi), (Slixmpp, IrcFramework), (Slixmpp, IrcFrameworkWeb),
    (Slixmpp, RawIrc),
]  # fmt: skip


@pytest.mark.parametrize(("on_xmpp", "on_irc"), PAIRS, ids=lambda d: d.program)
def test_in_the_room(node, cast, on_xmpp, on_irc):
    alice, bob = cast(on_xmpp, node, "alice"), cast(on_irc, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
    alice.says("#town", text := words("from xmpp"))
    bob.hears(text, where="#town", who="alice")
    bob.says("#town", text := words("from irc"))
    alice.hears(text, where="#town", who="bob")


@pytest.mark.parametrize(("on_xmpp", "on_irc"), PAIRS, ids=lambda d: d.program)
def test_directly(node, cast, on_xmpp, on_irc):
    befriend(node, "alice", "bob")
    alice, bob = cast(on_xmpp, node, "alice"), cast(on_irc, node, "bob")
    alice.says("bob", text := words("from xmpp"))
    bob.hears(text, where="alice", who="alice")
    bob.says("alice", text := words("from irc"))
    alice.hears(text, where="bob", who="bob")


def test_go_sendxmpp_and_weechat(node, cast):
    befriend(node, "alice", "bob")
    alice, bob = cast(GoSendxmpp, node, "alice", listen=""), cast(Weechat, node, "bob")
    alice.says("bob", text := words("from a script"))
    bob.hears(text, where="alice", who="alice")
    bob.says("alice", text := words("to a script"))
    alice.hears(text, where="bob", who="bob")


def test_go_sendxmpp_in_the_room(node, cast):
    bob = cast(Weechat, node, "bob")
    bob.joins("#town")
    alice = cast(GoSendxmpp, node, "alice", listen="#town")
    bob.sees("join", who="alice", where="#town")
    bob.says("#town", text := words("to a script"))
    alice.hears(text, where="#town", who="bob")
    alice.says("#town", text := words("from a script"))
    bob.hears(text, where="#town", who="alice")


def test_every_device_of_an_account_shows_the_same(node, cast):
    """The main job: Profanity and slixmpp are alice, WeeChat is bob, and a third device of alice is on IRC."""
    befriend(node, "alice", "bob")
    profanity, slixmpp = cast(Profanity, node, "alice", "profanity"), cast(Slixmpp, node, "alice", "slixmpp")
    on_irc, bob = cast(RawIrc, node, "alice", "irc"), cast(Weechat, node, "bob")
    for person in (profanity, slixmpp, on_irc, bob):
        person.joins("#town")
    bob.says("#town", text := words("to all"))
    for device in (profanity, slixmpp, on_irc):
        device.hears(text, where="#town", who="bob")
    bob.says("alice", text := words("to alice"))
    for device in (profanity, slixmpp, on_irc):
        device.hears(text, where="bob", who="bob")
    profanity.says("bob", text := words("from one device"))
    bob.hears(text, where="alice", who="alice")
    assert slixmpp.hears(text, where="bob", who="alice").copy
    on_irc.hears(text, where="bob", who="alice")
    on_irc.says("bob", text := words("from another"))
    profanity.hears(text, where="bob", who="alice")
    slixmpp.hears(text, where="bob", who="alice")
    for device in (profanity, slixmpp, on_irc):
        device.heard_once(text)


def test_everything_survives_a_kill(node, cast):
    befriend(node, "alice", "bob")
    alice, bob = cast(Slixmpp, node, "alice"), cast(RawIrc, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
    said = [alice.says("#town", words("before")), bob.says("#town", words("before"))]
    bob.hears(said[0].text)
    alice.hears(said[1].text)
    node.kill9()
    node.restart()
    again, here = cast(Slixmpp, node, "alice", "after"), cast(RawIrc, node, "bob", "after")
    kept = [(s.archive_id, s.who, s.text) for s in said]
    assert [(s.archive_id, s.who, s.text) for s in again.history("#town") if s.kind == "message"] == kept
    assert [(s.archive_id, s.who, s.text) for s in here.history("#town") if s.kind == "message"] == kept


def test_clients_come_back_after_a_kill(node, cast):
    """WeeChat connects again by itself and is in its room; Profanity is started again and reads what was said."""
    befriend(node, "alice", "bob")
    alice, bob = cast(Profanity, node, "alice"), cast(Weechat, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
    alice.says("#town", before := words("before"))
    bob.hears(before, where="#town")
    bob.says("alice", direct := words("before"))
    alice.hears(direct, where="bob")
    node.kill9()
    node.restart()
    alice.loses_connection()
    again = cast(Profanity, node, "alice", "again")
    again.joins("#town")
    again.shows(before)  # the room tells what was said
    again.says("#town", text := words("after"))
    bob.hears(text, where="#town", who="alice")
    bob.says("#town", text := words("after too"))
    again.hears(text, where="#town", who="bob")
    bob.says("alice", text := words("after directly"))
    again.hears(text, where="bob", who="bob")


def test_weechat_reads_what_it_missed(node, cast):
    """A plain client gets the missed messages replayed when it comes back."""
    alice, bob = cast(Slixmpp, node, "alice"), cast(Weechat, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
    bob.loses_connection()
    alice.says("#town", text := words("while bob is away"))
    bob.comes_again()
    bob.hears(re_ending(text), where="#town")


def re_ending(text: str):
    """The text, perhaps with a time put before it (a client without server-time gets it as text)."""
    import re

    return re.compile(re.escape(text) + "$")

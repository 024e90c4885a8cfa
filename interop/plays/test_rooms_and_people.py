"""The translation table, who is where: rooms, standing, presence, invitations, blocking, discovery; both ways."""

import re

import pytest
from conftest import befriend

from drivers.person import words
from drivers.rawirc import RawIrc
from drivers.slix import Refused, Slixmpp
from drivers.weechat import Weechat


@pytest.fixture
def xmpp_owner(node, cast):
    """alice on XMPP owns #garden, bob on IRC is in it."""
    alice, bob = cast(Slixmpp, node, "alice"), cast(RawIrc, node, "bob")
    alice.makes_room("#garden")
    bob.joins("#garden")
    return alice, bob


@pytest.fixture
def irc_owner(node, cast):
    """bob on IRC owns #garden, alice on XMPP is in it."""
    bob, alice = cast(RawIrc, node, "bob"), cast(Slixmpp, node, "alice")
    bob.joins("#garden")
    alice.joins("#garden")
    return bob, alice


@pytest.fixture(params=["xmpp_owner", "irc_owner"])
def garden(request, node, cast):
    """Both ways: (who owns #garden, the other one in it)."""
    return request.getfixturevalue(request.param)


def test_topic(garden):
    owner, other = garden
    owner.sets_topic("#garden", topic := words("roses"))
    other.sees("topic", text=topic, where="#garden")


def test_the_topic_is_there_on_joining(node, cast):
    alice, bob = cast(Slixmpp, node, "alice"), cast(Weechat, node, "bob")
    alice.makes_room("#garden")
    alice.sets_topic("#garden", topic := words("roses"))
    alice.sees("topic", text=topic)
    bob.joins("#garden")
    bob.sees("topic", text=topic, where="#garden")


def test_join_and_part(garden):
    owner, other = garden
    owner.sees("join", who=other.name, where="#garden")
    assert other.name in owner.people("#garden") and owner.name in other.people("#garden")
    other.leaves("#garden", "tea")
    owner.sees("part", who=other.name, where="#garden")


def test_a_member_who_is_disconnected_stays(garden):
    """Membership persists: a lost connection is no part."""
    owner, other = garden
    other.loses_connection()
    owner.says("#garden", words("still there?"))
    assert not owner.find("part", who=other.name)
    assert other.name in owner.people("#garden")


def test_kick(garden):
    owner, other = garden
    owner.kicks("#garden", other.name, "enough")
    other.sees("kick", who=other.name, where="#garden", text="enough")


def test_ban(garden):
    owner, other = garden
    owner.bans("#garden", other.name)
    if isinstance(other, RawIrc):
        other.waits("being out", lambda: other.find("kick", who="bob") or other.find("ban", who="bob"))
    else:
        owner.kicks("#garden", other.name, "out")
        other.waits("being out", lambda: other.find("kick", where="#garden") or other.find("ban", where="#garden"))
    with pytest.raises(AssertionError, match="may not enter"):
        other.joins("#garden")


def test_voice(garden):
    owner, other = garden
    if isinstance(owner, Slixmpp):
        owner.sets_room("#garden", roomconfig_moderatedroom="1")
    else:
        owner.asks("MODE #garden +m")
    if isinstance(owner, Slixmpp):  # there, who is in already has a voice
        owner.unvoices("#garden", other.name)
    owner.voices("#garden", other.name)
    other.sees("voice", who=other.name, where="#garden")
    other.says("#garden", text := words("may I"))
    owner.hears(text, where="#garden")
    owner.unvoices("#garden", other.name)
    other.sees("unvoice", who=other.name, where="#garden")


def test_a_moderator_is_an_operator(garden):
    owner, other = garden
    owner.ops("#garden", other.name)
    other.sees("op", who=other.name, where="#garden")
    other.sets_topic("#garden", topic := words("tulips"))
    owner.sees("topic", text=topic)


def test_nobody_else_kicks(garden):
    owner, other = garden
    if isinstance(other, RawIrc):
        other.kicks("#garden", owner.name, "coup")
        other.sees("refused", text=re.compile(r"\b482\b"))
    else:
        with pytest.raises(Refused):
            other.kicks("#garden", owner.name, "coup")
    assert not owner.find("kick", who=owner.name)
    owner.says("#garden", text := words("still here"))
    other.hears(text)


def test_room_nick_from_xmpp(node, cast):
    """On XMPP a nick belongs to the membership; on IRC the account's name is the nick."""
    alice, bob = cast(Slixmpp, node, "alice"), cast(RawIrc, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
    alice.sends(f"<presence to='{node.jid('#town')}/queen'/>")
    alice.waits("the room's word", lambda: alice.find("nick", text="queen") or alice.find("refused", where="#town"))
    alice.says("#town", text := words("as queen"))
    assert bob.hears(text, where="#town").who in ("alice", "queen")


def test_invitation(garden, node, cast):
    owner, other = garden
    other.leaves("#garden")
    owner.invites("#garden", other.name)
    other.sees("invite", where="#garden", who=owner.name)
    other.joins("#garden")


def test_invitation_into_a_closed_room(garden):
    owner, other = garden
    other.leaves("#garden")
    if isinstance(owner, Slixmpp):
        owner.sets_room("#garden", roomconfig_membersonly="1")
    else:
        owner.asks("MODE #garden +i")
    with pytest.raises(AssertionError, match="may not enter"):
        other.joins("#garden")
    owner.invites("#garden", other.name)
    other.sees("invite", where="#garden")
    other.joins("#garden")


def test_list_and_disco_show_the_same_rooms(garden):
    owner, other = garden
    owner.sets_topic("#garden", "roses")
    other.sees("topic", text="roses")
    assert set(owner.rooms()) == set(other.rooms()) >= {"#garden", "#town"}


def test_weechat_lists_an_xmpp_room(node, cast):
    alice, bob = cast(Slixmpp, node, "alice"), cast(Weechat, node, "bob")
    alice.makes_room("#garden")
    assert "#garden" not in bob.rooms(), "a new room is not listed"
    alice.sets_room("#garden", roomconfig_publicroom="1")
    assert "#garden" in bob.rooms()


def test_away_from_xmpp(node, cast):
    befriend(node, "alice", "bob")
    alice, bob = cast(Slixmpp, node, "alice"), cast(RawIrc, node, "bob")
    bob.watches("alice")
    alice.joins("#town")
    bob.joins("#town")
    alice.goes_away("tea")
    bob.sees("away", who="alice", text="tea")
    mark = bob.now()
    alice.comes_back()
    bob.sees("back", mark, who="alice")


def test_away_from_irc(node, cast):
    befriend(node, "alice", "bob")
    alice, bob = cast(Slixmpp, node, "alice"), cast(Weechat, node, "bob")
    alice.sees("back", who="bob", where="bob")
    bob.goes_away("tea")
    alice.sees("away", who="bob", where="bob", text="tea")
    mark = alice.now()
    bob.comes_back()
    alice.sees("back", mark, who="bob", where="bob")


def test_blocked_on_xmpp_is_blocked_on_irc(node, cast):
    befriend(node, "alice", "bob")
    alice, bob, phone = cast(Slixmpp, node, "alice"), cast(RawIrc, node, "bob"), cast(RawIrc, node, "alice", "phone")
    alice.blocks("bob")
    bob.sends(f"PRIVMSG alice :{(text := words('unwanted'))}")
    bob.fences()
    alice.unblocks("bob")
    bob.says("alice", fence := words("wanted"))
    for device in (alice, phone):
        device.hears(fence)
        device.heard_never(text)


def test_blocked_on_irc_is_blocked_on_xmpp(node, cast):
    befriend(node, "alice", "bob")
    alice, bob, phone = cast(Slixmpp, node, "alice"), cast(RawIrc, node, "bob"), cast(Slixmpp, node, "bob", "phone")
    bob.blocks("alice")
    phone.waits("the block list of the account", lambda: phone.blocked() == ["alice"])
    alice.says("bob", text := words("unwanted"))
    alice.sees("refused", where="bob")
    bob.unblocks("alice")
    alice.says("bob", fence := words("wanted"))
    for device in (bob, phone):
        device.hears(fence)
        device.heard_never(text)


def test_bob_who_is_only_on_irc_answers_as_one_resource(node, cast):
    """Disco, caps and ping are answered by the node for him; no OMEMO, no Jingle."""
    befriend(node, "alice", "bob")
    alice = cast(Slixmpp, node, "alice")
    cast(RawIrc, node, "bob")
    here = alice.sees("back", who="bob", where="bob")
    full = here.raw.get("from")
    assert "/" in full and (here.raw.findtext("{jabber:client}priority") or "0") == "0"
    features = alice.features(full)
    assert not [f for f in features if "jingle" in f or "axolotl" in f or "omemo" in f]
    alice.asks("get", "<ping xmlns='urn:xmpp:ping'/>", full)

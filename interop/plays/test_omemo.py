"""OMEMO passes through between XMPP apps; a device on IRC learns that there is something, and which app opens it."""

import re
import xml.etree.ElementTree as ET

import pytest
from conftest import befriend

from drivers.person import words
from drivers.profanity import Profanity
from drivers.rawirc import RawIrc
from drivers.slix import Slixmpp
from drivers.slix_omemo import SlixmppOmemo
from drivers.weechat import Weechat

NOTICE = re.compile(r"(?i)encrypted.*OMEMO|OMEMO.*encrypted")
LIST = "eu.siacs.conversations.axolotl.devicelist"


@pytest.fixture
def secretive(xmpp, cast):
    """alice in slixmpp-omemo and bob in Profanity, who are contacts and know each other's keys."""
    befriend(xmpp, "alice", "bob")
    if xmpp.name == "prosody":
        # Profanity 0.13 publishes its first device list only where the missing one is answered with the old code="404"
        # (XEP-0086), which Prosody does not send. The node must.
        helper = cast(Slixmpp, xmpp, "bob", "helper")
        helper.publishes(LIST, "<list xmlns='eu.siacs.conversations.axolotl'/>", access="open")
    alice, bob = cast(SlixmppOmemo, xmpp, "alice"), cast(Profanity, xmpp, "bob")
    bob.makes_keys()
    alice.waits("bob's device", lambda: alice.device_list("bob"))
    return alice, bob


def on_irc(xmpp, cast, name):
    """Further devices of the account on IRC, where the place has IRC."""
    return [cast(RawIrc, xmpp, name, "irc"), cast(Weechat, xmpp, name, "weechat")] if xmpp.irc else []


def is_told(third, where):
    """Nothing that was whispered, but that there is something, and what opens it."""
    places = (where, None)  # WeeChat shows private notices in the window of the server
    third.waits("a notice that names OMEMO", lambda: [s for s in third.seen if s.where in places and NOTICE.search(s.text)])


def test_omemo_directly(xmpp, cast, secretive):
    alice, bob = secretive
    thirds = on_irc(xmpp, cast, "bob")
    alice.whispers("bob", text := words("secret"))
    assert bob.hears(text, where="alice", who="alice").more["encryption"] == "omemo"
    bob.encrypts("alice")
    bob.says("alice", answer := words("answer"))
    assert alice.hears(answer, where="bob", who="bob").more["encrypted"]
    for third in thirds:
        is_told(third, "alice")
        third.heard_never(text)
        third.heard_never(answer)


def test_omemo_in_a_members_only_room(xmpp, cast, secretive):
    alice, bob = secretive
    alice.makes_room("#den", roomconfig_membersonly="1", roomconfig_whois="anyone")
    alice.gives_standing("#den", "bob", "member")
    bob.joins("#den")
    alice.sees("join", who="bob", where="#den")
    thirds = on_irc(xmpp, cast, "bob")
    for third in thirds:
        third.joins("#den")
    alice.whispers("#den", text := words("secret"))
    assert bob.hears(text, where="#den", who="alice").more["encryption"] == "omemo"
    bob.encrypts("#den")
    bob.says("#den", answer := words("answer"))
    assert alice.hears(answer, where="#den", who="bob").more["encrypted"]
    for third in thirds:
        is_told(third, "#den")
        third.heard_never(text)
        third.heard_never(answer)


def test_omemo_waits_in_the_archive(xmpp, cast):
    """What was encrypted comes from the archive as it was, and opens."""
    befriend(xmpp, "alice", "bob")
    alice, bob = cast(SlixmppOmemo, xmpp, "alice"), cast(SlixmppOmemo, xmpp, "bob")
    alice.whispers("bob", text := words("secret"))
    live = bob.hears(text, encrypted=True)
    kept = next(s for s in bob.history("alice") if s.archive_id == live.archive_id)
    tag = "{eu.siacs.conversations.axolotl}encrypted"
    assert ET.canonicalize(ET.tostring(kept.raw.find(tag))) == ET.canonicalize(ET.tostring(live.raw.find(tag)))


def test_plain_text_from_irc_is_refused_once_it_is_encrypted(node, cast):
    befriend(node, "alice", "bob")
    alice, bob = cast(SlixmppOmemo, node, "alice"), cast(SlixmppOmemo, node, "bob")
    alice.whispers("bob", text := words("secret"))
    bob.hears(text, encrypted=True)
    third = cast(RawIrc, node, "bob", "irc")
    third.sends(f"PRIVMSG alice :{(plain := words('in plain'))}")
    third.waits("a refusal", lambda: [s for s in third.seen if s.kind in ("refused", "notice")])
    alice.whispers("bob", fence := words("fence"))
    bob.hears(fence)
    alice.heard_never(plain)
    bob.heard_never(plain)

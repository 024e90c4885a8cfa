"""Signing in the newer way with @xmpp/client: SASL2, Bind 2 and FAST, over TCP and over WebSocket."""

import pytest
from conftest import befriend

from drivers.node import Node
from drivers.person import words
from drivers.slix import Slixmpp
from drivers.xmppjs import XmppJs

pytestmark = pytest.mark.sammen

CARRIERS = pytest.mark.parametrize("web", [False, True], ids=["tcp", "websocket"])


@pytest.fixture(scope="module")
def node():
    """One node for all: each play has an app of its own."""
    node = Node()
    befriend(node, "alice", "bob")
    yield node
    node.stop()


@pytest.fixture(autouse=True)
def told(request, node):
    request.node.people = [*getattr(request.node, "people", []), node]


@CARRIERS
def test_second_time_the_token_opens_the_account(node, cast, web):
    """The first login asks for a token, the second shows it and says nothing of the password."""
    first = cast(XmppJs, node, "alice", web=web)
    assert first.answers("features", "authentication", "inline", "bind")
    assert first.answers("success", "bound", "metadata")
    assert first.answers("success", "bound", "enabled")
    assert first.jid.startswith("alice@localhost/js/")
    first.waits("a token", lambda: first.token)
    assert first.token["mechanism"] == "HT-SHA-256-NONE"
    agent, token, jid = first.agent, first.token, first.jid
    first.ends()
    second = cast(XmppJs, node, "alice", web=web, agent=agent, token=token, password="not the password")
    assert second.jid == jid, "the same app has the same address"
    assert any('mechanism="HT-SHA-256-NONE"' in el and "<fast" in el for el in second.written)
    assert second.answers("success", "additional-data")
    bob = cast(Slixmpp, node, "bob", "desk")
    second.comes_online()
    hello = words("after a token")
    second.says("bob", hello)
    bob.hears(hello)
    back = words("back")
    bob.says("alice", back)
    second.hears(back)


@CARRIERS
def test_a_lost_connection_is_resumed_with_the_token_on_the_way(node, cast, web):
    alice = cast(XmppJs, node, "alice", web=web, reconnects=True)
    alice.comes_online()
    alice.waits("a token", lambda: alice.token)
    alice.does("cut")
    alice.waits("the loss", lambda: alice.happened("disconnect"))
    bob = cast(Slixmpp, node, "bob", "desk")
    away = words("while away")
    bob.says("alice", away)
    alice.waits("resumption", lambda: alice.happened("resumed"))
    assert alice.answers("success", "resumed")
    assert any("<fast" in el and "<resume" in el for el in alice.written)
    alice.hears(away)
    alice.heard_once(away)


def test_a_token_that_ended_leads_back_to_the_password(node, cast):
    """A new passphrase ends the token; the app falls back by itself and gets another."""
    first = cast(XmppJs, node, "alice", "phone")
    first.waits("a token", lambda: first.token)
    agent, token = first.agent, first.token
    first.ends()
    phrase = "a new passphrase " + words("")
    desk = cast(Slixmpp, node, "alice", "desk")
    query = f"<query xmlns='jabber:iq:register'><username>alice</username><password>{phrase}</password></query>"
    desk.asks("set", query, to=node.domain)
    node.accounts["alice"] = phrase
    third = cast(XmppJs, node, "alice", "phone", agent=agent, token=token)
    expired = third.answers("failure", "credentials-expired")
    assert expired, third.transcript()
    third.waits("another token", lambda: third.token and third.token["token"] != token["token"])


def test_a_stolen_token_is_worth_nothing_in_another_app(node, cast):
    first = cast(XmppJs, node, "alice", "phone")
    first.waits("a token", lambda: first.token)
    thief = cast(XmppJs, node, "alice", "phone", token=first.token, password="not the password", fails=True)
    thief.waits("both refusals", lambda: len(thief.answers("failure", "not-authorized")) == 2)
    assert not thief.happened("online")


@CARRIERS
def test_what_waited_comes_after_either_way_of_signing_in(node, cast, web):
    """The offline queue, the unread history and the archive are the same after SASL2 as after SASL and bind."""
    bob = cast(Slixmpp, node, "bob", "desk")
    for modern in (True, False):
        text = words("waits")
        bob.says("alice", text)
        bob.waits("an acknowledgement", bob.is_acknowledged)
        if modern:
            alice = cast(XmppJs, node, "alice", "phone", web=web)
            alice.comes_online()
        else:
            alice = cast(Slixmpp, node, "alice", "phone")
        alice.hears(text)
        if modern:
            alice.asks("set", ["query", {"xmlns": "urn:xmpp:mam:2"}, ["set", {"xmlns": "http://jabber.org/protocol/rsm"}, ["before"]]])
            shown = [e for e in alice.answers("message", "result", "forwarded", "message", "body") if e.text == text]
            assert len(shown) == 1
        alice.heard_once(text)
        alice.ends()

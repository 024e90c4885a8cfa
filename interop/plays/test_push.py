"""Phones that sleep are woken: pushers of Matrix apps, and a gateway that is told (the Push Gateway API)."""

import json

import pytest
from conftest import befriend

from drivers.gateway import Gateway
from drivers.matrix import MatrixJs, Nio
from drivers.person import until, words
from drivers.slix import Slixmpp

pytestmark = pytest.mark.sammen


@pytest.fixture
def gateway():
    one = Gateway()
    yield one
    one.stop()


@pytest.fixture
def node(serves, gateway):
    """A node that may reach the gateway, which is beside it."""
    node = serves(f'[fetch]\nallow = ["127.0.0.0/8"]\nports = [{gateway.port}]')
    befriend(node, "alice", "bob")
    return node


def test_a_sleeping_phone_is_woken_and_hears_when_it_was_read_elsewhere(node, cast, gateway):
    alice, bob, on_xmpp = cast(MatrixJs, node, "alice"), cast(Slixmpp, node, "bob"), cast(Slixmpp, node, "alice", "laptop")
    alice.does("pusher", pusher=gateway.pusher(brand="x"))
    assert [p["pushkey"] for p in alice.does("pushers")] == ["phone"]
    alice.ends()
    # A conversation that the app has never seen.
    bob.says("alice", text := words("wake up"))
    told = gateway.waits("the message", lambda n: "event_id" in n)
    assert told["content"]["body"] == text and told["sender"] == f"@bob:{node.domain}" and told["type"] == "m.room.message"
    assert told["counts"] == {"unread": 1} and told["prio"] == "high" and told["sender_display_name"] == "bob"
    (device,) = told["devices"]
    assert (device["app_id"], device["pushkey"], device["data"]) == ("org.example.app", "phone", {"brand": "x"})
    assert device["tweaks"]["sound"]
    # What a woken app asks for.
    status, event = alice.http("GET", f"/_matrix/client/v3/rooms/{told['room_id']}/event/{told['event_id']}")
    assert status == 200 and event["content"]["body"] == text
    status, listed = alice.http("GET", "/_matrix/client/v3/notifications")
    assert status == 200 and [(n["event"]["event_id"], n["read"]) for n in listed["notifications"]] == [(told["event_id"], False)]
    on_xmpp.marks_read(on_xmpp.hears(text, who="bob"))
    assert gateway.waits("the count", lambda n: "event_id" not in n)["counts"] == {}
    # Nothing is told twice, and nothing is lost, whatever becomes of the node.
    node.program.process.kill()
    node.program.process.wait()
    heard = len(gateway.heard)
    node.start()
    again = cast(Nio, node, "bob", "matrix")
    later = again.says("alice", words("and again"))
    assert gateway.waits("the next message", lambda n: "event_id" in n, after=heard)["event_id"] == later.id
    # A count that went out as the node died may go out again.
    assert len([n for n in gateway.heard[heard:] if "event_id" in n]) == 1


def test_what_is_muted_wakes_nobody_and_what_is_encrypted_says_nothing(node, cast, gateway):
    alice, bob = cast(MatrixJs, node, "alice"), cast(MatrixJs, node, "bob")
    alice.does("pusher", pusher=gateway.pusher())
    alice.does("pusher", pusher=gateway.pusher("short", format="event_id_only"))
    loud, muted = alice.makes_room("#garden"), alice.makes_room("#cellar")
    status, _ = alice.http("PUT", f"/_matrix/client/v3/pushrules/global/override/{muted}", {
        "actions": [], "conditions": [{"kind": "event_match", "key": "room_id", "pattern": muted}]})  # fmt: skip
    assert status == 200
    for room in ("#garden", "#cellar"):
        bob.joins(room)
    bob.says("#cellar", words("nobody is woken"))
    said = bob.says("#garden", text := words("the first"))
    keys = lambda n: n["devices"][0]["pushkey"]  # noqa: E731
    full = gateway.waits("the message", lambda n: keys(n) == "phone")
    assert (full["event_id"], full["room_id"], full["room_alias"]) == (said.id, loud, f"#garden:{node.domain}")
    short = gateway.waits("the message", lambda n: keys(n) == "short")
    assert set(short) == {"event_id", "room_id", "counts", "prio", "devices"} and "tweaks" not in short["devices"][0]
    alice.makes_direct("bob", encrypted=True)
    bob.accepts("alice")
    alice.sees("join", who="bob")
    bob.says("alice", secret := words("secret"))
    alice.hears(secret)
    sealed = gateway.waits("the secret", lambda n: n.get("type") == "m.room.encrypted")
    assert "content" not in sealed and sealed["prio"] == "high"
    everything = json.dumps(gateway.heard)
    assert secret not in everything and "ciphertext" not in everything and text in everything
    assert not [n for n in gateway.heard if n.get("room_id") == muted]


def test_a_gateway_that_fails_is_asked_again_and_one_that_rejects_is_not(node, cast, gateway):
    alice, bob = cast(MatrixJs, node, "alice"), cast(Slixmpp, node, "bob")
    alice.does("pusher", pusher=gateway.pusher())
    gateway.answers = [(502, {}), (200, {"rejected": ["phone"]})]
    bob.says("alice", words())
    until("two requests", lambda: len(gateway.heard) == 2)
    assert gateway.heard[0]["event_id"] == gateway.heard[1]["event_id"]
    alice.waits("the pusher's end", lambda: alice.does("pushers") == [])
    # Signing out ends what the device set.
    alice.does("pusher", pusher=gateway.pusher("other"))
    second = cast(Nio, node, "alice", "second", listens=False)
    assert len(second.http("GET", "/_matrix/client/v3/pushers")[1]["pushers"]) == 1
    alice.logs_out()
    assert second.http("GET", "/_matrix/client/v3/pushers")[1]["pushers"] == []


def test_a_gateway_beside_the_node_is_not_reached_unless_the_operator_says_so(serves, cast, gateway):
    node = serves(f"[fetch]\nports = [{gateway.port}]\n[log]\nlevel = \"info\"")
    befriend(node, "alice", "bob")
    alice, bob = cast(MatrixJs, node, "alice"), cast(Slixmpp, node, "bob")
    alice.does("pusher", pusher=gateway.pusher())
    for url in ("https://example.org/elsewhere", "http://example.org/_matrix/push/v1/notify", "https://example.org:22/_matrix/push/v1/notify"):
        alice.is_refused("pusher", "M_INVALID_PARAM", pusher=gateway.pusher("wrong") | {"data": {"url": url}})
    bob.says("alice", words())
    until("the node's word", lambda: "a gateway may not be reached" in node.logs(), transcript=node.logs)
    assert gateway.heard == []

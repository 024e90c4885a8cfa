"""The Matrix drivers at Synapse and at the node: what they say is heard, what they do is seen."""

import pytest

from drivers.matrix import MatrixJs, Nio
from drivers.person import words

BOTH = pytest.mark.parametrize(("one", "other"), [(Nio, MatrixJs), (MatrixJs, Nio)], ids=lambda d: d.program)


@BOTH
def test_a_room(matrix, cast, one, other):
    alice, bob = cast(one, matrix, "alice"), cast(other, matrix, "bob")
    alice.makes_room("#garden")
    bob.joins("#garden")
    alice.sees("join", who="bob", where="#garden")
    said = alice.says("#garden", words())
    heard = bob.hears(said.text, where="#garden", who="alice")
    assert heard.id == said.id
    bob.replies(heard, answer := words("yes"))
    assert alice.hears(answer, where="#garden", who="bob").to == said.id
    reaction = bob.reacts(heard, "👍")
    alice.sees("reaction", to=said.id, text="👍", who="bob")
    bob.unreacts(reaction)
    alice.sees("reaction", to=said.id, text="", who="bob")
    alice.edits(said, better := words("better"))
    bob.sees("edit", to=said.id, text=better)
    alice.says_in_thread(said, text := words("in a thread"))
    assert bob.hears(text, where="#garden").more["thread"] == said.id
    alice.retracts(said)
    bob.sees("retraction", to=said.id)
    alice.says("#garden", text := words("/me waves"))
    last = bob.hears(text, where="#garden")
    alice.types("#garden")
    bob.sees("typing", text="typing", who="alice", where="#garden")
    bob.marks_read(last)
    alice.sees("read", to=last.id, who="bob", where="#garden")
    alice.sets_topic("#garden", topic := words("roses"))
    bob.sees("topic", text=topic, where="#garden")
    alice.kicks("#garden", "bob", "out")
    alice.sees("kick", who="bob", where="#garden", text="out")


@BOTH
def test_directly_with_a_file(matrix, cast, one, other):
    alice, bob = cast(one, matrix, "alice"), cast(other, matrix, "bob")
    alice.makes_direct("bob")
    bob.accepts("alice")
    alice.says("bob", text := words())
    bob.hears(text, where="alice", who="alice")
    alice.shares("bob", "note.txt", b"what was written")
    heard = bob.hears("note.txt", where="alice")
    assert bob.fetches(heard.more["url"]) == b"what was written"


@BOTH
def test_encrypted(matrix, cast, one, other):
    alice, bob = cast(one, matrix, "alice"), cast(other, matrix, "bob")
    alice.makes_direct("bob", encrypted=True)
    bob.accepts("alice")
    alice.sees("join", who="bob")
    alice.says("bob", text := words("secret"))
    assert bob.hears(text, where="alice", who="alice").more["encrypted"]
    bob.says("alice", text := words("secret too"))
    assert alice.hears(text, where="bob", who="bob").more["encrypted"]


def test_a_second_device_is_verified_and_a_lost_one_restored(matrix, cast):
    alice, bob = cast(MatrixJs, matrix, "alice"), cast(MatrixJs, matrix, "bob")
    recovery = alice.sets_up_keys()
    alice.makes_direct("bob", encrypted=True)
    bob.accepts("alice")
    alice.sees("join", who="bob")
    bob.says("alice", text := words("keep it"))
    alice.hears(text, where="bob")
    # By comparing emoji.
    second = cast(MatrixJs, matrix, "alice", "second")
    second.does("verify_self")
    alice.waits("the question", lambda: [e for e in alice.happened("verification") if e["phase"] == "asked"])
    alice.does("accept")
    second.waits("the yes", lambda: [e for e in second.happened("verification") if e["phase"] == "Ready"])
    second.does("start_sas")
    assert second.sees_emoji() == alice.sees_emoji()
    second.confirms()
    alice.confirms()
    for device in (second, alice):
        device.is_verified()
    trusted = lambda: bob.does("is_trusted", user=alice.user, device=second.device_id)["signed"]  # noqa: E731
    bob.waits("the cross-signed device", trusted)
    # By the recovery key, when all devices are lost.
    alice.waits("the backup", lambda: alice.http("GET", "/_matrix/client/v3/room_keys/version")[1].get("count", 0) >= 1)
    for device in (alice, second):
        device.logs_out()
    third = cast(MatrixJs, matrix, "alice", "third")
    assert third.restores(recovery)["imported"] >= 1
    third.waits("the history", lambda: [s for s in third.history("bob") if s.text == text])

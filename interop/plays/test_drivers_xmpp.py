"""The XMPP drivers at Prosody and at the node: what they say is heard, what they do is seen."""

import pytest

from drivers.gosendxmpp import GoSendxmpp
from drivers.person import words
from drivers.profanity import Profanity
from drivers.slix import Refused, Slixmpp


def test_slixmpp_rooms_and_direct(xmpp, cast):
    alice, bob = cast(Slixmpp, xmpp, "alice"), cast(Slixmpp, xmpp, "bob")
    text = words()
    alice.says("bob", text)
    bob.hears(text, where="alice", who="alice")
    alice.makes_room("#garden")
    bob.joins("#garden")
    said = alice.says("#garden", words())
    heard = bob.hears(said.text, where="#garden", who="alice")
    assert heard.archive_id == said.archive_id
    bob.replies(heard, "yes")
    assert alice.hears("yes", where="#garden").to == said.archive_id
    bob.reacts(heard, "👍")
    alice.sees("reaction", to=said.archive_id, text="👍", who="bob")
    alice.edits(said, "better")
    bob.sees("edit", to=said.id, text="better")
    alice.retracts(said)
    bob.sees("retraction", to=said.archive_id)
    alice.types("#garden")
    bob.sees("typing", text="typing", who="alice", where="#garden")


def test_direct_typing_receipts_and_markers(xmpp, cast):
    alice, bob = cast(Slixmpp, xmpp, "alice"), cast(Slixmpp, xmpp, "bob")
    alice.says("bob", text := words())  # XEP-0085 §5.1: first something is said
    bob.hears(text)
    alice.types("bob")
    bob.sees("typing", text="typing", who="alice", where="alice")
    asked = alice.asks_receipt("bob", words())
    heard = bob.hears(asked.text)
    alice.sees("delivered", to=asked.id, who="bob")
    bob.marks_read(heard)
    alice.sees("read", to=asked.id, who="bob")


def test_carbons_show_the_other_device_both_ways(xmpp, cast):
    one, two, bob = cast(Slixmpp, xmpp, "alice", "one"), cast(Slixmpp, xmpp, "alice", "two"), cast(Slixmpp, xmpp, "bob")
    text = words("from one")
    one.says("bob", text)
    assert two.hears(text, where="bob", who="alice").copy
    text = words("to one only")
    bob.sends(f"<message to='{xmpp.jid('alice')}/one' type='chat' id='{text[-6:]}'><body>{text}</body></message>")
    one.hears(text, where="bob", who="bob")
    assert two.hears(text, where="bob", who="bob").copy
    one.heard_once(text)


def test_archive_pages(xmpp, cast):
    alice, bob = cast(Slixmpp, xmpp, "alice"), cast(Slixmpp, xmpp, "bob")
    said = [words(str(n)) for n in range(7)]
    for text in said:
        alice.says("bob", text)
    bob.hears(said[-1])
    assert [s.text for s in bob.history("alice", page=3)] == said
    assert [s.text for s in alice.history("bob", page=2)] == said
    last = bob.page("alice", max=2, before="")
    assert [s.text for s in last.seen] == said[-2:] and not last.complete


def test_a_lost_connection_is_resumed(xmpp, cast):
    alice, bob = cast(Slixmpp, xmpp, "alice"), cast(Slixmpp, xmpp, "bob")
    alice.loses_connection()
    text = words("while away")
    bob.says("alice", text)
    assert alice.comes_again() == "resumed"
    alice.hears(text, where="bob")
    alice.heard_once(text)


def test_upload(xmpp, cast):
    alice, bob = cast(Slixmpp, xmpp, "alice"), cast(Slixmpp, xmpp, "bob")
    said = alice.shares("bob", "note.txt", b"what was written")
    heard = bob.hears(said.text)
    assert heard.more["url"] == said.text
    assert bob.http("GET", heard.text) == (200, b"what was written")


def test_blocking(xmpp, cast):
    alice, bob = cast(Slixmpp, xmpp, "alice"), cast(Slixmpp, xmpp, "bob")
    alice.blocks("bob")
    assert alice.blocked() == ["bob"]
    text = words("unwanted")
    bob.says("alice", text)
    bob.sees("refused", where="alice")
    alice.unblocks("bob")
    bob.says("alice", fence := words("wanted"))
    alice.hears(fence)
    alice.heard_never(text)


def test_pep_bookmarks_and_preconditions(xmpp, cast):
    alice, again, bob = cast(Slixmpp, xmpp, "alice"), cast(Slixmpp, xmpp, "alice", "again"), cast(Slixmpp, xmpp, "bob")
    alice.sets_bookmark("#town")
    assert "#town" in again.bookmarks()
    digest = alice.sets_avatar(b"a picture")
    assert digest in alice.items("urn:xmpp:avatar:metadata")
    with pytest.raises(Refused):
        bob.items("urn:xmpp:bookmarks:1", "alice")


def test_room_standing(xmpp, cast):
    alice, bob = cast(Slixmpp, xmpp, "alice"), cast(Slixmpp, xmpp, "bob")
    alice.makes_room("#garden", roomconfig_moderatedroom="0")
    bob.joins("#garden")
    alice.sets_topic("#garden", "roses")
    bob.sees("topic", text="roses", where="#garden")
    bob.renames("#garden", "robert")
    alice.sees("nick", who="bob", text="robert")
    alice.unvoices("#garden", "robert")
    bob.sees("unvoice", who="robert")
    alice.voices("#garden", "robert")
    bob.sees("voice", who="robert")
    alice.kicks("#garden", "robert", "enough")
    bob.sees("kick", who="robert", text="enough")
    alice.invites("#garden", "bob", "come back")
    bob.sees("invite", who="alice", where="#garden")
    alice.bans("#garden", "bob")
    with pytest.raises(AssertionError, match="forbidden"):
        bob.joins("#garden")
    with pytest.raises(Refused):
        bob.gives_standing("#garden", "bob", "owner")


def test_profanity(xmpp, cast):
    alice = cast(Slixmpp, xmpp, "alice")
    bob = cast(Profanity, xmpp, "bob")
    alice.says("bob", text := words())
    bob.hears(text, where="alice", who="alice")
    bob.says("alice", text := words("back"))
    alice.hears(text, where="bob", who="bob")
    bob.edits("alice", corrected := words("better"))
    alice.sees("edit", text=corrected)
    alice.makes_room("#garden")
    bob.joins("#garden")
    said = alice.says("#garden", words())
    assert bob.hears(said.text, where="#garden", who="alice").archive_id in (said.archive_id, said.id)
    bob.says("#garden", text := words("hello all"))
    alice.hears(text, where="#garden", who="bob")
    bob.says("#garden/alice", text := words("psst"))
    alice.hears(text, where="#garden/bob", who="bob")


def test_go_sendxmpp(xmpp, cast):
    alice = cast(Slixmpp, xmpp, "alice")
    bob = cast(GoSendxmpp, xmpp, "bob", listen="")
    bob.says("alice", text := words())
    alice.hears(text, where="bob", who="bob")
    alice.says("bob", text := words("back"))
    bob.hears(text, where="alice", who="alice")

"""Matrix apps at the node: alone, with each other, and with people on XMPP and IRC."""

import base64
import json
import re
import struct
import zlib

import pytest
from conftest import befriend

from drivers.matrix import MatrixJs, Nio, Refused
from drivers.person import words
from drivers.profanity import Profanity
from drivers.rawirc import RawIrc
from drivers.slix import Slixmpp
from drivers.weechat import Weechat

pytestmark = pytest.mark.sammen

EACH = pytest.mark.parametrize("client", [Nio, MatrixJs], ids=lambda d: d.program)


def png(width: int = 4, height: int = 4) -> bytes:
    """A picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x20\x80\x40" * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# What needs no rooms.


@EACH
def test_signing_in_and_out(node, cast, client):
    alice = cast(client, node, "alice", listens=False)
    assert alice.http("GET", "/_matrix/client/v3/account/whoami")[1]["device_id"] == alice.device_id
    alice.does("logout")
    status, why = alice.http("GET", "/_matrix/client/v3/account/whoami")
    assert (status, why["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    cast(client, node, "alice", "wrong", password="not it", listens=False, fails=True)


@EACH
def test_name_and_picture_are_the_same_everywhere(node, cast, client):
    """Alice's name and picture, set in a Matrix app, are what bob sees on XMPP; and the other way round."""
    alice, bob = cast(client, node, "alice", listens=False), cast(Slixmpp, node, "bob")
    alice.does("set_name", name=(name := words("Alice")))
    mxc = alice.uploads("me.png", picture := png(), "image/png")
    alice.does("set_picture", mxc=mxc)
    known = alice.does("profile", user=alice.user)
    assert (known["displayname"], known["avatar_url"]) == (name, mxc)
    vcard = bob.asks("get", "<vCard xmlns='vcard-temp'/>", to=node.jid("alice"))
    shown = vcard.find(".//{vcard-temp}PHOTO/{vcard-temp}BINVAL")
    assert shown is not None and base64.b64decode(shown.text) == picture
    # Set on XMPP (XEP-0054).
    other = png(8, 8)
    bob.asks("set", f"<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>{base64.b64encode(other).decode()}</BINVAL></PHOTO></vCard>")
    url = alice.does("profile", user=f"@bob:{node.domain}")["avatar_url"]
    assert alice.fetches(url) == other


@EACH
def test_a_file_and_its_thumbnail(node, cast, client):
    alice, bob = cast(client, node, "alice", listens=False), cast(Nio, node, "bob", listens=False)
    content = words("what was written").encode()
    assert bob.fetches(alice.uploads("note.txt", content)) == content
    mxc = alice.uploads("large.png", large := png(900, 700), "image/png")
    assert bob.fetches(mxc) == large
    small = base64.b64decode(bob.does("thumbnail", mxc=mxc, width=320, height=240))
    assert small[:3] == b"\xff\xd8\xff" and len(small) > 100
    slot = mxc.rpartition("/")[2]
    for path in (f"/_matrix/media/v3/download/{node.domain}/{slot}", f"/_matrix/client/v1/media/download/{node.domain}/{slot}"):
        assert bob.http("GET", path, token="nonsense")[0] in (401, 404)


# Together.


def test_everybody_in_town(node, cast):
    """matrix-nio, Element's engine, slixmpp, Profanity and WeeChat in one room: what one says, each other hears once."""
    nio, element = cast(Nio, node, "alice"), cast(MatrixJs, node, "bob")
    slixmpp, profanity, weechat = cast(Slixmpp, node, "alice", "two"), cast(Profanity, node, "bob", "three"), cast(Weechat, node, "bob")
    people = [nio, element, slixmpp, profanity, weechat]
    for person in people:
        person.joins("#town")
    said = []
    for speaker in [*people, nio]:
        speaker.says("#town", text := words(f"from {speaker.program}"))
        said.append((speaker, text))
        for person in people:
            if person is not speaker or person in (nio, element):
                person.hears(text, where="#town", who=speaker.name)
    # The last one is the fence.
    for speaker, text in said[:-1]:
        for person in people:
            if person is not speaker or person in (nio, element):
                person.heard_once(text)


@EACH
def test_history_from_before(node, cast, client):
    """Who comes by Matrix finds what was said on XMPP and IRC before, in order, each with its author."""
    alice, bob = cast(Slixmpp, node, "alice"), cast(RawIrc, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
    said = []
    for n in range(8):
        speaker, other = ((alice, bob), (bob, alice))[n % 2]
        said.append((speaker.name, speaker.says("#town", words(f"{n}")).text))
        other.hears(said[-1][1])
    element = cast(client, node, "alice", "element")
    element.joins("#town")
    found = [(s.who, s.text) for s in element.history("#town", page=3) if s.kind == "message"]
    assert found == said


# The translation table: between a Matrix app and XMPP or IRC, in the room and directly.


@pytest.fixture(params=["room", "direct"])
def names(request):
    """How alice names the conversation, and how bob does."""
    return ("#town", "#town") if request.param == "room" else ("bob", "alice")


@pytest.fixture(params=[Slixmpp, RawIrc], ids=lambda d: d.program)
def pair(request, node, cast, names):
    """alice in Element's engine, bob on XMPP or IRC."""
    befriend(node, "alice", "bob")
    bob = cast(request.param, node, "bob")
    alice = cast(MatrixJs, node, "alice")
    if names[0] == "#town":
        bob.joins("#town")
        alice.joins("#town")
    else:
        bob.says("alice", text := words("let us begin"))
        alice.hears(text, where="bob", who="bob")
    return alice, bob


def said(pair, names, text="something"):
    """alice says it; as she sees it, and as bob does."""
    mine = pair[0].says(names[0], words(text))
    return mine, pair[1].hears(mine.text, where=names[1], who="alice")


def answered(pair, names, text="something"):
    """bob says it; as he sees it, and as alice does."""
    mine = pair[1].says(names[1], words(text))
    return mine, pair[0].hears(mine.text, where=names[0], who="bob")


def some(text):
    return re.compile(re.escape(text))


def test_message(pair, names):
    said(pair, names)
    answered(pair, names)


def test_action(pair, names):
    said(pair, names, "/me waves")
    answered(pair, names, "/me nods")


def test_formatting(pair, names):
    alice, bob = pair
    html = f"a <strong>{(token := words('bold'))}</strong> word"
    alice.says(names[0], f"a **{token}** word", format="org.matrix.custom.html", formatted_body=html)
    bold = f"\x02{token}\x02" if isinstance(bob, RawIrc) else f"*{token}*"
    bob.hears(some(bold), where=names[1])
    bob.says(names[1], f"a \x02{(token := words('bold'))}\x02 word" if isinstance(bob, RawIrc) else f"a *{(token := words('bold'))}* word")
    assert re.search(rf"<(strong|b)>{token}</", alice.hears(some(token), where=names[0], who="bob").more["html"] or "")


def test_reply(pair, names):
    alice, bob = pair
    mine, theirs = said(pair, names)
    bob.replies(theirs, answer := words("answer"))
    assert alice.hears(some(answer), where=names[0], who="bob").to == mine.id
    mine, theirs = answered(pair, names)
    alice.replies(theirs, answer := words("answer"))
    heard = bob.hears(some(answer), where=names[1], who="alice")
    assert heard.to in (mine.id, mine.archive_id)


def test_edit(pair, names):
    alice, bob = pair
    mine, theirs = said(pair, names, "teh")
    alice.edits(mine, better := words("the"))
    if isinstance(bob, RawIrc):
        bob.hears(some(better), where=names[1], to=theirs.archive_id)
        return
    bob.sees("edit", text=better, to=theirs.id)
    mine, theirs = answered(pair, names, "teh")
    bob.edits(mine, better := words("the"))
    alice.sees("edit", text=better, to=theirs.id)


def test_retraction(pair, names):
    alice, bob = pair
    mine, theirs = said(pair, names)
    alice.retracts(mine)
    bob.waits("the retraction", lambda: [s for s in bob.find("retraction") if s.to in (theirs.id, theirs.archive_id)])
    mine, theirs = answered(pair, names)
    bob.retracts(mine)
    alice.sees("retraction", to=theirs.id)


def test_reaction(pair, names):
    alice, bob = pair
    mine, theirs = said(pair, names)
    bob.reacts(theirs, "👍")
    alice.sees("reaction", to=mine.id, text="👍", who="bob")
    mine, theirs = answered(pair, names)
    reaction = alice.reacts(theirs, "🎉")
    bob.waits("the reaction", lambda: [s for s in bob.find("reaction", text="🎉") if s.to in (mine.id, mine.archive_id)])
    alice.unreacts(reaction)
    kind = "unreaction" if isinstance(bob, RawIrc) else "reaction"
    bob.waits("its end", lambda: [s for s in bob.find(kind, who="alice") if s.text in ("", "🎉") and (kind == "unreaction" or not s.text)])


def test_thread(pair, names):
    alice, bob = pair
    mine, theirs = said(pair, names)
    alice.says_in_thread(mine, text := words("in the thread"))
    bob.hears(some(text), where=names[1], who="alice")


def test_typing(pair, names):
    alice, bob = pair
    said(pair, names)
    answered(pair, names)
    alice.types(names[0])
    bob.sees("typing", text="typing", who="alice", where=names[1])
    alice.types(names[0], "stopped")
    bob.waits("the end of it", lambda: [s for s in bob.find("typing", who="alice") if s.text in ("stopped", "paused")])
    bob.types(names[1])
    alice.sees("typing", text="typing", who="bob", where=names[0])


def test_read(pair, names):
    alice, bob = pair
    if isinstance(bob, RawIrc) and names[0] == "#town":
        pytest.skip("MARKREAD in a channel is for the reader's own devices")
    mine, theirs = said(pair, names)
    bob.marks_read(theirs)
    alice.sees("read", to=mine.id, who="bob", where=names[0])


def test_file(pair, names, node, cast):
    """A file from Element is a link of the node's own for everybody else, and a file from XMPP is one in Element."""
    alice, bob = pair
    content = words("what was written").encode()
    mine = alice.shares(names[0], "note.txt", content)
    heard = bob.hears(re.compile(r"https://\S+/note\.txt"), where=names[1], who="alice")
    url = re.search(r"https://\S+", heard.text)[0]
    reader = bob if isinstance(bob, Slixmpp) else cast(Slixmpp, node, "bob", "reader")
    assert reader.http("GET", url) == (200, content)
    # The link dies with the message.
    alice.retracts(mine)
    bob.waits("the retraction", lambda: [s for s in bob.find("retraction") if s.to in (heard.id, heard.archive_id)])
    assert reader.http("GET", url)[0] == 404
    if reader is not bob:
        return
    theirs = bob.shares(names[1], "back.txt", content[::-1])
    seen = alice.waits("the file", lambda: [s for s in alice.find("message", who="bob") if s.more.get("url")])[-1]
    assert alice.fetches(seen.more["url"]) == content[::-1]
    bob.retracts(theirs)
    alice.sees("retraction", to=seen.id)
    with pytest.raises(Refused, match="M_NOT_FOUND"):
        alice.fetches(seen.more["url"])
    assert bob.http("GET", theirs.text)[0] == 404


def test_presence(pair, names):
    alice, bob = pair
    mark = alice.now()
    bob.goes_away(status := words("lunch"))
    alice.sees("away", mark, who="bob", text=status)
    mark = alice.now()
    bob.comes_back()
    alice.sees("back", mark, who="bob")


# A room of one's own.


@pytest.mark.parametrize("guest", [Slixmpp, RawIrc, Nio], ids=lambda d: d.program)
def test_a_room_made_in_element(node, cast, guest):
    alice, bob = cast(MatrixJs, node, "alice"), cast(guest, node, "bob")
    alice.makes_room("#garden")
    bob.joins("#garden")
    alice.sees("join", who="bob", where="#garden")
    alice.says("#garden", text := words())
    bob.hears(text, where="#garden", who="alice")
    alice.sets_topic("#garden", topic := words("roses"))
    bob.sees("topic", text=topic)
    alice.kicks("#garden", "bob", "out")
    bob.sees("kick", who="bob", text="out")


@EACH
def test_private_room_by_invitation(node, cast, client):
    alice, bob = cast(client, node, "alice"), cast(Nio if client is MatrixJs else MatrixJs, node, "bob")
    room = alice.makes_room("#cellar", public=False)
    with pytest.raises(Refused, match="M_FORBIDDEN"):
        bob.does("join", room=room)
    alice.invites("#cellar", "bob")
    bob.accepts("#cellar")
    alice.says("#cellar", text := words())
    bob.hears(text, where="#cellar", who="alice")
    bob.leaves("#cellar")
    alice.sees("part", who="bob", where="#cellar")
    alice.bans("#cellar", "bob")
    with pytest.raises(Refused, match="M_FORBIDDEN"):
        alice.invites("#cellar", "bob")


def test_moderators_are_moderators_everywhere(node, cast):
    """Bob, made a moderator in a Matrix app, puts out carol, who came from IRC; made one on XMPP, he has level 50 in Matrix."""
    node.accounts["carol"] = "a passphrase of hers"
    node.runs("account", "add", "carol", "--stdin", stdin=node.accounts["carol"] + "\n")
    alice, bob, carol = cast(Nio, node, "alice"), cast(MatrixJs, node, "bob"), cast(RawIrc, node, "carol")
    room = alice.makes_room("#court")
    for guest in (bob, carol):
        guest.joins("#court")
        alice.sees("join", who=guest.name, where="#court")
    levels = lambda: alice.state("#court", "m.room.power_levels")  # noqa: E731
    with pytest.raises(Refused, match="M_FORBIDDEN"):
        bob.kicks("#court", "carol", "noise")
    users = levels()["users"]
    alice.does("state", room=room, type="m.room.power_levels", content=levels() | {"users": users | {bob.user: 50}})
    carol.gets("MODE", "#court", "+o", "bob")
    alice.says("#court", text := words())
    bob.hears(text, where="#court", who="alice")
    assert bob.state("#court", "m.room.power_levels")["users"][bob.user] == 50
    bob.kicks("#court", "carol", "noise")
    carol.sees("kick", who="carol", text="noise")
    on_xmpp = cast(Slixmpp, node, "alice", "xmpp")
    on_xmpp.joins("#court")
    for role, level in (("participant", 0), ("moderator", 50)):
        on_xmpp.gives_role("#court", "bob", role)
        alice.waits(f"level {level}", lambda level=level: levels()["users"].get(bob.user, 0) == level)


def test_an_encrypted_conversation_is_read_nowhere_else(node, cast):
    """Between Matrix devices the node can't read, so no other app of theirs is ever shown it, nor finds it in an archive."""
    befriend(node, "alice", "bob")
    alice, bob = cast(MatrixJs, node, "alice"), cast(Nio, node, "bob")
    on_xmpp = cast(Slixmpp, node, "bob", "xmpp")
    alice.makes_direct("bob", encrypted=True)
    bob.accepts("alice")
    alice.sees("join", who="bob")
    alice.says("bob", text := words("secret"))
    assert bob.hears(text, where="alice").more["encrypted"]
    bob.says("alice", back := words("secret"))
    assert alice.hears(back, where="bob").more["encrypted"]
    alice.says("bob", fence := words("secret"))
    bob.hears(fence)
    on_xmpp.heard_never(text)
    stored = json.dumps([str(s) for s in on_xmpp.history("alice")])
    assert text not in stored and back not in stored


def test_everything_survives_a_kill(node, cast):
    """Senders and syncers go on by themselves after `kill -9`: each message once, in order, under the same ids."""
    alice, bob, carla = cast(MatrixJs, node, "alice"), cast(Nio, node, "bob"), cast(Slixmpp, node, "bob", "xmpp")
    for person in (alice, bob, carla):
        person.joins("#town")
    before = [alice.says("#town", words("before")), bob.says("#town", words("before"))]
    for one in before:
        carla.hears(one.text, where="#town")
        alice.hears(one.text, where="#town")
    node.kill9()
    node.restart()
    after = [bob.says("#town", words("after")), alice.says("#town", words("after"))]
    for one in after:
        alice.hears(one.text, where="#town")
        bob.hears(one.text, where="#town")
    wanted = [(s.id, s.who, s.text) for s in before + after]
    fresh = cast(Nio, node, "alice", "fresh")
    fresh.joins("#town")
    for reader in (fresh, alice, bob):
        found = [(s.id, s.who, s.text) for s in reader.history("#town") if s.kind == "message"]
        assert found == wanted
        for one in before + after:
            assert len([s for s in reader.history("#town") if s.text == one.text]) == 1


def test_a_transaction_counts_once_over_a_kill(node, cast):
    alice = cast(Nio, node, "alice")
    room = alice.joins("#town")
    text = words("once")
    content = {"msgtype": "m.text", "body": text}
    first = alice.does("send", room=room, type="m.room.message", content=content, txn="t1")
    node.kill9()
    node.restart()
    assert alice.does("send", room=room, type="m.room.message", content=content, txn="t1") == first
    assert len([s for s in alice.history("#town") if s.text == text]) == 1

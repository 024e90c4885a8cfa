"""People of two servers: Sammen with Debian's Prosody, with Debian's ejabberd, and with another Sammen."""


import pytest

from drivers.elsewhere import Ejabberd, Prosody, Sammen, World
from drivers.person import words
from drivers.slix import Refused, Slixmpp
from drivers.slix_omemo import SlixmppOmemo
from drivers.weechat import Weechat

pytestmark = pytest.mark.sammen
PEERS = {"prosody": Prosody, "ejabberd": Ejabberd, "sammen": lambda world, **more: Sammen(world, "there.example", **more)}
OPEN = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


@pytest.fixture
def opens(request):
    """`opens(Prosody, …)`: a server of this play's own world."""
    world, servers = World(), []

    def start(make, **more):
        servers.append(make(world, **more))
        request.node.people = [*getattr(request.node, "people", []), servers[-1]]
        return servers[-1]

    yield start
    for server in reversed(servers):
        server.stop()
    world.stop()


@pytest.fixture(params=PEERS)
def theirs(request, opens):
    return opens(PEERS[request.param])


@pytest.fixture
def ours(opens):
    return opens(Sammen)


def become_contacts(alice, bob) -> None:
    """From a request to two who see each other."""
    me, you = alice.place.jid(alice.name), bob.place.jid(bob.name)
    bob.roster(), alice.roster()
    alice.befriends(you)
    bob.sees("subscribe", who=me)
    bob.accepts(me)
    alice.sees("subscribed", who=you)
    bob.befriends(me)
    alice.sees("subscribe", who=you)
    alice.accepts(you)
    alice.waits("the contact in both directions", lambda: alice.roster().get(you) == "both")
    bob.waits("the contact in both directions", lambda: bob.roster().get(me) == "both")


@pytest.fixture
def pair(ours, theirs, cast):
    """alice with us, bob with them; contacts."""
    alice, bob = cast(Slixmpp, ours, "alice"), cast(Slixmpp, theirs, "bob")
    become_contacts(alice, bob)
    return alice, bob, ours.jid("alice"), theirs.jid("bob")


def test_contacts_talk_and_see_each_other(pair):
    alice, bob, me, you = pair
    alice.says(you, text := words("hello"))
    assert bob.hears(text, where=me, who=me)
    bob.says(me, text := words("hello back"))
    assert alice.hears(text, where=you, who=you)
    bob.goes_away("gone fishing")
    alice.sees("away", who=you, text="gone fishing")
    seen = alice.hears(text)
    alice.reacts(seen, "👍")
    bob.sees("reaction", who=me)


def arrives(person, writer: str, sent: list[str]) -> None:
    """In the person's archive, once and in order: a server may put aside what comes while somebody is signing in."""
    person.waits("what was written meanwhile", lambda: [s.text for s in person.history(writer) if s.text in sent] == sent, timeout=60)


def test_messages_wait_for_a_server_that_is_down(pair, theirs, cast):
    alice, bob, me, you = pair
    bob.offline()
    bob.ends()
    theirs.kill9()
    sent = [words(f"while you were out {n}") for n in range(3)]
    for text in sent:
        alice.says(you, text)
    theirs.restart()
    arrives(cast(Slixmpp, theirs, "bob", "again"), me, sent)


def test_messages_wait_over_our_own_restart(pair, ours, theirs, cast):
    alice, bob, me, you = pair
    bob.ends()
    theirs.kill9()
    alice.says(you, text := words("before we went down"))
    alice.waits("the node has it", alice.is_acknowledged)
    alice.ends()
    ours.kill9()
    ours.restart()
    theirs.restart()
    arrives(cast(Slixmpp, theirs, "bob", "again"), me, [text])


def speaks(person, room: str, text: str) -> None:
    """In a room of another server."""
    person.sends(f"<message xmlns='jabber:client' to='{room}' type='groupchat' id='{text.replace(' ', '-')}'><body>{text}</body></message>")


def test_their_people_are_in_our_room(pair, ours, theirs):
    alice, bob, me, you = pair
    room = f"town@{ours.rooms_domain}"
    alice.joins("#town")
    alice.asks("set", OPEN, room)
    bob.joins(room)
    alice.says("#town", text := words("welcome"))
    bob.hears(text, where=room)
    speaks(bob, room, text := words("thanks"))
    alice.hears(text, where="#town", who="bob")
    bob.hears(text, where=room)
    since = alice.now()
    bob.offline()
    alice.sees("part", since, where="#town", who="bob")


def test_our_people_are_in_their_room(pair, ours, theirs):
    alice, bob, me, you = pair
    room = f"square@{theirs.rooms_domain}"
    bob.joins("#square")
    bob.asks("set", OPEN, room)
    alice.joins(room)
    bob.says("#square", text := words("welcome"))
    alice.hears(text, where=room)
    speaks(alice, room, text := words("thanks"))
    bob.hears(text, where="#square", who="alice")


def mediated(person, room: str, whom: str, why: str) -> None:
    """An invitation by way of a room."""
    person.sends(
        f"<message xmlns='jabber:client' to='{room}'><x xmlns='http://jabber.org/protocol/muc#user'>"
        f"<invite to='{whom}'><reason>{why}</reason></invite></x></message>"
    )


def test_invitations_go_across(pair, ours, theirs, cast):
    alice, bob, me, you = pair
    den, square = f"den@{ours.rooms_domain}", f"square@{theirs.rooms_domain}"
    # Into a closed room of ours: the invitation opens it.
    alice.makes_room("#den", roomconfig_membersonly="1")
    with pytest.raises(AssertionError):
        bob.joins(den, timeout=5)
    mediated(alice, den, you, why := words("come in"))
    bob.sees("invite", text=why)
    bob.joins(den)
    alice.says("#den", text := words("welcome"))
    bob.hears(text, where=den)
    # Into a room of theirs, by the room, while she is not there.
    bob.joins("#square")
    bob.asks("set", OPEN, square)
    alice.ends()
    mediated(bob, square, me, why := words("come to us"))
    again = cast(Slixmpp, ours, "alice", "again")
    again.sees("invite", text=why, timeout=60)
    again.joins(square)
    # And directly (XEP-0249).
    bob.sends(f"<message xmlns='jabber:client' to='{me}'><x xmlns='jabber:x:conference' jid='{square}' reason='{(why := words('now'))}'/></message>")
    again.sees("invite", text=why)


def test_secrets_and_faces_go_across(ours, theirs, cast):
    """OMEMO's device lists and bundles, and avatars, are found on the other server, and told of."""
    alice, bob = cast(SlixmppOmemo, ours, "alice"), cast(SlixmppOmemo, theirs, "bob")
    become_contacts(alice, bob)
    me, you = ours.jid("alice"), theirs.jid("bob")
    alice.waits("bob's device", lambda: alice.device_list(you))
    bob.waits("alice's device", lambda: bob.device_list(me))
    alice.whispers(you, text := words("secret"))
    assert bob.hears(text, where=me, who=me).more["encrypted"]
    bob.whispers(me, text := words("answer"))
    assert alice.hears(text, where=you, who=you).more["encrypted"]
    alice.sets_avatar(PNG)
    bob.waits("alice's face", lambda: bob.avatar(me) == PNG)
    bob.sets_avatar(PNG)
    alice.waits("bob's face", lambda: alice.avatar(you) == PNG)


def test_a_blocked_person_elsewhere_reaches_nobody(pair):
    alice, bob, me, you = pair
    alice.blocks(you)
    bob.says(me, text := words("do you hear me"))
    bob.sees("refused", who=me)
    alice.heard_never(text)
    alice.unblocks(you)
    bob.says(me, text := words("and now"))
    alice.hears(text)


def test_irc_people_are_reached_and_reach(ours, theirs, cast):
    alice, bob = cast(Weechat, ours, "alice", tls=True), cast(Slixmpp, theirs, "bob")
    nick, me = f"bob%{theirs.domain}/xmpp", ours.jid("alice")
    alice.sends(f"/query {nick}")
    alice.sends(f"/msg {nick} {(text := words('from a channel server'))}")
    bob.hears(text, where=me, who=me)
    bob.says(me, text := words("to a channel server"))
    alice.hears(text, who=nick)


def test_nobody_is_there(ours, cast):
    alice = cast(Slixmpp, ours, "alice")
    alice.says("bob@nowhere.example", words("hello"))
    assert "remote-server-not-found" in alice.sees("refused", who="bob@nowhere.example").text
    with pytest.raises(Refused, match="remote-server"):
        alice.asks("get", "<ping xmlns='urn:xmpp:ping'/>", "nowhere.example")


@pytest.mark.parametrize("lax", [False, True], ids=["strict", "dialback"])
def test_a_server_with_a_wrong_certificate(opens, cast, lax):
    """It is refused with a word in the log; with dialback allowed it proves itself by that."""
    theirs = opens(Prosody, secure=False, certified="somebody.example")
    ours = opens(Sammen, s2s=f"dialback = {str(lax).lower()}")
    alice, bob = cast(Slixmpp, ours, "alice"), cast(Slixmpp, theirs, "bob")
    ping = "<ping xmlns='urn:xmpp:ping'/>"
    if lax:
        alice.asks("get", ping, theirs.domain)
        bob.asks("get", ping, ours.domain)
        return
    with pytest.raises(Refused, match="remote-server"):
        alice.asks("get", ping, theirs.domain)
    with pytest.raises(Refused):
        bob.asks("get", ping, ours.domain)
    said = ours.program.output(100_000)
    assert "the certificate of prosody.example does not prove that it is" in said, said
    assert "does not prove it, and dialback alone is not accepted" in said, said

"""eve has an account. By every command of both protocols she tries to read what she is not in, and to act as somebody else."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
import uuid
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from drivers.rawirc import RawIrc
from drivers.slix import Refused, Slixmpp
from faults.crowd import SECRET
from faults.doors import IrcDoor, XmppDoor, plain
from faults.lines import Irc
from faults.stanzas import Xmpp
from faults.town import Town

pytestmark = [pytest.mark.sammen, pytest.mark.timeout(300)]
VAULT = "vault@rooms.localhost"


def token(what: str) -> str:
    return f"{what}{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def scene():
    """A members' room that is not listed, a conversation, private items; eve shares nothing of it but the room `town`."""
    town = Town()
    town.people("eve", "carol")
    secret = {what: token(what) for what in ("text", "topic", "title", "direct", "item", "mood", "away", "file", "note")}
    town.runs("room", "create", "vault", "--owner", "alice", "join=members", "listed=false", "history=joined", f"name={secret['title']}")
    town.runs("room", "standing", "vault", "bob", "member")
    alice, bob, carol = Slixmpp(town, "alice"), RawIrc(town, "bob"), RawIrc(town, "carol")
    for one in (alice, bob):
        one.joins("#vault")
        one.joins("#town")
    alice.sets_topic("#vault", secret["topic"])
    in_vault = alice.says("#vault", secret["text"])
    bob.hears(secret["text"])
    in_town = alice.says("#town", "for everybody")
    bob.says("alice", secret["direct"])
    alice.hears(secret["direct"])
    alice.publishes("urn:xmpp:bookmarks:1", f"<conference xmlns='urn:xmpp:bookmarks:1' name='{secret['item']}'/>", item=VAULT, access="whitelist")
    alice.publishes("http://jabber.org/protocol/mood", f"<mood xmlns='http://jabber.org/protocol/mood'><text>{secret['mood']}</text></mood>", access="presence")
    alice.asks("set", f"<query xmlns='jabber:iq:private'><note xmlns='urn:example:note'>{secret['note']}</note></query>")
    url = alice.uploads("f.txt", secret["file"].encode())
    carol.goes_away(secret["away"])
    eve, raw = Slixmpp(town, "eve"), RawIrc(town, "eve", "irc")
    eve.joins("#town")
    raw.joins("#town")
    people = SimpleNamespace(
        town=town, secret=secret, alice=alice, bob=bob, carol=carol, eve=eve, raw=raw, in_vault=in_vault, in_town=in_town, url=url
    )
    yield people
    for one in (alice, bob, carol, eve, raw):
        one.ends()
    town.stop()


@pytest.fixture(autouse=True)
def nothing_leaks(scene, request):
    """Whatever eve tried: none of it is in anything that she was ever sent."""
    request.node.people = [scene.town, [scene.eve, scene.raw]]
    marks = [(one, len(one._lines)) for one in (scene.eve, scene.raw)]
    yield
    scene.raw.fences()
    for one, mark in marks:
        told = "\n".join(line for line in one._lines[mark:] if " < " in line)
        leaked = [what for what, word in scene.secret.items() if word in told]
        assert not leaked, f"{one} was told {leaked}"
    assert not scene.eve.find("message", where="#vault")


DISCO_INFO, DISCO_ITEMS = "http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items"
ADMIN, OWNER = "http://jabber.org/protocol/muc#admin", "http://jabber.org/protocol/muc#owner"
PUBSUB, PUBSUB_OWNER = "http://jabber.org/protocol/pubsub", "http://jabber.org/protocol/pubsub#owner"
MAM = "<query xmlns='urn:xmpp:mam:2' queryid='q'>{}</query>"
FORM = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>{}</value></field>{}</x>"
NICK = "<field var='muc#register_roomnick'><value>eve</value></field>"
OPEN = "<field var='pubsub#access_model'><value>open</value></field>"

# What eve asks, of whom, and how that must be refused.
ASKED: dict[str, tuple[str, str, str, str]] = {
    "the archive of a room": ("set", MAM.format(""), VAULT, "forbidden|item-not-found|not-allowed|registration-required"),
    "the ends of that archive": ("get", "<metadata xmlns='urn:xmpp:mam:2'/>", VAULT, "forbidden|item-not-found|not-allowed|registration-required"),
    "somebody's archive": ("set", MAM.format(""), "alice@localhost", "forbidden|service-unavailable|not-allowed"),
    "somebody's archive settings": ("get", "<prefs xmlns='urn:xmpp:mam:2'/>", "alice@localhost", "forbidden|service-unavailable|not-allowed"),
    "who is in a room": ("get", f"<query xmlns='{ADMIN}'><item affiliation='member'/></query>", VAULT, "forbidden|item-not-found|not-allowed"),
    "who is present in a room": ("get", f"<query xmlns='{ADMIN}'><item role='participant'/></query>", VAULT, "forbidden|item-not-found|not-allowed"),
    "to own a room": ("set", f"<query xmlns='{ADMIN}'><item affiliation='owner' jid='eve@localhost'/></query>", VAULT, "forbidden|item-not-found|not-allowed"),
    "to be a member": ("set", f"<query xmlns='{ADMIN}'><item affiliation='member' jid='eve@localhost'/></query>", VAULT, "forbidden|item-not-found|not-allowed"),
    "to own the room that she is in": ("set", f"<query xmlns='{ADMIN}'><item affiliation='owner' jid='eve@localhost'/></query>", "town@rooms.localhost", "forbidden|not-allowed"),
    "to be its moderator": ("set", f"<query xmlns='{ADMIN}'><item role='moderator' nick='eve'/></query>", "town@rooms.localhost", "forbidden|not-allowed"),
    "to kick": ("set", f"<query xmlns='{ADMIN}'><item role='none' nick='bob'/></query>", "town@rooms.localhost", "forbidden|not-allowed"),
    "to ban": ("set", f"<query xmlns='{ADMIN}'><item affiliation='outcast' jid='bob@localhost'/></query>", "town@rooms.localhost", "forbidden|not-allowed"),
    "a room's form": ("get", f"<query xmlns='{OWNER}'/>", VAULT, "forbidden|item-not-found|not-allowed"),
    "to set a room": ("set", f"<query xmlns='{OWNER}'>{FORM.format('http://jabber.org/protocol/muc#roomconfig', '')}</query>", VAULT, "forbidden|item-not-found|not-allowed"),
    "to destroy a room": ("set", f"<query xmlns='{OWNER}'><destroy/></query>", VAULT, "forbidden|item-not-found|not-allowed"),
    "to register in a room": ("get", "<query xmlns='jabber:iq:register'/>", VAULT, "forbidden|item-not-found|not-allowed|registration-required|service-unavailable|feature-not-implemented"),
    "to take a name in a room": ("set", f"<query xmlns='jabber:iq:register'>{FORM.format('http://jabber.org/protocol/muc#register', NICK)}</query>", VAULT, "forbidden|item-not-found|not-allowed|registration-required|service-unavailable|feature-not-implemented"),
    "a room's picture": ("get", "<vCard xmlns='vcard-temp'/>", VAULT, "forbidden|item-not-found|not-allowed|service-unavailable|registration-required"),
    "to set a room's picture": ("set", "<vCard xmlns='vcard-temp'/>", VAULT, "forbidden|item-not-found|not-allowed|service-unavailable|registration-required"),
    "through an occupant": ("get", "<ping xmlns='urn:xmpp:ping'/>", f"{VAULT}/bob", "not-acceptable|item-not-found|forbidden|registration-required"),
    "whether an occupant is there": ("get", "<ping xmlns='urn:xmpp:ping'/>", f"{VAULT}/eve", "not-acceptable|item-not-found|forbidden|registration-required"),
    "somebody's contacts": ("get", "<query xmlns='jabber:iq:roster'/>", "alice@localhost", "forbidden|service-unavailable|not-allowed"),
    "to be somebody's contact": ("set", "<query xmlns='jabber:iq:roster'><item jid='eve@localhost' subscription='both'/></query>", "alice@localhost", "forbidden|service-unavailable|not-allowed"),
    "whom somebody blocks": ("get", "<blocklist xmlns='urn:xmpp:blocking'/>", "alice@localhost", "forbidden|service-unavailable|not-allowed"),
    "to block for somebody": ("set", "<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>", "alice@localhost", "forbidden|service-unavailable|not-allowed"),
    "somebody's notes": ("get", "<query xmlns='jabber:iq:private'><note xmlns='urn:example:note'/></query>", "alice@localhost", "forbidden|service-unavailable|not-allowed"),
    "to change somebody's card": ("set", "<vCard xmlns='vcard-temp'><FN>eve</FN></vCard>", "alice@localhost", "forbidden|service-unavailable|not-allowed"),
    "somebody's bookmarks": ("get", f"<pubsub xmlns='{PUBSUB}'><items node='urn:xmpp:bookmarks:1'/></pubsub>", "alice@localhost", "forbidden|not-authorized|not-allowed|item-not-found|closed-node"),
    "items for contacts": ("get", f"<pubsub xmlns='{PUBSUB}'><items node='http://jabber.org/protocol/mood'/></pubsub>", "alice@localhost", "not-authorized|forbidden|item-not-found"),
    "news for contacts": ("set", f"<pubsub xmlns='{PUBSUB}'><subscribe node='http://jabber.org/protocol/mood' jid='eve@localhost'/></pubsub>", "alice@localhost", "not-authorized|forbidden|item-not-found|feature-not-implemented|not-allowed"),
    "to publish as somebody": ("set", f"<pubsub xmlns='{PUBSUB}'><publish node='urn:xmpp:bookmarks:1'><item id='{VAULT}'><conference xmlns='urn:xmpp:bookmarks:1'/></item></publish></pubsub>", "alice@localhost", "forbidden|not-allowed|not-authorized|service-unavailable"),
    "to take back somebody's item": ("set", f"<pubsub xmlns='{PUBSUB}'><retract node='urn:xmpp:bookmarks:1'><item id='{VAULT}'/></retract></pubsub>", "alice@localhost", "forbidden|not-allowed|not-authorized|service-unavailable|item-not-found"),
    "to open somebody's node": ("set", f"<pubsub xmlns='{PUBSUB_OWNER}'><configure node='urn:xmpp:bookmarks:1'>{FORM.format('http://jabber.org/protocol/pubsub#node_config', OPEN)}</configure></pubsub>", "alice@localhost", "forbidden|not-allowed|not-authorized|service-unavailable|item-not-found"),
    "to delete somebody's node": ("set", f"<pubsub xmlns='{PUBSUB_OWNER}'><delete node='urn:xmpp:bookmarks:1'/></pubsub>", "alice@localhost", "forbidden|not-allowed|not-authorized|service-unavailable|item-not-found"),
    "who may read somebody's node": ("get", f"<pubsub xmlns='{PUBSUB_OWNER}'><affiliations node='urn:xmpp:bookmarks:1'/></pubsub>", "alice@localhost", "forbidden|not-allowed|not-authorized|service-unavailable|item-not-found|feature-not-implemented"),
    "how long somebody is away": ("get", "<query xmlns='jabber:iq:last'/>", "alice@localhost", "forbidden|service-unavailable|not-authorized|not-allowed"),
    "commands of the node": ("set", "<command xmlns='http://jabber.org/protocol/commands' node='http://jabber.org/protocol/admin#delete-user'/>", "localhost", "forbidden|service-unavailable|not-allowed|item-not-found|feature-not-implemented"),
    "to remove somebody's account": ("set", "<query xmlns='jabber:iq:register'><remove/></query>", "alice@localhost", "forbidden|service-unavailable|not-allowed|feature-not-implemented"),
    "to set somebody's password": ("set", "<query xmlns='jabber:iq:register'><username>alice</username><password>evil</password></query>", "localhost", "forbidden|service-unavailable|not-allowed|feature-not-implemented|not-authorized|bad-request|not-acceptable"),
}  # fmt: skip


@pytest.mark.parametrize("what", ASKED)
def test_asking(scene, what):
    kind, payload, whom, condition = ASKED[what]
    with pytest.raises(Refused) as refused:
        scene.eve.asks(kind, payload, whom)
    assert re.fullmatch(condition, refused.value.condition), refused.value


def test_disco_tells_nothing_of_a_hidden_room(scene):
    rooms = scene.eve.asks("get", f"<query xmlns='{DISCO_ITEMS}'/>", "rooms.localhost")
    jids = {i.get("jid") for i in rooms.iter(f"{{{DISCO_ITEMS}}}item")}
    assert "town@rooms.localhost" in jids and VAULT not in jids
    for payload in (f"<query xmlns='{DISCO_INFO}'/>", f"<query xmlns='{DISCO_ITEMS}'/>"):
        try:
            answer = scene.eve.asks("get", payload, VAULT)
        except Refused:
            continue
        assert not list(answer.iter(f"{{{DISCO_ITEMS}}}item")), "the people of a hidden room"


def test_disco_shows_no_private_nodes(scene):
    try:
        answer = scene.eve.asks("get", f"<query xmlns='{DISCO_ITEMS}'/>", "alice@localhost")
    except Refused:
        return
    assert "urn:xmpp:bookmarks:1" not in {i.get("node") for i in answer.iter(f"{{{DISCO_ITEMS}}}item")}


def test_own_archive_holds_nothing_of_others(scene):
    for fields in ({}, {"with_": VAULT}, {"with_": "alice@localhost"}, {"ids": [scene.in_vault.archive_id]}):
        try:
            page = scene.eve.page(**fields)
        except Refused:
            continue
        assert scene.in_vault.archive_id not in page.ids


def test_own_room_does_not_open_another(scene):
    """The archive of a room that she is in, asked with an id of one that she is not in."""
    for fields in ({"after": scene.in_vault.archive_id}, {"ids": [scene.in_vault.archive_id]}):
        try:
            page = scene.eve.page("#town", **fields)
        except Refused as why:
            assert why.condition == "item-not-found"
            continue
        assert scene.in_vault.archive_id not in page.ids


def test_entering(scene):
    with pytest.raises(AssertionError):
        scene.eve.joins("#vault", timeout=3)
    assert "eve" not in scene.bob.people("#vault")


@pytest.mark.parametrize("where", ["#vault", "#vault/bob"])
def test_speaking_from_outside(scene, where):
    mark, text = scene.eve.now(), token("outside")
    kind = "groupchat" if where == "#vault" else "chat"
    scene.eve.sends(f"<message to='{scene.town.jid(where)}' type='{kind}' id='{uuid.uuid4().hex}'><body>{text}</body></message>")
    scene.eve.sees("refused", mark)
    scene.bob.fences()
    scene.bob.heard_never(text)
    scene.alice.heard_never(text)


def test_inviting_oneself(scene):
    mark = scene.eve.now()
    scene.eve.sends(f"<message to='{VAULT}' id='{uuid.uuid4().hex}'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='eve@localhost'/></x></message>")
    scene.eve.sees("refused", mark)
    with pytest.raises(AssertionError):
        scene.eve.joins("#vault", timeout=3)


@pytest.mark.parametrize("forged", ["alice@localhost", "alice@localhost/one", "localhost", "town@rooms.localhost", "town@rooms.localhost/alice"])
def test_a_forged_sender(scene, forged):
    """RFC 6120 §8.1.2.1: an error, or the server's own `from`."""
    text = token("forged")

    async def go():
        async with Xmpp(scene.town, "eve", resource="forger") as eve:
            eve.sends(f"<message from='{forged}' to='bob@localhost' type='chat' id='f'><body>{text}</body></message>")
            await asyncio.wait({asyncio.ensure_future(eve.gone.wait()), asyncio.ensure_future(eve.asks("get", "<ping xmlns='urn:xmpp:ping'/>", patience=5))}, return_when=asyncio.FIRST_COMPLETED)

    asyncio.run(go())
    scene.bob.fences()
    assert {s.who for s in scene.bob.find("message", text=text)} <= {"eve"}


def test_forged_ids_and_occupants_are_the_servers(scene):
    """XEP-0359 §5 and XEP-0421: who owns the name strips what others wrote under it."""
    text = token("ids")
    scene.eve.says("#town", text, "<stanza-id xmlns='urn:xmpp:sid:0' by='town@rooms.localhost' id='forged'/><occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>"
                   "<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner' role='moderator'/></x>")  # fmt: skip
    heard = scene.alice.hears(text, where="#town")
    raw = heard.raw
    assert [s.get("id") for s in raw.iter("{urn:xmpp:sid:0}stanza-id") if s.get("by") == "town@rooms.localhost"] != ["forged"]
    assert "forged" not in [s.get("id") for s in raw.iter("{urn:xmpp:sid:0}stanza-id")]
    assert "forged" not in [s.get("id") for s in raw.iter("{urn:xmpp:occupant-id:0}occupant-id")]
    assert not list(raw.iter("{http://jabber.org/protocol/muc#user}item"))


def test_others_words_stay(scene):
    """eve takes back, moderates, corrects and reacts in the name of nobody but herself."""
    id = scene.in_town.archive_id
    mark = scene.eve.now()
    with pytest.raises(Refused) as refused:
        scene.eve.asks("set", f"<moderate xmlns='urn:xmpp:message-moderate:1' id='{id}'><retract xmlns='urn:xmpp:message-retract:1'/></moderate>", "town@rooms.localhost")
    assert refused.value.condition in ("forbidden", "not-allowed")
    scene.eve.says("#town", "", f"<retract xmlns='urn:xmpp:message-retract:1' id='{id}'/><store xmlns='urn:xmpp:hints'/>", body=False)
    scene.eve.says("#town", "", f"<replace xmlns='urn:xmpp:message-correct:0' id='{scene.in_town.id}'/><store xmlns='urn:xmpp:hints'/>", body=False)
    redacted = scene.raw.asks(f"REDACT #town {id} :gone")
    assert [x.params[:2] for x in redacted if x.command == "FAIL"] == [["REDACT", "REDACT_FORBIDDEN"]], redacted
    scene.alice.sends("<presence/>")
    history = scene.alice.history("#town")
    assert [s.text for s in history if s.archive_id == id and s.kind == "message"] == ["for everybody"], scene.eve.seen[mark:]
    assert not [s for s in scene.bob.history("#town") if s.kind == "retraction" and s.to == id]


def test_a_probe_is_not_answered(scene):
    mark = scene.eve.now()
    for kind in ("probe", "subscribed"):
        scene.eve.sends(f"<presence to='alice@localhost' type='{kind}'/>")
    scene.eve.asks("get", "<ping xmlns='urn:xmpp:ping'/>")
    assert not scene.eve.find("online", mark, who="alice", where="alice")
    assert not [x for x in scene.eve._lines if " < <presence" in x and "from=\"alice@localhost" in x and "type=" not in x]


def test_somebody_elses_stream_is_not_resumed(scene):
    async def go():
        async with Xmpp(scene.town, "alice", resource="phone") as alice:
            eve = Xmpp(scene.town, "eve", resource="thief")
            await eve.connects()
            await eve.authenticates()
            eve.previd = alice.previd
            resumed, h = await eve.resumes()
            await eve.leaves()
            assert not resumed and h is None
            await alice.asks("get", "<ping xmlns='urn:xmpp:ping'/>", patience=10)

    asyncio.run(go())


@pytest.mark.parametrize("authzid", ["alice", "alice@localhost"])
def test_authzid_of_somebody_else(scene, authzid):
    import base64

    said = base64.b64encode(f"{authzid}\0eve\0{SECRET}".encode())
    with XmppDoor(scene.town, "tls") as door:
        door.sends(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + said + b"</auth>").reads_until("<failure")
        assert b"<success" not in door.got
    with IrcDoor(scene.town, "tls") as door:
        door.sends(b"CAP REQ :sasl\r\nNICK eve\r\nUSER e 0 * :e\r\nAUTHENTICATE PLAIN\r\n").reads_until(r"AUTHENTICATE \+")
        door.sends(b"AUTHENTICATE " + said + b"\r\n").reads_until(" 904 ")
        assert b" 900 " not in door.got


def test_nick_of_somebody_else(scene):
    """Signed in as eve, under alice's nick."""
    with IrcDoor(scene.town, "tls") as door:
        door.sends(b"CAP REQ :sasl\r\nNICK alice\r\nUSER e 0 * :e\r\nAUTHENTICATE PLAIN\r\n").reads_until(r"AUTHENTICATE \+")
        door.sends(b"AUTHENTICATE " + plain("eve", SECRET) + b"\r\nCAP END\r\n").reads_until(" (001|433) ")
        assert b" 001 alice " not in door.got
    answer = scene.raw.asks("NICK alice")
    assert not [x for x in answer if x.command == "NICK" and x.params[0] == "alice"], answer


def test_without_signing_in(scene):
    """No guests: nobody comes in without an account."""
    with IrcDoor(scene.town, "tls") as door:
        door.sends(b"NICK alice\r\nUSER a 0 * :a\r\n")
        door.sends(b"JOIN #town\r\nCHATHISTORY LATEST #town * 10\r\nPING x\r\n")
        door.is_closed(3)
        assert b" 001 " not in door.got and b"PRIVMSG" not in door.got


# What eve types, and what may come back: a pattern that each line of the answer (but the PONG) has to fit.
TYPED: dict[str, str] = {
    "JOIN #vault": r"(473|474|403|471|475|477) ",
    "NAMES #vault": r"(366|403) ",
    "WHO #vault": r"315 ",
    "WHO #vault %tcnuhraf,42": r"315 ",
    "WHO *": r"(315|352|354|416|461) ",
    "LIST": r"32[123] .*(?!vault)",
    "LIST #vault": r"32[13] ",
    "LIST *vault*": r"32[13] ",
    "TOPIC #vault": r"(442|403) ",
    "TOPIC #vault :mine": r"(442|403|482) ",
    "MODE #vault": r"(442|403|324|329) ",
    "MODE #vault b": r"(442|403|368|482) ",
    "MODE #vault +o eve": r"(442|403|482|441) ",
    "MODE #town +o eve": r"482 ",
    "MODE #town +b bob": r"482 ",
    "KICK #vault bob": r"(442|403|482) ",
    "KICK #town bob": r"482 ",
    "INVITE eve #vault": r"(442|403|482) ",
    "RENAME #town #evil": r"(482|FAIL RENAME)",
    "RENAME #vault #evil": r"(442|403|482|FAIL RENAME)",
    "PRIVMSG #vault :hi": r"(404|403|442) ",
    "NOTICE #vault :hi": r"(404|403|442) ",
    "CHATHISTORY LATEST #vault * 10": r"FAIL CHATHISTORY INVALID_TARGET",
    "CHATHISTORY AROUND #vault timestamp=2026-01-01T00:00:00.000Z 10": r"FAIL CHATHISTORY INVALID_TARGET",
    "CHATHISTORY BEFORE #vault timestamp=2100-01-01T00:00:00.000Z 10": r"FAIL CHATHISTORY INVALID_TARGET",
    "CHATHISTORY LATEST nobody * 10": r"FAIL CHATHISTORY INVALID_TARGET|BATCH ",
    "MARKREAD #vault": r"(FAIL MARKREAD|403|442|MARKREAD #vault \*)",
    "MARKREAD #vault timestamp=2026-01-01T00:00:00.000Z": r"(FAIL MARKREAD|403|442)",
    "METADATA #vault LIST": r"(FAIL METADATA|403|442|421)",
    "METADATA #vault GET avatar": r"(FAIL METADATA|403|442|421)",
    "METADATA #vault SYNC": r"FAIL METADATA INVALID_TARGET",
    "METADATA #vault CLEAR": r"FAIL METADATA INVALID_TARGET",
    "SEARCH in=#vault": r"FAIL SEARCH INVALID_PARAMS",
    "SEARCH in=#nowhere": r"FAIL SEARCH INVALID_PARAMS",
    "METADATA alice SET avatar :https://evil.example/": r"(FAIL METADATA|421)",
    "METADATA #town SET avatar :https://evil.example/": r"(FAIL METADATA|421|482)",
    "WHOIS alice": r"(311|312|313|317|318|319|320|330|335|338|378|379|671|276|301) (?!.*vault).*",
    "WHOIS bob": r"(311|312|313|317|318|319|320|330|335|338|378|379|671|276|301) (?!.*vault).*",
    "SAJOIN eve #vault": r"(421|481) ",
    "KILL alice :bye": r"481 ",
    "WALLOPS :hi": r"(481|421) ",
    "STATS o": r"(219|481) ",
    "REGISTER alice * evil": r"(FAIL REGISTER|421)",
}


@pytest.mark.parametrize("typed", TYPED)
def test_typing(scene, typed):
    answer = scene.raw.asks(typed)
    mine = [x for x in answer if x.command not in ("PONG", "PING") and x.nick != "alice"]
    for line in mine:
        shown = " ".join((line.command, *line.params))
        if line.command.isdigit():
            shown = " ".join((line.command, *line.params[1:]))
        assert re.match(TYPED[typed], shown + " "), f"{typed}: {shown}"
        assert "#vault" not in shown or line.command not in ("319", "322", "353", "352", "354")
    assert mine, f"{typed} had no answer"


@pytest.mark.parametrize("typed", ["MODE #vault +o {}", "MODE #vault +v {}", "KICK #vault {}", "INVITE {} #vault", "WHO {}", "NAMES #vault"])
def test_who_is_a_member_shows_in_no_answer(scene, typed):
    """The same answer about bob, who is one, and about carol, who is none: only the names differ."""
    told = []
    for name in ("bob", "carol"):
        got = [x for x in scene.raw.asks(typed.format(name)) if x.command not in ("PONG", "352")]
        told.append([(x.command, [p.replace(name, "NAME") for p in x.params]) for x in got])
    assert told[0] == told[1]


def test_whether_a_hidden_room_is_there_shows_in_few_answers(scene):
    """Only JOIN and PRIVMSG have to say why; everything else answers as for a room that is not there."""
    for typed in ("NAMES {}", "WHO {}", "LIST {}", "TOPIC {}", "MODE {}", "MODE {} b", "CHATHISTORY LATEST {} * 10", "MARKREAD {}", "REDACT {} 01ARZ3NDEKTSV4RRFFQ69G5FAV", "INVITE bob {}", "KICK {} bob"):
        there, nowhere = ([x.command for x in scene.raw.asks(typed.format(room))] for room in ("#vault", "#nowhere"))
        assert there == nowhere, typed


def test_history_by_the_id_of_another_room(scene):
    for how in ("BEFORE", "AFTER", "AROUND"):
        scene.raw.asks(f"CHATHISTORY {how} #town msgid={scene.in_vault.archive_id} 50")
    scene.raw.asks(f"CHATHISTORY BETWEEN #town msgid={scene.in_vault.archive_id} msgid={scene.in_town.archive_id} 50")
    got = scene.raw.asks("CHATHISTORY TARGETS timestamp=2000-01-01T00:00:00.000Z timestamp=2100-01-01T00:00:00.000Z 100")
    assert not [x for x in got if "#vault" in x.params or "alice" in x.params], got


def test_searching_for_what_was_said_elsewhere(scene):
    word = max(scene.secret["text"].split(), key=len)
    found = [x for x in scene.raw.asks(f"SEARCH text={word}") if x.command != "PONG"]
    assert [x.command for x in found] == ["BATCH", "BATCH"], found


def test_reacting_and_redacting_in_a_room_from_outside(scene):
    for typed in (f"@+draft/reply={scene.in_vault.archive_id};+draft/react=x TAGMSG #vault", f"REDACT #vault {scene.in_vault.archive_id}", f"REDACT #town {scene.in_vault.archive_id}"):
        got = [x for x in scene.raw.asks(typed) if x.command != "PONG"]
        assert got and all(x.command in ("FAIL", "404", "403", "442") for x in got), (typed, got)
    assert [s.text for s in scene.bob.history("#vault") if s.archive_id == scene.in_vault.archive_id and s.kind == "message"] == [scene.secret["text"]]


def test_whether_a_stranger_is_online(scene):
    """carol shares no room with eve and is no contact: presence goes to accepted contacts only."""
    answers = [line for typed in ("MONITOR + carol", "ISON carol", "USERHOST carol", "WHOIS carol", "WHO carol", "WHOWAS carol", "MONITOR S") for line in scene.raw.asks(typed)]
    online = [x for x in answers if x.command == "730" or x.command in ("303", "302") and "carol" in x.params[-1] or x.command in ("317", "352", "354", "301")]
    assert not online, online


def test_forged_tags(scene):
    text = token("tags")
    mark = len(scene.bob.lines)
    scene.raw.asks(f"@account=alice;msgid=forged;time=2001-01-01T00:00:00.000Z;+fine=yes :alice!a@h PRIVMSG #town :{text}")
    scene.bob.hears(text, where="#town", who="eve")
    line = next(x for x in scene.bob.lines[mark:] if x.command == "PRIVMSG" and x.params[-1] == text)
    assert (line.tags.get("account"), line.tags["msgid"] != "forged", line.tags["time"][:4] > "2001") == ("eve", True, True), line


def test_files(scene):
    """Only who has the address has the file, and nobody writes to an address twice."""
    parts = urlsplit(scene.url)
    *folders, slot, name = parts.path.split("/")
    assert len(slot) >= 20, f"an address that can be guessed: {scene.url}"
    assert scene.eve.http("GET", scene.url)[1] == scene.secret["file"].encode()
    base = f"{parts.scheme}://{parts.netloc}"
    other = slot[:-1] + ("a" if slot[-1] != "a" else "b")
    for path in ("/".join((*folders, other, name)), "/".join((*folders, "")), "/".join(folders), "/".join((*folders, slot, "")), "/".join((*folders, slot, "other.txt"))):
        status, body = scene.eve.http("GET", base + path)
        assert status in (400, 403, 404, 405) and scene.secret["file"].encode() not in body, (path, status)
    status, _ = scene.eve.http("PUT", scene.url, b"x" * len(scene.secret["file"]))
    assert status in (400, 401, 403, 404, 405, 409, 410), status
    status, _ = scene.eve.http("DELETE", scene.url)
    assert status in (400, 401, 403, 404, 405), status
    assert scene.alice.http("GET", scene.url)[1] == scene.secret["file"].encode()


def test_what_is_revoked_ends_the_sessions_that_came_in_by_it():
    """Within five seconds, on every protocol; nobody else is disturbed."""
    town = Town()
    try:
        asyncio.run(revokes(town))
    finally:
        town.stop()


def matrix_token(town: Town, password: str) -> str:
    """Signs in with a Matrix app."""
    asked = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": password}
    request = urllib.request.Request(f"{town.page}_matrix/client/v3/login", json.dumps(asked).encode(), method="POST")
    with urllib.request.urlopen(request, context=town.tls(), timeout=20) as answer:
        return json.load(answer)["access_token"]


def matrix_knows(town: Town, token: str) -> int:
    """The status with which the node answers that app."""
    who = urllib.request.Request(f"{town.page}_matrix/client/v3/account/whoami", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(who, context=town.tls(), timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as why:
        return why.code


async def revokes(town: Town) -> None:
    phone = town.runs("account", "app-password", "alice", "phone")
    desk, chat = Xmpp(town, "alice"), Irc(town, "alice")
    pocket = Xmpp(town, "alice", phone["password"], "pocket")
    mobile = Irc(town, "alice", phone["password"])
    for one in (desk, chat, pocket, mobile):
        await one.signs_in()
    # A second app password may be called the same by its owner; it is another one.
    again = town.runs("account", "app-password", "alice", "phone")
    third = Xmpp(town, "alice", again["password"], "third")
    await third.signs_in()
    element, element_again = (matrix_token(town, word["password"]) for word in (phone, again))
    assert [matrix_knows(town, token) for token in (element, element_again)] == [200, 200]
    town.runs("account", "app-password", "alice", "--remove", phone["id"])
    await asyncio.wait_for(asyncio.gather(pocket.gone.wait(), mobile.gone.wait()), 5)
    assert [matrix_knows(town, token) for token in (element, element_again)] == [401, 200]
    await third.asks("get", "<ping xmlns='urn:xmpp:ping'/>", town.domain)
    await desk.asks("get", "<ping xmlns='urn:xmpp:ping'/>", town.domain)
    await chat.asks("LUSERS")
    resumes = Xmpp(town, "alice")
    resumes.previd = pocket.previd
    await resumes.connects()
    await resumes.authenticates()
    assert not (await resumes.resumes())[0], "what was revoked is gone, not only disconnected"
    town.runs("account", "password", "alice", "--stdin", stdin="entirely other words\n")
    await asyncio.wait_for(asyncio.gather(desk.gone.wait(), chat.gone.wait()), 5)

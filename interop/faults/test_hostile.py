"""Hostile input at every door: each gets its protocol's own error, and the node goes on serving others within bounded memory."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import re
import socket
import ssl
import time
from collections.abc import Iterable

import aiohttp
import pytest

from faults.doors import HEADER, Door, IrcDoor, XmppDoor
from faults.lines import Irc
from faults.stanzas import Xmpp
from faults.town import Town

pytestmark = [pytest.mark.sammen, pytest.mark.timeout(300)]
MiB = 1 << 20
GROWTH = 96 * MiB
"""What all of this together may cost the node."""


@pytest.fixture(scope="module")
def town():
    node = Town()
    node.people("mallory", "nina")
    asyncio.run(serves(node))
    node.memory_before = node.memory()
    yield node
    grown = node.memory() - node.memory_before
    print(f"memory {node.memory_before / MiB:.0f} MiB, {grown / MiB:+.0f} MiB afterwards")
    node.stop()
    assert grown < GROWTH, f"hostile input cost {grown / MiB:.0f} MiB"


async def serves(node: Town) -> None:
    async with Xmpp(node, "nina") as nina:
        await nina.asks("get", "<ping xmlns='urn:xmpp:ping'/>", patience=20)


async def serves_both(node: Town) -> None:
    await serves(node)
    async with Irc(node, "nina") as nina:
        await nina.asks("LUSERS", patience=20)


@pytest.fixture(autouse=True)
def others_are_served(town, request):
    """A well-behaved client signs in and is answered after each of these."""
    request.node.people = [town]
    yield
    assert town.program.alive, town.logs()
    asyncio.run(serves(town))
    assert town.memory() - town.memory_before < GROWTH


def endless(head: bytes, again: bytes, most: int = 8 * MiB) -> Iterable[bytes]:
    yield head
    piece = again * (16384 // len(again))
    yield from itertools.repeat(piece, most // len(piece))


BOMB = b"<!DOCTYPE b [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
MESSAGE = b"<message to='nina@localhost'><body>%s</body></message>"

# What is said after the stream's features, and the stream error (RFC 6120 §4.9.3) that must come. For strangers and members.
STANZAS: dict[str, tuple[bytes | Iterable, str]] = {
    "oversized stanza": (MESSAGE % (b"a" * 2 * MiB), "policy-violation"),
    "endless element": (lambda: endless(b"<message><body>", b"endless "), "policy-violation"),
    "endless tag name": (lambda: endless(b"<", b"a"), "policy-violation"),
    "endless attribute": (lambda: endless(b"<message to='", b"a"), "policy-violation"),
    "endless white space in a tag": (lambda: endless(b"<message", b" "), "policy-violation"),
    "deep nesting": (b"<message>" + b"<a>" * 5000, "policy-violation"),
    "whole deep nesting": (b"<message>" + b"<a>" * 1000 + b"</a>" * 1000 + b"</message>", "policy-violation"),
    "many elements": (b"<message>" + b"<x/>" * 50_000 + b"</message>", "policy-violation"),
    "many attributes": (b"<message %s/>" % b" ".join(b"a%d='1'" % n for n in range(1000)), "policy-violation"),
    "entity bomb": (BOMB + MESSAGE % b"&b;", "restricted-xml"),
    "document type": (b"<!DOCTYPE message SYSTEM 'file:///etc/passwd'>", "restricted-xml"),
    "entity of one's own": (MESSAGE % b"&file;", "restricted-xml"),
    "comment": (b"<!-- hello --><message/>", "restricted-xml"),
    "comment inside": (MESSAGE % b"<!-- hello -->", "restricted-xml"),
    "processing instruction": (b"<?php echo 1 ?>", "restricted-xml"),
    "bad UTF-8": (MESSAGE % b"\xff\xfe", "unsupported-encoding"),
    "overlong UTF-8": (MESSAGE % b"\xc0\xaf", "unsupported-encoding"),
    "a surrogate in UTF-8": (MESSAGE % b"\xed\xa0\x80", "unsupported-encoding"),
    "UTF-16": ("<message/>".encode("utf-16"), "unsupported-encoding|not-well-formed|bad-format"),
    "NUL": (MESSAGE % b"\0", "not-well-formed"),
    "NUL as a reference": (MESSAGE % b"&#0;", "not-well-formed"),
    "a character that XML has not": (MESSAGE % b"&#x1f;", "not-well-formed"),
    "wrong end tag": (b"<message><body></message></body>", "not-well-formed"),
    "unbound prefix": (b"<evil:message/>", "not-well-formed|bad-namespace-prefix"),
    "an attribute twice": (b"<message to='a@localhost' to='b@localhost'/>", "not-well-formed"),
    "attribute without quotes": (b"<message to=a/>", "not-well-formed"),
    "text between stanzas": (b"hello", "bad-format"),
    "line noise": (bytes(range(1, 255)) * 10, "not-well-formed|unsupported-encoding|bad-format"),
    "unknown stanza": (b"<command/>", "unsupported-stanza-type|not-authorized"),
    "a stream inside": (HEADER[21:] + b"</stream:stream>", "unsupported-stanza-type|not-authorized"),
}  # fmt: skip


@pytest.mark.parametrize("member", [False, True], ids=["stranger", "member"])
@pytest.mark.parametrize("kind", ["clear", "starttls", "tls"])
@pytest.mark.parametrize("what", STANZAS)
def test_xmpp(town, kind, member, what):
    said, condition = STANZAS[what]
    with XmppDoor(town, kind, member=member) as door:
        door.sends(said() if callable(said) else said)
        door.is_told(condition)


# Instead of a stream header: RFC 6120 §4.9.1.2 wants one from us even then.
HEADERS: dict[str, tuple[bytes | Iterable, str]] = {
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "not-well-formed|bad-format|invalid-namespace"),
    "line noise": (os.urandom(4096).replace(b"\x16", b"x").replace(b"<", b"x"), "not-well-formed|bad-format|unsupported-encoding"),
    "endless header": (lambda: endless(b"<stream:stream to='", b"a"), "policy-violation"),
    "another namespace": (HEADER.replace(b"jabber:client", b"jabber:evil"), "invalid-namespace"),
    "another root": (b"<html xmlns='http://www.w3.org/1999/xhtml'>", "invalid-namespace|bad-format"),
    "another host": (HEADER.replace(b"'localhost'", b"'elsewhere.example'"), "host-unknown"),
    "another version": (HEADER.replace(b"version='1.0' xmlns=", b"version='7.3' xmlns="), "unsupported-version"),
    "another encoding": (b"<?xml version='1.0' encoding='iso-8859-1'?>" + HEADER[21:], "unsupported-encoding"),
    "entity bomb": (BOMB + HEADER[21:], "restricted-xml"),
    "NUL": (b"\0\0\0\0", "not-well-formed|bad-format|unsupported-encoding"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["clear", "tls"])
@pytest.mark.parametrize("what", HEADERS)
def test_xmpp_header(town, kind, what):
    said, condition = HEADERS[what]
    with XmppDoor(town, kind, header=None) as door:
        door.sends(said() if callable(said) else said)
        door.is_told(condition)
        assert b"<stream:stream" in door.got, "a stream error without a stream"


@pytest.mark.parametrize("member", [False, True], ids=["stranger", "member"])
def test_xmpp_white_space_without_end_costs_nothing(town, member):
    """It is no error (RFC 6120 §4.6.1), and nothing is kept of it."""
    with XmppDoor(town, "clear", member=member) as door:
        before = town.memory()
        door.sends(endless(b" ", b" "))
        door.sends(MESSAGE % b"\0").is_told("not-well-formed|policy-violation")
        assert town.memory() - before < 4 * MiB


AUTH = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='%s'>%s</auth>"
# RFC 6120 §6.5: what SASL says, and on.
SASL: dict[str, tuple[bytes, str]] = {
    "unknown mechanism": (AUTH % (b"EVIL", b"AAAA"), "<failure.*<invalid-mechanism"),
    "no base64": (AUTH % (b"PLAIN", b"!!!!"), "<failure.*<incorrect-encoding"),
    "broken base64": (AUTH % (b"PLAIN", b"AAAA="), "<failure.*<incorrect-encoding"),
    "no NUL": (AUTH % (b"PLAIN", base64.b64encode(b"mallory")), "<failure.*<(malformed-request|not-authorized)"),
    "too many NUL": (AUTH % (b"PLAIN", base64.b64encode(b"\0a\0b\0c")), "<failure.*<(malformed-request|not-authorized)"),
    "bad UTF-8": (AUTH % (b"PLAIN", base64.b64encode(b"\0\xff\0\xff")), "<failure.*<(malformed-request|not-authorized)"),
    "wrong password": (AUTH % (b"PLAIN", base64.b64encode(b"\0nina\0wrong")), "<failure.*<not-authorized"),
    "nobody": (AUTH % (b"PLAIN", base64.b64encode(b"\0nobody\0wrong")), "<failure.*<not-authorized"),
    "as somebody else": (AUTH % (b"PLAIN", base64.b64encode(b"nina@localhost\0mallory\0crowd-secret-1")), "<failure.*<invalid-authzid"),
    "long password": (AUTH % (b"PLAIN", base64.b64encode(b"\0nina\0" + b"a" * 8000)), "<failure.*<(not-authorized|malformed-request)"),
    "long name": (AUTH % (b"PLAIN", base64.b64encode(b"\0" + b"a" * 8000 + b"\0b")), "<failure.*<(not-authorized|malformed-request)"),
    "huge": (AUTH % (b"PLAIN", b"AAAA" * 500_000), "<stream:error.*<policy-violation"),
    "a response to nothing": (b"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AAAA</response>", "<failure|<stream:error"),
    "given up": (AUTH % (b"SCRAM-SHA-1", base64.b64encode(b"n,,n=mallory,r=abc")) + b"<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "<failure.*<aborted"),
    "SCRAM nonsense": (AUTH % (b"SCRAM-SHA-1", base64.b64encode(b"x,y,z")), "<failure.*<malformed-request"),
    "SCRAM as somebody else": (AUTH % (b"SCRAM-SHA-1", base64.b64encode(b"n,a=nina,n=mallory,r=abc")), "<failure.*<invalid-authzid|<challenge"),
    "a message first": (MESSAGE % b"hi", "<stream:error.*<not-authorized"),
    "bind first": (b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "<stream:error.*<not-authorized"),
    "enable first": (b"<enable xmlns='urn:xmpp:sm:3'/>", "<failed|<stream:error.*<(not-authorized|unsupported-stanza-type)"),
}  # fmt: skip


@pytest.mark.parametrize("what", SASL)
def test_xmpp_sasl(town, what):
    said, answer = SASL[what]
    with XmppDoor(town, "tls") as door:
        door.sends(said).reads_until(answer)
        assert b"<success" not in door.got


def test_xmpp_who_guesses_on_and_on_is_shown_out(town):
    with XmppDoor(town, "tls") as door:
        for _ in range(50):
            door.sends(AUTH % (b"PLAIN", base64.b64encode(b"\0nina\0wrong")))
        assert door.is_closed(), "fifty wrong passwords on one connection"
        assert b"<success" not in door.got


def test_xmpp_nothing_smuggled_before_starttls_counts(town):
    """What came in clear behind `<starttls/>` is somebody else's (RFC 6120 §5.4.3.3)."""
    with XmppDoor(town, "clear") as door:
        door.sends(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + HEADER + AUTH % (b"PLAIN", b"AG1hbGxvcnkAeA=="))
        assert door.is_closed() or b"<proceed" in door.got
        assert b"<failure" not in door.got and b"<success" not in door.got


# A line, and what must be answered; for strangers or members ("both"). Afterwards the connection works unless it says ERROR.
LINES: dict[str, tuple[str, bytes | Iterable, str]] = {
    "long line": ("both", b"PRIVMSG nina :" + b"a" * 10_000 + b"\r\n", " 417 "),
    "endless line": ("both", lambda: endless(b"PRIVMSG nina :", b"a"), " 417 "),
    "long tags": ("both", b"@+a=" + b"a" * 10_000 + b" PRIVMSG nina :hi\r\n", " 417 "),
    "many tags": ("both", b"@" + b";".join(b"+a%d=1" % n for n in range(3000)) + b" PRIVMSG nina :hi\r\n", " 417 "),
    "bad UTF-8": ("member", b"PRIVMSG nina :\xff\xfe\r\n", "FAIL PRIVMSG INVALID_UTF8"),
    "overlong UTF-8": ("member", b"PRIVMSG nina :\xc0\xaf\r\n", "FAIL PRIVMSG INVALID_UTF8"),
    "NUL": ("member", b"PRIVMSG nina :a\0b\r\n", " (421|417|461) |FAIL |ERROR "),
    "unknown command": ("member", b"EVIL a b c\r\n", " 421 mallory EVIL "),
    "numeric from a client": ("member", b"001 nina :hi\r\n", " 421 "),
    "forged source": ("member", b":nina!n@h PRIVMSG mallory :it is me\r\n", ":mallory!"),
    "before signing in": ("stranger", b"PRIVMSG nina :hi\r\n", " 451 "),
    "history before signing in": ("stranger", b"CHATHISTORY LATEST #town * 10\r\n", " 451 |FAIL CHATHISTORY"),
    "bad nick": ("stranger", b"NICK \xc3\xa9 \r\nNICK #no\r\n", " 432 "),
    "nick of a server": ("stranger", b"NICK a.b!c@d\r\n", " 432 "),
    "unknown CAP": ("both", b"CAP EVIL\r\n", " 410 "),
    "CAP that is not there": ("both", b"CAP REQ :evil\r\n", "CAP [^ ]+ NAK :evil"),
    "SASL without CAP": ("stranger", b"AUTHENTICATE EVIL\r\n", " (908|904|906|421|451) |FAIL "),
    "huge SASL": ("sasl", b"AUTHENTICATE PLAIN\r\n" + (b"AUTHENTICATE " + b"A" * 400 + b"\r\n") * 200, " 905 | 904 "),
    "long SASL": ("sasl", b"AUTHENTICATE PLAIN\r\nAUTHENTICATE " + b"A" * 450 + b"\r\n", " 905 "),
    "SASL garbage": ("sasl", b"AUTHENTICATE PLAIN\r\nAUTHENTICATE !!!!\r\n", " 904 "),
    "SASL as somebody else": ("sasl", b"AUTHENTICATE PLAIN\r\nAUTHENTICATE " + base64.b64encode(b"nina\0mallory\0crowd-secret-1") + b"\r\n", " 904 "),
    "SASL given up": ("sasl", b"AUTHENTICATE PLAIN\r\nAUTHENTICATE *\r\n", " 906 "),
    "many targets": ("member", b"PRIVMSG " + b",".join(b"n%d" % n for n in range(90)) + b" :hi\r\n", " 407 |FAIL PRIVMSG"),
    "bad room": ("member", b"JOIN #\x07evil\r\nJOIN #\r\n", " (403|476|479) "),
    "room of 300 letters": ("member", b"JOIN #" + b"a" * 300 + b"\r\n", " (403|476|479|405) "),
    "history without end": ("member", b"CHATHISTORY LATEST nina * 4000000000000000000000\r\n", "FAIL CHATHISTORY|BATCH "),
    "history nonsense": ("member", b"CHATHISTORY EVIL nina * 10\r\n", "FAIL CHATHISTORY"),
    "history from nowhere": ("member", b"CHATHISTORY BEFORE nina msgid=evil 10\r\n", "FAIL CHATHISTORY|BATCH "),
    "batch that is not there": ("member", b"BATCH -evil\r\n", "FAIL BATCH"),
    "batch of an unknown kind": ("member", b"BATCH +a evil/kind nina\r\n", "FAIL BATCH"),
    "batches without end": ("member", b"".join(b"BATCH +b%d draft/multiline nina\r\n" % n for n in range(100)), "FAIL BATCH"),
    "line of a batch that is not there": ("member", b"@batch=evil PRIVMSG nina :hi\r\n", "FAIL BATCH|PRIVMSG nina :hi"),
    "MODE nonsense": ("member", b"MODE mallory +" + b"abcdefghijklmnopqrstuvwxyz" * 10 + b"\r\n", " (501|472|221) "),
    "OPER": ("member", b"OPER root root\r\n", " (464|491|481) "),
    "KILL": ("member", b"KILL nina :bye\r\n", " 481 "),
    "REHASH": ("member", b"REHASH\r\n", " 481 "),
    "DIE": ("member", b"DIE\r\n", " (481|421|723) "),
}  # fmt: skip


def irc_cases():
    for what, (who, _, _) in LINES.items():
        for kind in ("clear", "tls"):
            for one in ("stranger", "member") if who == "both" else (who,):
                yield pytest.param(what, kind, one, id=f"{what}-{kind}-{one}")


@pytest.mark.parametrize(("what", "kind", "who"), irc_cases())
def test_irc(town, what, kind, who):
    _, said, answer = LINES[what]
    with IrcDoor(town, kind, member=who == "member") as door:
        if who == "sasl":
            door.sends(b"CAP REQ :sasl\r\nNICK mallory\r\nUSER m 0 * :m\r\n").reads_until(" ACK ")
            door.got = b""
        door.sends(said() if callable(said) else said, b"\r\n").reads_until(answer)
        assert b" 900 " not in door.got and b" 903 " not in door.got
        if b"ERROR " in door.got:
            assert door.is_closed()
        elif who == "member":
            door.is_listened_to()


def test_irc_line_that_never_ends_is_told_once(town):
    with IrcDoor(town, "tls", member=True) as door:
        door.socket.settimeout(30)
        for piece in endless(b"PRIVMSG nina :", b"a", 2 * MiB):
            door.socket.sendall(piece)
        door.sends(b"\r\n").is_listened_to()
        assert len(re.findall(rb" 417 ", door.got)) == 1


HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)


def doors_of(town: Town) -> dict[str, int]:
    return {"c2s": town.xmpp, "direct TLS": town.xmpp_tls, "IRC": town.irc, "IRC TLS": town.irc_tls, "HTTP": int(town.http.rpartition(":")[2])}


@pytest.mark.parametrize("door", ["c2s", "direct TLS", "IRC TLS", "HTTP"])
def test_tls_nonsense(town, door):
    """A handshake of noise ends with an alert or the end, not with a hang."""
    with Door(doors_of(town)[door]) as one:
        one.sends(HELLO + os.urandom(600))
        assert one.is_closed()


@pytest.mark.parametrize("door", ["direct TLS", "IRC TLS", "HTTP"])
def test_clear_text_at_a_tls_door(town, door):
    with Door(doors_of(town)[door]) as one:
        one.sends(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nNICK mallory\r\n")
        assert one.is_closed()


@pytest.mark.parametrize("door", ["direct TLS", "IRC TLS", "HTTP"])
def test_old_tls_is_refused(town, door):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        Door(doors_of(town)[door], context)


def test_half_handshakes(town):
    """Two hundred who began and went quiet: the two hundred and first is served at once."""
    held = []
    try:
        for number, port in zip(range(200), itertools.cycle(doors_of(town).values())):
            one = socket.create_connection(("127.0.0.1", port), timeout=10)
            one.sendall([b"", HELLO[:1], HELLO, b"<?xml"][number % 4])
            held.append(one)
        asyncio.run(serves_both(town))
    finally:
        for one in held:
            one.close()


def test_slow_loris(town):
    """One byte after the other, on every door, while others are served."""
    held = [(Door(port, town.tls() if name in ("direct TLS", "IRC TLS", "HTTP") else None), text) for name, port, text in (
        (name, port, text)
        for name, port in doors_of(town).items()
        for text in (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200 if name == "HTTP" else b"PRIVMSG nina :aaaaaaaaa" * 9 if "IRC" in name else HEADER,) * 8
    )]  # fmt: skip
    try:
        for at in range(60):
            for door, text in held:
                if not door.closed:
                    door.sends(text[at : at + 1])
            if at % 20 == 0:
                asyncio.run(serves_both(town))
    finally:
        for door, _ in held:
            door.socket.close()


def test_a_crowd_that_only_connects(town):
    held = [socket.create_connection(("127.0.0.1", port), timeout=10) for port in list(doors_of(town).values()) * 150]
    try:
        asyncio.run(serves_both(town))
    finally:
        for one in held:
            one.close()


def test_xmpp_flood(town):
    """Thirty thousand requests at once that nobody reads the answers of; nina is answered meanwhile."""
    with XmppDoor(town, "tls", member=True) as door:
        door.socket.settimeout(5)
        ping = b"<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>" * 300
        began = time.monotonic()
        try:
            for _ in range(100):
                door.socket.sendall(ping)
        except OSError:
            pass  # not read on: back pressure, as it should be
        asyncio.run(serves(town))
        assert time.monotonic() - began < 60


def test_irc_flood(town):
    with IrcDoor(town, "tls", member=True) as door:
        door.socket.settimeout(5)
        lines = b"WHOIS mallory\r\n" * 300
        try:
            for _ in range(100):
                door.socket.sendall(lines)
        except OSError:
            pass
        asyncio.run(serves_both(town))


# A raw request, and the status that must come (or the end).
REQUESTS: dict[str, tuple[bytes | Iterable, str]] = {
    "no request": (b"hello\r\n\r\n", "HTTP/1.[01] 400"),
    "line noise": (b"\xff\xfe\x00\x01" * 100 + b"\r\n\r\n", "HTTP/1.[01] 400"),
    "endless line": (lambda: endless(b"GET /", b"a"), "HTTP/1.[01] (400|414|431)"),
    "endless headers": (lambda: endless(b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X-Header: aaaaaaaaaaaaaa\r\n"), "HTTP/1.[01] (400|431)"),
    "endless header": (lambda: endless(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"a"), "HTTP/1.[01] (400|431)"),
    "many headers": (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X%d: 1\r\n" % n for n in range(500)) + b"\r\n", "HTTP/1.[01] (400|431)"),
    "nothing there": (b"GET /assets/nothing.js HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 404"),
    "out of the house": (b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 (400|404)"),
    "out of the house, in disguise": (b"GET /upload/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 (400|404)"),
    "a slot made up": (b"PUT /upload/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 (401|403|404)"),
    "two lengths": (b"PUT /upload/a/f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc", "HTTP/1.1 400"),
    "no length": (b"PUT /upload/a/f HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\nabc", "HTTP/1.1 400"),
    "bad chunks": (b"PUT /upload/a/f HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\nabc", "HTTP/1.1 4"),
    "WebSocket of nothing": (b"GET /xmpp-websocket HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 4"),
    "WebSocket without its protocol": (b"GET /xmpp-websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", "HTTP/1.1 400"),
}  # fmt: skip


@pytest.mark.parametrize("what", REQUESTS)
def test_http(town, what):
    said, answer = REQUESTS[what]
    with Door(doors_of(town)["HTTP"], town.tls()) as door:
        door.sends(said() if callable(said) else said).reads_until(answer)


OPEN = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>"
# After <open/>: a text or binary message, and the condition, or the code with which the WebSocket is closed.
FRAMES: dict[str, tuple[str | bytes, str]] = {
    "oversized message": ("<message><body>" + "a" * MiB + "</body></message>", "policy-violation|1009"),
    "too much for a stranger": ("<message><body>" + "a" * 100_000 + "</body></message>", "policy-violation"),
    "half an element": ("<message>", "not-well-formed"),
    "two elements": ("<message/><message/>", "not-well-formed|bad-format"),
    "entity bomb": (BOMB.decode() + "<message>&b;</message>", "restricted-xml"),
    "deep nesting": ("<a xmlns='jabber:client'>" * 1000 + "</a>" * 1000, "policy-violation"),
    "a TCP header": (HEADER.decode(), "not-well-formed|restricted-xml|invalid-namespace|bad-format"),
    "NUL": ("<message>\0</message>", "not-well-formed"),
    "binary": (b"<message xmlns='jabber:client'/>", "not-authorized|bad-format|1003|1002|1008|policy-violation|unsupported"),
    "a message first": ("<message xmlns='jabber:client'/>", "not-authorized"),
}  # fmt: skip


@pytest.mark.parametrize("what", FRAMES)
def test_websocket(town, what):
    asyncio.run(frames(town, *FRAMES[what]))


async def frames(town: Town, said: str | bytes, condition: str) -> None:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=town.tls())) as web,
        web.ws_connect(f"{town.http}/xmpp-websocket", protocols=["xmpp"]) as socket,
    ):
        await socket.send_str(OPEN)
        assert "open" in (await socket.receive(20)).data
        assert "features" in (await socket.receive(20)).data
        await (socket.send_str(said) if isinstance(said, str) else socket.send_bytes(said))
        got = ""
        while (message := await socket.receive(20)).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            got += str(message.data)
        got += f" {socket.close_code}"
        assert re.search(condition, got), got

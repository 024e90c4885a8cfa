"""Hostile input over IRC's WebSocket: frames by hand, with what RFC 6455 or IRC says to each, and the node goes on serving others."""

from __future__ import annotations

import itertools
import os
import struct
from urllib.parse import urlsplit

import pytest

from faults.doors import Door, plain
from faults.test_hostile import others_are_served, town  # noqa: F401  the same node and the same checks

pytestmark = [pytest.mark.sammen, pytest.mark.timeout(300)]

TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9


def frame(kind: int, payload: bytes, *, last: bool = True, masked: bool = True, flags: int = 0, claims: int | None = None) -> bytes:
    """One frame; `claims` is another length than its own."""
    size = len(payload) if claims is None else claims
    short = size if size < 126 else 126 if size < 65536 else 127
    head = bytes([(0x80 if last else 0) | flags | kind, (0x80 if masked else 0) | short])
    head += b"" if short < 126 else struct.pack(">H" if short == 126 else ">Q", size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(b ^ k for b, k in zip(payload, itertools.cycle(key)))


class SocketDoor(Door):
    """A WebSocket at /irc, after its handshake."""

    def __init__(self, place, protocol: str = "text.ircv3.net", *, member: bool = False):
        super().__init__(urlsplit(place.http).port, place.tls())
        self.kind = BINARY if protocol.startswith("binary") else TEXT
        self.sends(
            b"GET /irc HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: " + protocol.encode() + b"\r\n\r\n")
        self.reads_until(b"HTTP/1.1 101 .*\r\n\r\n")
        self.got = b""
        if member:
            for line in ("CAP REQ :sasl message-tags standard-replies", "NICK mallory", "USER m 0 * :m", "AUTHENTICATE PLAIN"):
                self.says(line)
            self.says("AUTHENTICATE " + plain("mallory", place.password("mallory")).decode()).says("CAP END").reads_until(" 001 ")
            self.is_listened_to("ready")
            self.got = b""

    def says(self, line: str):
        return self.sends(frame(self.kind, line.encode()))

    def is_listened_to(self, token: str = "still-there") -> None:
        self.says(f"PING {token}").reads_until(f"PONG [^\r\n]*{token}")

    def is_closed_with(self, *codes: int) -> None:
        """A close frame with one of these codes, or no more than the end of the connection where `codes` has 0."""
        assert self.is_closed(), "the connection stays open"
        at = self.got.rfind(bytes([0x80 | CLOSE]))
        code = struct.unpack(">H", self.got[at + 2 : at + 4])[0] if at >= 0 and len(self.got) >= at + 4 else 0
        assert code in codes, (code, self.got[-200:])


def endless_fragments():
    yield frame(TEXT, b"PRIVMSG nina :" + b"a" * 1000, last=False)
    for _ in range(8 << 10):
        yield frame(CONTINUATION, b"a" * 1000, last=False)


# What is sent, and the codes of RFC 6455 §7.4.1 with which the connection may be closed; 0 is without a close frame.
ENDS = {
    "oversized message": (lambda: [frame(TEXT, b"PRIVMSG nina :" + b"a" * 100_000)], (1009, 0)),
    "a length of a gigabyte": (lambda: [frame(TEXT, b"PING x", claims=1 << 30)], (1009, 0)),
    "a length of eight exabytes": (lambda: [frame(TEXT, b"PING x", claims=(1 << 63) + 5)], (1009, 1002, 0)),
    "endless fragments": (endless_fragments, (1009, 0)),
    "bad UTF-8 in text": (lambda: [frame(TEXT, b"PRIVMSG nina :\xff\xfe")], (1007, 0)),
    "a frame without a mask": (lambda: [frame(TEXT, b"PING x", masked=False)], (1002, 0)),
    "an unknown kind of frame": (lambda: [frame(5, b"PING x")], (1002, 0)),
    "flags of no extension": (lambda: [frame(TEXT, b"PING x", flags=0x40)], (1002, 0)),
    "a long ping": (lambda: [frame(PING, b"a" * 200)], (1002, 0)),
    "a fragmented ping": (lambda: [frame(PING, b"a", last=False)], (1002, 0)),
    "a continuation of nothing": (lambda: [frame(CONTINUATION, b"PING x")], (1002, 0)),
    "a message within a message": (lambda: [frame(TEXT, b"PI", last=False), frame(TEXT, b"PING x")], (1002, 0)),
}


@pytest.mark.parametrize("member", [False, True], ids=["stranger", "member"])
@pytest.mark.parametrize("what", ENDS)
def test_frames(town, what, member):  # noqa: F811
    pieces, codes = ENDS[what]
    with SocketDoor(town, member=member) as door:
        door.sends(pieces())
        door.is_closed_with(*codes)


# Lines that are wrong for IRC and no reason to hang up; what must be answered.
LINES = {
    "NUL": (b"PRIVMSG nina :a\0b", b"421|FAIL|PONG"),
    "two lines in one message": (b"PRIVMSG nina :a\r\nQUIT :b", b"421|FAIL|PONG"),
    "a CR inside": (b"PRIVMSG nina :a\rQUIT :b", b"421|FAIL|PONG"),
    "too long for a line": (b"PRIVMSG nina :" + b"a" * 600, b" 417 "),
    "tags that are too long": (b"@a=" + b"b" * 4100 + b" PING x", b" 417 "),
    "nothing": (b"", b"PONG"),
}


@pytest.mark.parametrize("protocol", ["text.ircv3.net", "binary.ircv3.net", "soap"])
@pytest.mark.parametrize("what", LINES)
def test_lines(town, what, protocol):  # noqa: F811
    line, answer = LINES[what]
    with SocketDoor(town, protocol, member=True) as door:
        door.sends(frame(door.kind, line))
        door.is_listened_to()
        door.reads_until(answer)
        assert b"Closing link" not in door.got


def test_bad_text_in_binary(town):  # noqa: F811
    with SocketDoor(town, "binary.ircv3.net", member=True) as door:
        door.sends(frame(BINARY, b"PRIVMSG nina :\xff")).reads_until(b"INVALID_UTF8")
        # Either kind of frame is understood, whatever was agreed.
        door.sends(frame(TEXT, b"PING text")).reads_until(b"PONG [^\r\n]*text")


def test_a_flood_of_pings_is_paced_and_the_line_behind_it_is_heard(town):  # noqa: F811
    with SocketDoor(town, member=True) as door:
        door.sends([frame(PING, b"x") * 500])
        door.is_listened_to()


HANDSHAKES = {
    "no key": b"GET /irc HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "an old version": b"GET /irc HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    "no upgrade": b"GET /irc HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a POST": b"POST /irc HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("what", HANDSHAKES)
def test_handshake(town, what):  # noqa: F811
    with Door(urlsplit(town.http).port, town.tls()) as door:
        door.sends(HANDSHAKES[what]).reads_until(b"HTTP/1.1 4")


def test_a_handshake_and_then_nothing_is_ended(town):  # noqa: F811
    """Half a handshake does not hold a place."""
    with Door(urlsplit(town.http).port, town.tls()) as door:
        door.sends(HANDSHAKES["no key"][:-2])
        assert door.is_closed(90)

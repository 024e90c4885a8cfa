"""Plain sockets at the node's doors, for input that no client would send."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterable

PATIENCE = 15.0


class Door:
    """One connection; what came is kept in `got`."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None):
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.got, self.closed = b"", False
        if context:
            self.secures(context)

    def __enter__(self):
        return self

    def __exit__(self, *why) -> None:
        with contextlib.suppress(OSError):
            self.socket.close()

    def secures(self, context: ssl.SSLContext) -> None:
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def sends(self, *pieces: bytes | Iterable[bytes]):
        """All of it, or until the other side says something or hangs up."""
        for piece in pieces:
            for part in [piece] if isinstance(piece, bytes) else piece:
                for at in range(0, len(part), 16384):
                    try:
                        self.socket.sendall(part[at : at + 16384])
                    except OSError:
                        self._reads(1)
                        return self
                    if len(part) > 16384 or not isinstance(piece, bytes):
                        before = len(self.got)
                        self._reads(0)
                        if self.closed or len(self.got) > before:
                            return self
        return self

    def _reads(self, wait: float) -> None:
        """What is there now, or comes in this time."""
        # Not select: under TLS there may be records to read that hold nothing for us.
        self.socket.settimeout(max(wait, 0.002))
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError):
            return
        except OSError:
            data = b""
        finally:
            self.socket.settimeout(PATIENCE)
        self.closed = self.closed or not data
        self.got += data

    def reads_until(self, pattern: str | bytes, patience: float = PATIENCE) -> re.Match:
        """Until this was sent to us."""
        wanted = re.compile(pattern if isinstance(pattern, bytes) else pattern.encode(), re.S)
        end = time.monotonic() + patience
        while not (found := wanted.search(self.got)):
            assert not self.closed, f"closed without {pattern!r}: {self.got[-600:]!r}"
            assert time.monotonic() < end, f"{patience} s without {pattern!r}: {self.got[-600:]!r}"
            self._reads(0.2)
        return found

    def is_closed(self, patience: float = PATIENCE) -> bool:
        end = time.monotonic() + patience
        while not self.closed and time.monotonic() < end:
            self._reads(0.2)
        return self.closed


HEADER = b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"


def plain(name: str, password: str) -> bytes:
    return base64.b64encode(f"\0{name}\0{password}".encode())


class XmppDoor(Door):
    """`kind`: clear, starttls or tls; as a stranger or signed in."""

    def __init__(self, place, kind: str, *, member: bool = False, header: bytes | None = HEADER):
        super().__init__(place.xmpp_tls if kind == "tls" else place.xmpp, place.tls() if kind == "tls" else None)
        if kind == "starttls":
            self.sends(HEADER).reads_until("</stream:features>")
            self.sends(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").reads_until("<proceed")
            self.secures(place.tls())
            self.got = b""
        if header is None:
            return
        self.sends(header)
        if header is HEADER:
            self.reads_until("</stream:features>")
        if member:
            self.signs_in(place)
        self.got = b""

    def signs_in(self, place) -> None:
        self.sends(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + plain("mallory", place.password("mallory")) + b"</auth>")
        self.reads_until("<success")
        self.got = b""
        self.sends(HEADER).reads_until("</stream:features>")
        self.sends(b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>").reads_until("</jid>")

    def is_told(self, condition: str) -> None:
        """A stream error with this condition, the end of the stream, and the end of the connection (RFC 6120 §4.9)."""
        self.reads_until(f"<stream:error[^>]*>.*<({condition})[ />].*</stream:error>.*</stream:stream>")
        assert self.is_closed(), "the connection stays open behind a stream error"


class IrcDoor(Door):
    """`kind`: clear or tls; as a stranger or signed in."""

    def __init__(self, place, kind: str, *, member: bool = False):
        super().__init__(place.irc_tls if kind == "tls" else place.irc, place.tls() if kind == "tls" else None)
        if member:
            self.sends(b"CAP REQ :sasl message-tags batch echo-message draft/multiline draft/chathistory standard-replies\r\nNICK mallory\r\nUSER m 0 * :m\r\nAUTHENTICATE PLAIN\r\n")
            self.reads_until(r"AUTHENTICATE \+")
            self.sends(b"AUTHENTICATE " + plain("mallory", place.password("mallory")) + b"\r\nCAP END\r\n").reads_until(" 001 ")
            self.is_listened_to("ready")
            self.got = b""

    def is_listened_to(self, token: str = "still-there") -> None:
        """The connection still works."""
        self.sends(f"\r\nPING {token}\r\n".encode()).reads_until(f"PONG [^\r\n]*{token}")

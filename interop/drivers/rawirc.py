"""A plain scripted IRCv3 socket client: for assertions about tags, batches and numerics. Real clients stay the judges."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import ssl
import threading

from .irc_verbs import WANTED, IrcVerbs


class RawIrc(IrcVerbs):
    """Registers with CAP negotiation and SASL PLAIN where the place knows accounts."""

    program = "a plain IRC socket"

    def __init__(self, place, name: str, device: str = "one", *, tls: bool = True, want: list[str] | None = None, password: str | None = None):
        super().__init__(place, name, device)
        self.tls, self.want = tls, WANTED if want is None else want
        self.secret = password or self.password
        self.connects()
        self.registers()

    def connects(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.place.irc_tls if self.tls else self.place.irc), timeout=30)
        self.socket = self.place.tls().wrap_socket(plain, server_hostname="localhost") if self.tls else plain
        self.begins()

    def begins(self) -> None:
        """Reads what comes."""
        # A TLS connection is one state machine: reader and writer take turns (OpenSSL promises nothing otherwise).
        self.socket.setblocking(False)
        self.closed = False
        self.lines.clear()
        self.understanding.batches.clear()
        self._turn = threading.Lock()
        threading.Thread(target=self._reads, args=(self.socket,), daemon=True).start()

    def _reads(self, sock) -> None:
        rest = b""
        try:
            while data := self._receives(sock):
                *whole, rest = (rest + data).split(b"\n")
                for one in whole:
                    line = self.comes_in(one.rstrip(b"\r").decode("utf-8", "replace"))
                    if line.command == "PING":
                        self.sends(f"PONG :{line.params[-1]}")
        except (OSError, ValueError) as why:  # ValueError: closed by ourselves
            self.note(f"== {why}")
        if sock is self.socket:
            self.closed = True
        self.note("== closed")

    def _receives(self, sock) -> bytes:
        while True:
            with self._turn:
                try:
                    return sock.recv(65536)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                    pass
            select.select([sock], [], [], 5)

    def sends(self, line: str) -> None:
        self.sends_bytes(line.encode() + b"\r\n")

    def sends_bytes(self, data: bytes) -> None:
        """Anything at all, for hostile input."""
        self.note(f"> {data.decode('utf-8', 'replace').rstrip()}"[:600])
        while data:
            with self._turn:
                try:
                    data = data[self.socket.send(data) :]
                    continue
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                    pass
            select.select([], [self.socket], [], 5)

    def registers(self) -> None:
        """CAP LS 302, REQ of what both know, AUTHENTICATE, END, and wait for 001."""
        self.caps = {}
        self.sends("CAP LS 302")
        self.sends(f"NICK {self.name}")
        self.sends(f"USER {self.name} 0 * :{self.name.title()}")
        offered: dict[str, str] = {}
        # A server without CAP (ngircd knows little, others nothing) answers 421 or 451, or welcomes at once.
        self.waits("an answer to CAP LS", lambda: [x for x in self.lines if x.command in ("CAP", "001", "421", "451")])
        if any(x.command == "CAP" for x in self.lines):
            self.waits(
                "the end of CAP LS",
                lambda: any(x.command == "CAP" and x.params[1] == "LS" and x.params[2] != "*" for x in self.lines),
            )
            for line in self.lines:
                if line.command == "CAP" and line.params[1] == "LS":
                    for cap in line.params[-1].split():
                        name, _, value = cap.partition("=")
                        offered[name] = value
            ask = [c for c in self.want if c in offered and (c != "sasl" or self.place.sasl)]
            if ask:
                self.sends(f"CAP REQ :{' '.join(ask)}")
                self.waits("CAP ACK", lambda: any(x.command == "CAP" and x.params[1] in ("ACK", "NAK") for x in self.lines))
                assert not any(x.command == "CAP" and x.params[1] == "NAK" for x in self.lines), self.transcript()
                self.caps = {c: offered[c] for c in ask}
            if "sasl" in self.caps:
                self.authenticates()
            self.sends("CAP END")
        self.waits("being signed in", lambda: any(x.command == "001" for x in self.lines) or self._fails_if_closed())
        self.gets("001")

    def authenticates(self) -> None:
        self.sends("AUTHENTICATE PLAIN")
        self.gets("AUTHENTICATE", "+")
        plain = f"\0{self.name}\0{self.secret}".encode()
        self.sends(f"AUTHENTICATE {base64.b64encode(plain).decode()}")
        done = self.waits("the outcome of SASL", lambda: [x for x in self.lines if x.command in ("903", "904", "905", "902", "908")])[0]
        assert done.command == "903", f"{self} was not let in: {done}"

    def _fails_if_closed(self) -> None:
        assert not self.closed, f"{self} was closed before it was signed in\n{self.transcript()}"

    def loses_connection(self) -> None:
        """The network goes away, no QUIT."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.waits("the closed socket", lambda: self.closed)

    def comes_again(self) -> None:
        self.connects()
        self.registers()

    def ends(self) -> None:
        with contextlib.suppress(OSError):
            self.sends("QUIT :bye")
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

"""A small IRC client on asyncio: many at once, with echo-message so that the echo is the acknowledgement."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import uuid
from collections.abc import Callable

from drivers.irc_words import Line, parse

from .stanzas import PATIENCE, Gone

WANTED = "batch draft/chathistory echo-message labeled-response message-tags sasl server-time standard-replies".split()


class Irc:
    """One connection of one account."""

    def __init__(self, place, name: str, password: str | None = None, buffer: int | None = None):
        self.place, self.name = place, name
        self.password = (place.password(name) if place.sasl else "") if password is None else password
        self.heard: Callable[[Line], None] = lambda line: None
        self._buffer = buffer

    async def connects(self) -> None:
        sock = socket.socket()
        if self._buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.place.irc_tls))
        self.reader, self.writer = await asyncio.open_connection(sock=sock, ssl=self.place.tls(), server_hostname="localhost")
        self._waiting: list[tuple[Callable, asyncio.Future]] = []
        self.gone = asyncio.Event()
        self._reading = asyncio.create_task(self._reads())

    async def signs_in(self) -> None:
        await self.connects()
        listed = self.expected(lambda x: x.command == "CAP" and x.params[1] == "LS" and x.params[2] != "*")
        offered: set[str] = set()
        before, self.heard = self.heard, lambda x: offered.update(c.partition("=")[0] for c in x.params[-1].split()) if x.command == "CAP" else None
        self.sends("CAP LS 302", f"NICK {self.name}", f"USER {self.name} 0 * :{self.name}")
        await asyncio.wait_for(listed, PATIENCE)
        self.heard = before
        ask = [c for c in WANTED if c in offered and (c != "sasl" or self.place.sasl)]
        acked = self.expected(lambda x: x.command == "CAP" and x.params[1] in ("ACK", "NAK"))
        self.sends(f"CAP REQ :{' '.join(ask)}")
        assert (await asyncio.wait_for(acked, PATIENCE)).params[1] == "ACK"
        if "sasl" in ask:
            go = self.expected(lambda x: x.command == "AUTHENTICATE")
            self.sends("AUTHENTICATE PLAIN")
            await asyncio.wait_for(go, PATIENCE)
            done = self.expected(lambda x: x.command in ("902", "903", "904", "905", "908"))
            self.sends("AUTHENTICATE " + base64.b64encode(f"\0{self.name}\0{self.password}".encode()).decode())
            outcome = await asyncio.wait_for(done, PATIENCE)
            assert outcome.command == "903", f"{self.name} was not let in: {outcome}"
        welcome = self.expected(lambda x: x.command == "001")
        self.sends("CAP END")
        await asyncio.wait_for(welcome, PATIENCE)

    async def _reads(self) -> None:
        rest = b""
        try:
            while data := await self.reader.read(65536):
                *whole, rest = (rest + data).split(b"\n")
                for one in whole:
                    self._takes(parse(one.rstrip(b"\r").decode("utf-8", "replace")))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.gone.set()
            for _, future in self._waiting:
                if not future.done():
                    future.set_exception(Gone(self.name))

    def _takes(self, line: Line) -> None:
        if line.command == "PING":
            with contextlib.suppress(Gone):
                self.sends(f"PONG :{line.params[-1]}")
        for pair in [p for p in self._waiting if p[0](line)]:
            self._waiting.remove(pair)
            if not pair[1].done():
                pair[1].set_result(line)
        self.heard(line)

    def sends(self, *lines: str) -> None:
        if self.gone.is_set():
            raise Gone(self.name)
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())

    def expected(self, fits: Callable[[Line], bool]) -> asyncio.Future:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((fits, future))
        return future

    async def asks(self, line: str, patience: float = PATIENCE) -> list[Line]:
        """A command and all that came until the PONG behind it."""
        token, got = uuid.uuid4().hex[:12], []
        before = self.heard

        def collects(one: Line) -> None:
            got.append(one)
            before(one)

        pong = self.expected(lambda x: x.command == "PONG" and x.params[-1] == token)
        self.heard = collects
        try:
            self.sends(line, f"PING {token}")
            await asyncio.wait_for(pong, patience)
        finally:
            self.heard = before
        return got

    async def joins(self, room: str) -> None:
        """Enters; who was in the room before is in it already when signing in, and JOIN has no answer then."""
        got = await self.asks(f"JOIN {room}")
        if not any(x.command == "366" for x in got):
            there = {n.lstrip("~&@%+").partition("!")[0] for x in await self.asks(f"NAMES {room}") if x.command == "353" for n in x.params[-1].split()}
            assert self.name in there, f"{self.name} is not in {room}: {got} {there}"

    async def history(self, where: str, after: str | None = None, page: int = 100) -> list[tuple[str, str, str]]:
        """(id, who, text) of everything in this conversation, oldest first."""
        out: list[tuple[str, str, str]] = []
        seen: set[str] = set()
        asked = f"CHATHISTORY AFTER {where} msgid={after} {page}" if after else f"CHATHISTORY LATEST {where} * {page}"
        while True:
            got = await self.asks(asked)
            failed = [x for x in got if x.command == "FAIL"]
            assert not failed, f"{asked}: {failed}"
            batches = {x.params[0][1:] for x in got if x.command == "BATCH" and x.params[1:2] == ["chathistory"]}
            found = [
                (x.tags.get("msgid"), x.nick, x.params[-1])
                for x in got
                if x.command == "PRIVMSG" and x.tags.get("batch") in batches
            ]
            new = [m for m in found if m[0] not in seen]
            seen.update(m[0] for m in new)
            out = out + new if after else new + out
            if len(found) < page or not new:
                return out
            asked = (
                f"CHATHISTORY AFTER {where} msgid={new[-1][0]} {page}" if after else f"CHATHISTORY BEFORE {where} msgid={new[0][0]} {page}"
            )

    async def __aenter__(self):
        await self.signs_in()
        return self

    async def __aexit__(self, *why) -> None:
        await self.leaves()

    async def leaves(self) -> None:
        with contextlib.suppress(Gone, OSError, TimeoutError, asyncio.TimeoutError):
            self.sends("QUIT :bye")
            await asyncio.wait_for(self.writer.drain(), 5)
        await self.drops()

    async def drops(self) -> None:
        self._reading.cancel()
        self.writer.transport.abort()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading

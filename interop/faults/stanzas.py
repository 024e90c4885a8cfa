"""A small XMPP client on asyncio: many at once, stream management in the open, nothing hidden. Real clients stay the judges."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import socket
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable
from xml.sax.saxutils import escape, quoteattr

CLIENT, SM, MAM = "{jabber:client}", "{urn:xmpp:sm:3}", "{urn:xmpp:mam:2}"
RSM, SID = "{http://jabber.org/protocol/rsm}", "{urn:xmpp:sid:0}"
FORWARDED = f"{{urn:xmpp:forward:0}}forwarded/{CLIENT}message"
STANZAS = {f"{CLIENT}{kind}" for kind in ("message", "presence", "iq")}
PATIENCE = 60.0


class Refused(Exception):
    """An IQ's error."""

    def __init__(self, element: ET.Element):
        error = element.find(f"{CLIENT}error")
        names = [e.tag.rpartition("}")[2] for e in (error if error is not None else ())]
        self.condition, self.kind = (names or ["?"])[0], None if error is None else error.get("type")
        super().__init__(f"{self.condition} ({self.kind})")


class Gone(Exception):
    """The connection ended."""


class Xmpp:
    """One connection of one account."""

    def __init__(self, place, name: str, password: str | None = None, resource: str = "faults", buffer: int | None = None):
        self.place, self.name, self.resource = place, name, resource
        self.password = place.password(name) if password is None else password
        self.jid = ""
        self.heard: Callable[[ET.Element], None] = lambda stanza: None
        """Called for every stanza that is no answer to an IQ."""
        self.acked: Callable[[int], None] = lambda h: None
        self.previd, self.inbound = None, 0
        self._buffer = buffer
        self._numbers = itertools.count()

    # The connection.
    async def connects(self) -> None:
        """Direct TLS and the first stream header."""
        sock = socket.socket()
        if self._buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.place.xmpp_tls))
        self.reader, self.writer = await asyncio.open_connection(sock=sock, ssl=self.place.tls(), server_hostname="localhost")
        self._waiting: list[tuple[Callable, asyncio.Future]] = []
        self._answers: dict[str, asyncio.Future] = {}
        self.gone = asyncio.Event()
        self._opens()
        self._reading = asyncio.create_task(self._reads())
        await self.expects(lambda e: e.tag.endswith("}features"))

    def _opens(self) -> None:
        self._parser, self._depth, self._root = ET.XMLPullParser(("start", "end")), 0, None
        self.sends(
            f"<?xml version='1.0'?><stream:stream to='{self.place.domain}' version='1.0' xmlns='jabber:client'"
            " xmlns:stream='http://etherx.jabber.org/streams'>"
        )

    async def signs_in(self, *, managed: bool = True) -> None:
        """Connects, SASL PLAIN, bind, and stream management that can be resumed."""
        await self.connects()
        await self.authenticates()
        await self.binds(managed)

    async def authenticates(self) -> None:
        plain = base64.b64encode(f"\0{self.name}\0{self.password}".encode()).decode()
        self.sends(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>")
        outcome = await self.expects(lambda e: e.tag.startswith("{urn:ietf:params:xml:ns:xmpp-sasl}"))
        assert outcome.tag.endswith("}success"), f"{self.name} was not let in: {ET.tostring(outcome)}"
        await self.expects(lambda e: e.tag.endswith("}features"))

    async def binds(self, managed: bool = True) -> None:
        bound = await self.asks("set", f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{self.resource}</resource></bind>")
        self.jid = bound.findtext(".//{urn:ietf:params:xml:ns:xmpp-bind}jid")
        self.previd, self.inbound = None, 0
        if managed:
            self.sends("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
            enabled = await self.expects(lambda e: e.tag in (f"{SM}enabled", f"{SM}failed"))
            assert enabled.tag == f"{SM}enabled", ET.tostring(enabled)
            self.previd = enabled.get("id")

    async def resumes(self) -> tuple[bool, int | None]:
        """After `connects` and `authenticates`: whether it worked, and how much of ours the server had handled."""
        self.sends(f"<resume xmlns='urn:xmpp:sm:3' previd={quoteattr(self.previd or '')} h='{self.inbound}'/>")
        answer = await self.expects(lambda e: e.tag in (f"{SM}resumed", f"{SM}failed"))
        h = answer.get("h")
        return answer.tag == f"{SM}resumed", None if h is None else int(h)

    async def _reads(self) -> None:
        try:
            while data := await self.reader.read(65536):
                parser = self._parser
                parser.feed(data)
                for event, element in parser.read_events():
                    if event == "start":
                        self._depth += 1
                        if self._depth == 1:
                            self._root = element
                        continue
                    self._depth -= 1
                    if self._depth == 1:
                        self._root.remove(element)
                        self._takes(element)
                        if parser is not self._parser:
                            break
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.gone.set()
            for future in [f for _, f in self._waiting] + list(self._answers.values()):
                if not future.done():
                    future.set_exception(Gone(self.name))

    def _takes(self, element: ET.Element) -> None:
        tag = element.tag
        if tag.endswith("xmpp-sasl}success"):
            self._opens()
        elif tag == f"{SM}r":
            with contextlib.suppress(Gone):
                self.sends(f"<a xmlns='urn:xmpp:sm:3' h='{self.inbound}'/>")
        elif tag == f"{SM}a":
            self.acked(int(element.get("h")))
        elif tag in STANZAS:
            self.inbound += 1
        future = self._answers.pop(element.get("id"), None) if tag == f"{CLIENT}iq" and element.get("type") in ("result", "error") else None
        if future:
            if not future.done():
                future.set_result(element)
            return
        for pair in [p for p in self._waiting if p[0](element)]:
            self._waiting.remove(pair)
            if not pair[1].done():
                pair[1].set_result(element)
        if tag in STANZAS:
            self.heard(element)

    def sends(self, xml: str) -> None:
        if getattr(self, "gone", None) is not None and self.gone.is_set():
            raise Gone(self.name)
        self.writer.write(xml.encode())

    def expected(self, fits: Callable[[ET.Element], bool]) -> asyncio.Future:
        """What comes from now on and fits."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((fits, future))
        return future

    async def expects(self, fits: Callable[[ET.Element], bool], patience: float = PATIENCE) -> ET.Element:
        return await asyncio.wait_for(self.expected(fits), patience)

    async def asks(self, kind: str, payload: str, to: str | None = None, patience: float = PATIENCE) -> ET.Element:
        """An IQ; its result, or Refused."""
        id = f"iq{next(self._numbers)}-{uuid.uuid4().hex[:6]}"
        self._answers[id] = future = asyncio.get_running_loop().create_future()
        self.sends(f"<iq type='{kind}' id='{id}'{f' to={quoteattr(to)}' if to else ''}>{payload}</iq>")
        answer = await asyncio.wait_for(future, patience)
        if answer.get("type") == "error":
            raise Refused(answer)
        return answer

    async def __aenter__(self):
        await self.signs_in()
        return self

    async def __aexit__(self, *why) -> None:
        await self.leaves()

    async def leaves(self) -> None:
        """Ends the connection in order."""
        with contextlib.suppress(Gone, OSError, TimeoutError, asyncio.TimeoutError):
            self.sends("</stream:stream>")
            await asyncio.wait_for(self.writer.drain(), 5)
        await self.drops()

    async def drops(self) -> None:
        """The network goes away."""
        self._reading.cancel()
        self.writer.transport.abort()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading

    # Rooms and messages.
    async def joins(self, room: str, nick: str | None = None) -> None:
        """Enters without history."""
        me = self.place.jid(f"{room}/{nick or self.name}")
        there = self.expected(
            lambda e: e.tag == f"{CLIENT}presence"
            and (e.get("type") == "error" and (e.get("from") or "").startswith(self.place.jid(room)) or any(s.get("code") == "110" for s in e.iter("{http://jabber.org/protocol/muc#user}status")))
        )  # fmt: skip
        self.sends(f"<presence to={quoteattr(me)}><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>")
        mine = await asyncio.wait_for(there, PATIENCE)
        if mine.get("type") == "error":
            raise Refused(mine)

    def message(self, where: str, text: str, id: str, ballast: int = 0) -> str:
        """A message's XML, the same each time that it is sent."""
        kind = "groupchat" if where.startswith("#") and "/" not in where else "chat"
        return (
            f"<message to={quoteattr(self.place.jid(where))} type='{kind}' id='{id}'><body>{escape(text)}</body>"
            f"<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/>"
            + (f"<ballast xmlns='urn:example:ballast'>{'b' * ballast}</ballast>" if ballast else "")
            + "</message>"
        )

    async def history(self, where: str, after: str | None = None, page: int = 100) -> list[tuple[str, str, str]]:
        """(id, who, text) of everything in this conversation, oldest first; of the archive as it is."""
        to, form = None, "<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>"
        if where.startswith("#"):
            to = self.place.jid(where)
        else:
            form += f"<field var='with'><value>{self.place.jid(where)}</value></field>"
        out: list[tuple[str, str, str]] = []
        while True:
            query = uuid.uuid4().hex
            got: list[ET.Element] = []
            before, self.heard = self.heard, lambda e: got.append(e)  # noqa: B023
            try:
                fin = await self.asks(
                    "set",
                    f"<query xmlns='urn:xmpp:mam:2' queryid='{query}'><x xmlns='jabber:x:data' type='submit'>{form}</x>"
                    f"<set xmlns='http://jabber.org/protocol/rsm'><max>{page}</max>"
                    f"{f'<after>{escape(after)}</after>' if after else ''}</set></query>",
                    to,
                )
            finally:
                self.heard = before
            for stanza in got:
                result = stanza.find(f"{MAM}result")
                if result is None or result.get("queryid") != query:
                    before(stanza)
                    continue
                message = result.find(FORWARDED)
                sender = message.get("from")
                who = sender.partition("/")[2] if to else sender.partition("@")[0]
                body = message.findtext(f"{CLIENT}body")
                out.append((result.get("id"), who, body))
            end = fin.find(f"{MAM}fin")
            after = end.findtext(f"{RSM}set/{RSM}last")
            if end.get("complete") in ("true", "1") or not after:
                return out

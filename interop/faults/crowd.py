"""Senders and listeners on both protocols who know what was acknowledged to them, and come back after anything."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import uuid
import xml.etree.ElementTree as ET
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from drivers.irc_words import Line

from .lines import Irc
from .stanzas import CLIENT, SID, Gone, Refused, Xmpp

SECRET = "crowd-secret-1"
WINDOW = 8
"""Messages that a sender has under way."""


def accounts(place, names: list[str]) -> None:
    """Makes these accounts."""
    for name in names:
        if place.name == "prosody":
            subprocess.run(["prosodyctl", "--root", "--config", str(place.folder / "prosody.cfg.lua"), "register", name, place.domain, SECRET], check=True, capture_output=True)
        elif place.name == "sammen":
            place.runs("account", "add", name, "--password-stdin", stdin=SECRET)
        place.accounts[name] = SECRET


@dataclass
class Said:
    """One message of a sender."""

    number: int
    where: str
    text: str
    id: str
    safe_at: int | None = None
    """What `Sender.mark` said when it was acknowledged."""
    msgid: str | None = None
    """On IRC."""


class Sender:
    """Speaks in a room and to a partner by turns; `mark` is asked at each acknowledgement (the length of a record)."""

    def __init__(self, place, name: str, partner: str, room: str = "#town", mark: Callable[[], int] = lambda: 0, length: int = 60, ballast: int = 0):
        self.place, self.name, self.partner, self.room, self.mark, self.length = place, name, partner, room, mark, length
        self.ballast = ballast
        """Bytes of a payload of its own that each XMPP message carries."""
        self.said: list[Said] = []
        self.open: deque[Said] = deque()
        """Not yet acknowledged, in order."""
        self.refused: list[str] = []
        self.progress = asyncio.Event()

    def __str__(self) -> str:
        return f"{self.name} on {type(self.client).__name__}"

    def next(self) -> Said:
        number = len(self.said)
        where = self.room if number % 3 or not self.partner else self.partner
        text = f"{self.name} {number} {'x' * random.Random(number).randint(0, self.length)}".strip()
        one = Said(number, where, text, f"{self.name}-{number}-{uuid.uuid4().hex[:8]}")
        self.said.append(one)
        self.open.append(one)
        return one

    def safe(self, one: Said) -> None:
        if one.safe_at is None:
            one.safe_at = self.mark()
        with contextlib.suppress(ValueError):
            self.open.remove(one)
        self.progress.set()

    async def talks(self, stop: asyncio.Event, most: int | None = None) -> None:
        """Speaks until told to stop or cut off."""
        with contextlib.suppress(Gone, OSError):
            while not stop.is_set() and not self.client.gone.is_set() and (most is None or most > 0):
                if len(self.open) <= WINDOW // 2:
                    # Several in one write, so that whatever happens to the server happens in the middle of something.
                    for _ in range(min(WINDOW - len(self.open), most if most is not None else WINDOW)):
                        self.speaks(self.next())
                        most = most - 1 if most is not None else None
                    await self.client.writer.drain()
                else:
                    await self.news()

    async def news(self, patience: float = 0.5) -> None:
        """Until something was acknowledged, or for a moment."""
        self.progress.clear()
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self.progress.wait(), patience)

    async def settles(self, patience: float = 60) -> None:
        """Until everything is acknowledged."""
        async with asyncio.timeout(patience):
            while self.open:
                if self.client.gone.is_set():
                    raise Gone(f"{self} with {len(self.open)} messages open")
                self.asks_again()
                await self.news()

    def asks_again(self) -> None:
        """Asks for acknowledgements."""


class OnXmpp(Sender):
    """The acknowledgement is XEP-0198's."""

    async def comes(self) -> None:
        self.client = Xmpp(self.place, self.name)
        self.client.acked, self.client.heard = self.acknowledged, self.hears
        await self.client.signs_in()
        await self.enters()

    async def enters(self) -> None:
        self.sent, self.counted = 0, deque()
        self._sends("<presence><priority>1</priority></presence>")
        self.sent += 1  # the joining presence
        await self.client.joins(self.room)

    def _sends(self, xml: str, one: Said | None = None) -> None:
        self.sent += 1
        self.counted.append((self.sent, one))
        self.client.sends(xml)

    def speaks(self, one: Said) -> None:
        self._sends(self.client.message(one.where, one.text, one.id, self.ballast), one)
        self.client.sends("<r xmlns='urn:xmpp:sm:3'/>")

    def asks_again(self) -> None:
        self.client.sends("<r xmlns='urn:xmpp:sm:3'/>")

    def acknowledged(self, h: int) -> None:
        while self.counted and self.counted[0][0] <= h:
            _, one = self.counted.popleft()
            if one:
                self.safe(one)

    def hears(self, stanza: ET.Element) -> None:
        if stanza.get("type") == "error":
            self.refused.append(Refused(stanza).args[0])

    async def comes_back(self, resume: bool = True) -> None:
        """Connects again, asks to resume, and sends again what the server does not say that it has."""
        before = self.client
        self.client = Xmpp(self.place, self.name)
        self.client.acked, self.client.heard = self.acknowledged, self.hears
        self.client.previd, self.client.inbound = before.previd, before.inbound
        await self.client.connects()
        await self.client.authenticates()
        if resume and before.previd:
            resumed, h = await self.client.resumes()
            if h is not None:
                self.acknowledged(h)
            if resumed:
                self.sent, self.counted = h, deque()
                self._again()
                return
        await self.client.binds()
        await self.enters()
        self._again()

    def _again(self) -> None:
        for one in list(self.open):
            self.speaks(one)


class OnIrc(Sender):
    """The acknowledgement is the echo. A lost one is looked up in the history, since IRC has no ids of the sender's."""

    async def comes(self) -> None:
        self.client = Irc(self.place, self.name)
        self.client.heard = self.hears
        await self.client.signs_in()
        await self.client.joins(self.room)

    def speaks(self, one: Said) -> None:
        self.client.sends(f"PRIVMSG {one.where} :{one.text}")

    def hears(self, line: Line) -> None:
        if line.command == "PRIVMSG" and line.nick == self.name:
            self.has(line.params[0], line.params[-1], line.tags.get("msgid"))
        elif line.command in ("FAIL", "404", "401", "531"):
            self.refused.append(" ".join((line.command, *line.params)))

    def has(self, where: str, text: str, msgid: str | None) -> None:
        for one in list(self.open):
            if (one.where, one.text) == (where, text):
                one.msgid = msgid
                self.safe(one)

    async def comes_back(self, resume: bool = True) -> None:
        await self.comes()
        for where in {one.where for one in self.open}:
            # Everything since the last one that it knows to be there.
            last = next((one.msgid for one in reversed(self.said) if one.where == where and one.msgid), None)
            for msgid, who, text in await self.client.history(where, after=last):
                if who == self.name:
                    self.has(where, text, msgid)
        for one in list(self.open):
            self.speaks(one)


class Ear:
    """Listens in a room, and reads what it missed in the history: each message once, in order."""

    def __init__(self, place, name: str, kind: type[Xmpp] | type[Irc], room: str = "#town"):
        self.place, self.name, self.kind, self.room = place, name, kind, room
        self.ids: list[str] = []
        self._held: list[str] | None = None

    async def comes(self) -> None:
        """Live messages wait until the history is read up to them."""
        self.client = self.kind(self.place, self.name)
        self._held = []
        self.client.heard = self.hears
        await self.client.signs_in()
        if self.kind is Xmpp:
            self.client.sends("<presence/>")
        await self.client.joins(self.room)
        for id, _, _ in await self.client.history(self.room, after=self.ids[-1]) if self.ids else []:
            self.ids.append(id)
        known = set(self.ids)
        self.ids += [id for id in self._held if id not in known]
        self._held = None

    def hears(self, what: ET.Element | Line) -> None:
        if isinstance(what, Line):
            if what.command != "PRIVMSG" or what.params[0] != self.room or "batch" in what.tags:
                return
            id = what.tags.get("msgid")
        else:
            if what.get("type") != "groupchat" or what.find(f"{CLIENT}body") is None:
                return
            id = next(s.get("id") for s in what.iter(f"{SID}stanza-id") if s.get("by") == self.place.jid(self.room))
        (self.ids if self._held is None else self._held).append(id)


def judge(senders: list[Sender], where: str, history: list[tuple[str, str, str]], *, all_of: Callable[[Said], bool] = lambda s: True) -> None:
    """Everything acknowledged is in this history exactly once, in each sender's order, and nothing that nobody said."""
    ids = [id for id, _, _ in history]
    assert len(set(ids)) == len(ids), "the history has an id twice"
    spoken = {(s.name, one.text): one.number for s in senders for one in s.said if one.where == where}
    times: dict[tuple[str, str], int] = {}
    last: dict[str, int] = {}
    for _, who, text in history:
        if (who, text) not in spoken:
            assert not any(s.name == who for s in senders), f"{who} never said {text!r} in {where}"
            continue
        times[who, text] = times.get((who, text), 0) + 1
        assert spoken[who, text] > last.get(who, -1), f"{who}'s message {spoken[who, text]} stands behind {last[who]} in {where}"
        last[who] = spoken[who, text]
    double = {key: n for key, n in times.items() if n != 1}
    assert not double, f"not exactly once in {where}: {double}"
    lost = [one for s in senders for one in s.said if one.where == where and one.safe_at is not None and all_of(one) and (s.name, one.text) not in times]
    assert not lost, f"{len(lost)} acknowledged messages are not in {where}: {lost[:5]}"

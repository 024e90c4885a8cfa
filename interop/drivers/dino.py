"""Dino under Xvfb: signed in by hand, conversations opened over D-Bus, words typed, what it knows read from its database."""

from __future__ import annotations

import contextlib
import re
import sqlite3

from .desktop import Desktop
from .person import Seen
from .programs import need

ROWS = """
SELECT m.id, m.body, m.stanza_id, m.server_id, m.direction, m.counterpart_resource, j.bare_jid, m.encryption
FROM message m JOIN jid j ON j.id = m.counterpart_id ORDER BY m.id"""


class Dino(Desktop):
    """Dino asks for an address and a password alone, so the node has to be found at port 5222 of `where`."""

    program = "Dino"

    def __init__(self, place, name: str, device: str = "desk", **options):
        super().__init__(place, name, device, **options)
        dino = need("dino-im")
        self._known: set[int] = set()
        self.database = self.home / ".local/share/dino/dino.db"
        self.starts(dino, "--print-xmpp=all")
        self._signs_in()

    def _signs_in(self) -> None:
        """The assistant changes its size with each page: that is how one knows that a page is there."""
        main = self.focuses("^Dino$")
        dialog = self.waits("the assistant", lambda: self._opens_assistant(main))
        first = self._size(dialog)
        self.types(f"{self.name}@{self.place.domain}")
        self.keys("Return")
        second = self.waits("the question for the password", lambda: self._other_size(dialog, first))
        self.types(self.password)
        self.keys("Return")
        self.waits("being signed in", lambda: self._other_size(dialog, second))
        self.keys("Return")
        self.waits("the end of the assistant", lambda: dialog not in self._windows())

    def _windows(self) -> list[str]:
        return self.xdo("search", "--onlyvisible", "--name", ".*").split()

    def _opens_assistant(self, main: str):
        for window in self._windows():
            if window != main and 300 < self._size(window)[0] < 600:
                return window
        if main == self.xdo("getwindowfocus"):
            self.keys("Tab", "Return")
        return None

    def _size(self, window: str) -> tuple[int, int]:
        found = re.search(r"Geometry: (\d+)x(\d+)", self.xdo("getwindowgeometry", window))
        return (int(found.group(1)), int(found.group(2))) if found else (0, 0)

    def _other_size(self, window: str, size: tuple[int, int]):
        now = self._size(window)
        return now if now not in (size, (0, 0)) else None

    def asks(self, query: str, *values) -> list[tuple]:
        """Rows of Dino's database."""
        if not self.database.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)) as database:
            with contextlib.suppress(sqlite3.OperationalError):  # being made
                return database.execute(query, values).fetchall()
        return []

    def contacts(self) -> dict[str, str]:
        return {self.place.where(jid)[0]: subscription for jid, subscription in self.asks("SELECT jid, subscription FROM roster")}

    def opens(self, where: str) -> None:
        """A conversation that Dino has, as its notifications do."""
        find = "SELECT c.id FROM conversation c JOIN jid j ON j.id = c.jid_id WHERE j.bare_jid = ? AND c.active = 1"
        ((number,),) = self.waits(f"a conversation {where}", lambda: self.asks(find, self.place.jid(where)))
        self.runs("gapplication", "action", "im.dino.Dino", "open-conversation", number)
        self.focuses("^Dino$")

    def says(self, where: str, text: str) -> Seen:
        self.opens(where)
        self.types(text)
        self.keys("Return")
        return Seen("message", who=self.name, where=where, text=text)

    def look(self) -> None:
        for number, body, stanza, server, direction, resource, jid, encryption in self.asks(ROWS):
            if number in self._known:
                continue
            self._known.add(number)
            where, _ = self.place.where(jid)
            who = self.name if direction == 1 else resource if where.startswith("#") else where
            self.saw(Seen("message", who, where, body or "", stanza, server, more={"encryption": encryption}))

    def refused(self) -> set[str]:
        """The conditions of all errors that the node answered."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.log())
        return set(re.findall(r"type='error'.*\n +<\S+:error .*\n +<\{urn:ietf:params:xml:ns:xmpp-stanzas\}:([a-z-]+)", plain))

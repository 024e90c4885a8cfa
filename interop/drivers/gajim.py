"""Gajim under Xvfb: signed in by hand, conversations opened over D-Bus, words typed, what it knows read from its database."""

from __future__ import annotations

import contextlib
import re
import sqlite3

from .desktop import Desktop
from .person import Seen
from .programs import need

ROWS = """
SELECT l.log_line_id, l.message, l.message_id, l.stanza_id, l.kind, l.contact_name, j.jid
FROM logs l JOIN jids j ON j.jid_id = l.jid_id WHERE l.message IS NOT NULL ORDER BY l.log_line_id"""
SENT = 6
"""`kind` of what was sent directly."""


class Gajim(Desktop):
    """Like Dino it is given an address and a password alone. Each of its windows has a title: that is how one knows where one is."""

    program = "Gajim"

    def __init__(self, place, name: str, device: str = "desk", **options):
        super().__init__(place, name, device, **options)
        gajim = need("gajim")
        self._known: set[int] = set()
        self.database = self.home / ".local/share/gajim/logs.db"
        self.starts(gajim, "-v")
        self.focuses("^Add Account$")
        self.types(f"{name}@{place.domain}")
        self.keys("Tab")
        self.types(self.password)
        self.keys("Return")
        self.tries("being connected", self._connects, lambda: self._titled("^Password Required$"), 2)
        self.focuses("^Password Required$")
        self.types(self.password)
        self.tries("being let in", lambda: self.keys("Return"), lambda: not self._titled("^Password Required$"), 2)
        self.waits("the roster", lambda: "Raise event: roster-received" in self.log())

    def _titled(self, title: str) -> bool:
        return bool(self.xdo("search", "--onlyvisible", "--name", title))

    def _connects(self) -> None:
        if self._titled("^Account Added$"):
            self.focuses("^Account Added$")
            self.keys("Return")

    def opens(self, where: str) -> None:
        kind = "groupchat" if where.startswith("#") else "contact"
        what = {"account": f"'{self.place.domain}'", "jid": f"'{self.place.jid(where)}'", "type": f"'{kind}'", "select": "true"}
        chat = ", ".join(f"'{key}': <{value}>" for key, value in what.items())
        answered = self.log().count("\n()\n")
        self.runs("gdbus", "call", "--session", "--dest", "org.gajim.Gajim", "--object-path", "/org/gajim/Gajim/window/1", "--method",
                  "org.gtk.Actions.Activate", "add-chat", f"[<{{{chat}}}>]", "{}")  # fmt: skip
        self.waits("Gajim's answer", lambda: self.log().count("\n()\n") > answered or self.lives())
        self.focuses("^Gajim$")

    def says(self, where: str, text: str) -> Seen:
        self.opens(where)
        self.types(text)
        self.keys("Return")
        return Seen("message", who=self.name, where=where, text=text)

    def look(self) -> None:
        if not self.database.exists():
            return
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)) as database:
            rows = []
            with contextlib.suppress(sqlite3.OperationalError):  # being made
                rows = database.execute(ROWS).fetchall()
        for number, text, ident, archive, kind, nick, jid in rows:
            if number in self._known:
                continue
            self._known.add(number)
            where, _ = self.place.where(jid)
            who = nick if where.startswith("#") else self.name if kind == SENT else where
            self.saw(Seen("message", who, where, text, ident, archive))

    def refused(self) -> set[str]:
        """The conditions of all errors that the node answered."""
        return set(re.findall(r"type=['\"]error['\"][^<]*>.*?<error [^>]*>\s*<([a-z-]+)", self.log(), re.S))

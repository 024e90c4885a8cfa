"""nheko under Xvfb: signed in by hand, rooms opened by its quick switcher, words typed, what it knows read from its database."""

from __future__ import annotations

import contextlib
import json
import re
import urllib.request
from urllib.parse import quote

import lmdb

from .desktop import Desktop
from .person import Seen
from .programs import need

SETTINGS = """[General]
run_without_secure_secrets_service=true

[user]
reduced_motion=true
desktop_notifications=false
"""


class Nheko(Desktop):
    """Its log (`-l debug`) says when a step is done; where to click is where 0.11 draws it on this screen."""

    program = "nheko"

    def __init__(self, place, name: str, device: str = "desk", **options):
        super().__init__(place, name, device, **options)
        nheko = need("nheko")
        self.user = f"@{name}:{place.domain}"
        self.settings = self.home / ".config/nheko/nheko.conf"
        self.settings.parent.mkdir(parents=True)
        self.settings.write_text(SETTINGS)
        self.current: str | None = None
        self.known: set[str] = set()
        self._rooms: dict[str, str] = {}
        self.starts(nheko, "-l", "debug")
        self._signs_in()

    def _says(self, text: str):
        return lambda: text in self.log()

    def _signs_in(self) -> None:
        self.focuses("^nheko$")

        def name():
            self.clicks(614, 432)  # Login
            self.clicks(533, 274)  # Matrix ID
            self.keys("ctrl+a")
            self.types(self.user)
            self.keys("Tab")

        # The domain has no web server, so nheko asks for the address.
        self.tries("the question for a homeserver", name, self._says("Autodiscovery failed"))
        self.types(self.password)
        self.keys("Tab", "Tab", "ctrl+a")
        self.types(self.place.http)
        self.keys("shift+Tab", "shift+Tab")
        self.tries("being signed in", lambda: self.keys("Return"), self._says("initial sync completed"), 2)
        self.waits("the offer to set up encryption", self._says("STATUS CHANGED: 1"))
        self.tries("a switcher", lambda: (self.clicks(998, 561), self.keys("ctrl+k")), self._switcher(), 2)
        self.keys("Escape")

    def _switcher(self):
        before = self.log().count("CompletionProxyModel: build trie")
        return lambda: self.log().count("CompletionProxyModel: build trie") > before

    def _asks(self, path: str) -> dict:
        """The node, with nheko's own token."""
        token = re.search(r"access_token=(\S+)", self.settings.read_text()).group(1)
        asked = urllib.request.Request(f"{self.place.http}/_matrix/client/v3/{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(asked, context=self.place.tls(), timeout=20) as answer:
            return json.load(answer)

    def room(self, where: str) -> str:
        """The id of a room, or of the direct one with a person."""
        if where not in self._rooms:
            if where.startswith("#"):
                found = self._asks(f"directory/room/{quote(f'{where}:{self.place.domain}')}")["room_id"]
            else:
                direct = self._asks(f"user/{quote(self.user)}/account_data/m.direct")
                found = direct[f"@{where}:{self.place.domain}"][0]
            self._rooms[where] = found
        return self._rooms[where]

    def opens(self, where: str) -> None:
        if self.current == where:
            return
        switched = f"Switched to: {self.room(where)}"
        before = self.log().count(switched)

        def switch():
            self.tries("a switcher", lambda: self.keys("Escape", "ctrl+k"), self._switcher(), 2)
            self.types(where.removeprefix("#"))
            self.keys("Return")

        self.tries(f"the room {where}", switch, lambda: self.log().count(switched) > before)
        self.current = where

    def says(self, where: str, text: str) -> Seen:
        self.opens(where)
        self.types(text)
        self.keys("Return")
        return Seen("message", who=self.name, where=where, text=text)

    def look(self) -> None:
        """A room's events stand as JSON in a table of their own."""
        for file in (self.home / ".local/share/nheko").rglob("data.mdb"):
            with contextlib.suppress(lmdb.Error), contextlib.closing(lmdb.open(str(file.parent), readonly=True, max_dbs=64)) as database:
                for where, room in list(self._rooms.items()):
                    self._reads(database, where, room)

    def _reads(self, database, where: str, room: str) -> None:
        with contextlib.suppress(lmdb.NotFoundError):
            table = database.open_db(f"{room}/events".encode(), create=False)
            with database.begin(table) as reading:
                events = [json.loads(value) for _, value in reading.cursor()]
            for event in events:
                if event["event_id"] not in self.known and event["event_id"].startswith("$") and event["type"] == "m.room.message":
                    self.known.add(event["event_id"])
                    who = event["sender"][1:].partition(":")[0]
                    self.saw(Seen("message", who, where, event["content"].get("body", ""), archive_id=event["event_id"], raw=event))

    def hears(self, text, where=None, who=None, **more) -> Seen:
        if where:
            self.room(where)  # so that what is seen has a name
        return super().hears(text, where, who, **more)

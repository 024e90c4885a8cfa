"""Profanity in a terminal: the XMPP client for people who like terminals, with OMEMO. Its database is what it showed."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3

from .person import PATIENCE, Person, Seen, until
from .programs import folder, need
from .tmux import Tmux

ACCOUNTS = """
[{jid}]
enabled=true
jid={jid}
server=127.0.0.1
port={port}
password={password}
resource={device}
muc.service={muc}
muc.nick={name}
presence.last=online
presence.login=online
tls.policy=trust
"""

PROFRC = """
[connection]
account={jid}
reconnect=0
carbons=true
receipts.send=true
receipts.request={receipts}

[chatstates]
enabled=true
outtype=true

[notifications]
message=false
room=off
invite=false
sub=false

[ui]
beep=false
flash=false
splash=false
time.console=%H:%M:%S
time.chat=%H:%M:%S
time.muc=%H:%M:%S
intype.console=true
presence=true
statuses.console=all
statuses.chat=all
statuses.muc=all
occupants=true
history=true
enc.warn=false
receipts={receipts}

[logging]
chlog=true
grlog=true
rotate=false

[omemo]
policy=manual
trustmode=blind
"""


class Profanity(Person):
    """Profanity 0.13. Rooms are windows that it must be shown before it types there."""

    program = "Profanity"

    def __init__(self, place, name: str, device: str = "one", *, receipts: bool = True):
        super().__init__(place, name, device)
        profanity = need("profanity")
        self.folder = folder("profanity")
        self.jid = place.jid(name)
        for part in ("config/profanity", "data/profanity"):
            (self.folder / part).mkdir(parents=True)
        known = dict(jid=self.jid, port=place.xmpp, password=self.password, device=device, muc=place.rooms_domain, name=name,
                     receipts=str(receipts).lower())  # fmt: skip
        (self.folder / "data/profanity/accounts").write_text(ACCOUNTS.format(**known))
        (self.folder / "config/profanity/profrc").write_text(PROFRC.format(**known))
        self._row = 0
        self._rooms: set[str] = set()
        environment = {"XDG_CONFIG_HOME": str(self.folder / "config"), "XDG_DATA_HOME": str(self.folder / "data"),
                       "HOME": str(self.folder), "SSL_CERT_FILE": str(place.ca)}  # fmt: skip
        self.terminal = Tmux(self.folder, [profanity, "-l", "DEBUG", "-f", str(self.folder / "profanity.log")], environment)
        self.waits("being signed in", lambda: "logged in successfully" in self.terminal.screen())

    def transcript(self, last: int = 200) -> str:
        log = self.folder / "profanity.log"
        tail = log.read_text(errors="replace")[-4000:] if log.exists() else ""
        return f"{super().transcript(last)}\n--- the screen\n{self.terminal.screen()}\n--- its log\n{tail}"

    # Reading.
    def look(self) -> None:
        found = list((self.folder / "data/profanity/database").glob("*/chatlog.db"))
        if not found:
            return
        # Without locks (immutable): Profanity drops what it can't write at once, so nobody may hold its database.
        with contextlib.closing(sqlite3.connect(f"file:{found[0]}?mode=ro&immutable=1", uri=True)) as db:
            try:
                rows = db.execute(
                    "SELECT id, from_jid, from_resource, to_jid, message, type, stanza_id, archive_id, encryption, replace_id, timestamp "
                    "FROM ChatLogs WHERE id > ? ORDER BY id", (self._row,)
                ).fetchall()  # fmt: skip
            except sqlite3.DatabaseError:
                return  # not made yet, or just being written
        for row in rows:
            self._row = row[0]
            self.note(f"chatlog {row}")
            self.saw(self._reads(row))

    def _reads(self, row) -> Seen:
        _, sender, resource, to, text, kind, stanza_id, archive_id, encryption, replaces, timestamp = row
        if kind == "muc":
            where, who = self.place.where(sender)[0], resource
        elif kind == "mucpm":
            where, who = f"{self.place.where(sender)[0]}/{resource}", resource
        else:
            who = self.place.where(sender)[0]
            where = self.place.where(to if sender == self.jid else sender)[0]
        edited = replaces or None
        return Seen(
            "edit" if edited else "message", who, where, text, stanza_id or None, archive_id or None, edited,
            more={"encryption": encryption, "type": kind, "time": timestamp}, raw=row,
        )  # fmt: skip

    def shows(self, text: str, timeout: float = PATIENCE) -> None:
        """Wait until the screen has this text (for what the database does not have: presence, typing, room events)."""
        self.waits(f"{text!r} on the screen", lambda: text in self.terminal.screen(), timeout)

    def shows_like(self, pattern: str, timeout: float = PATIENCE) -> re.Match:
        return self.waits(f"{pattern!r} on the screen", lambda: re.search(pattern, self.terminal.screen()), timeout)

    # Writing.
    def types_line(self, line: str) -> None:
        self.note(f"> {line}")
        self.terminal.types(line)

    def window(self, where: str) -> None:
        """Bring the window of a person or a room to the front."""
        if where.startswith("#"):
            return self.types_line(f"/win {self.place.jid(where)}")
        self.types_line("/win 1")  # in the window of a room /msg goes to its people only
        self.types_line(f"/msg {self.place.jid(where)}")

    def says(self, where: str, text: str) -> Seen:
        if where.startswith("#"):
            room, _, nick = where.partition("/")
            self.window(room)
            self.types_line(f"/msg {nick} {text}" if nick else text)
        else:
            self.window(where)
            self.types_line(text)
        return Seen("message", self.name, where, text)

    def joins(self, room: str) -> None:
        """Enter; a room that is new is accepted as it is."""
        self.types_line(f"/join {self.place.jid(room)}")
        # With the room's own window in front: another may show the same words. (On Prosody a new room's title is empty.)
        shown = rf"(?is)\A\s*(?:{re.escape(room[1:])}\b|\[).*(-> You have joined the room|room locked|requires configuration)"
        turned = []

        def entered():
            screen = self.terminal.screen()
            if f"Autojoined {self.place.jid(room)}" in screen and not turned:
                turned.append(room)  # by its bookmark: it is in already, but shows another window
                self.window(room)
            return re.search(shown, screen)

        found = self.waits(f"being in {room}", entered)
        if "joined" not in found[1]:
            self.types_line("/room accept")
            # Until then nobody else gets in.
            self.waits(f"{room} being open", lambda: "Room unlocked" in self.terminal.screen())
        self._rooms.add(room)

    def leaves(self, room: str) -> None:
        self.window(room)
        self.types_line("/close")
        self._rooms.discard(room)

    def edits(self, where: str, text: str) -> None:
        """Correct the last own message there (XEP-0308; needs /correction on, once)."""
        self.types_line("/correction on")
        self.window(where)
        self.types_line(f"/correct {text}")

    def sets_topic(self, room: str, text: str) -> None:
        self.window(room)
        self.types_line(f'/subject set "{text}"')

    def kicks(self, room: str, nick: str, why: str = "") -> None:
        self.window(room)
        self.types_line(f"/kick {nick} {why}".strip())

    def goes_away(self, status: str) -> None:
        self.types_line(f'/status set away "{status}"')

    def comes_back(self) -> None:
        self.types_line("/status set online")

    def invites(self, room: str, who: str) -> None:
        self.window(room)
        self.types_line(f"/invite send {self.place.jid(who)}")

    # OMEMO.
    def makes_keys(self) -> None:
        """Generate the OMEMO identity and publish it."""
        self.types_line("/win 1")
        self.types_line("/omemo gen")
        until("OMEMO keys", lambda: re.search(r"(?i)omemo (crypto.*(initiali[sz]ed|ready)|.*generated)", self.terminal.screen()),
              90, self.transcript)  # fmt: skip

    def encrypts(self, where: str) -> None:
        """Turn OMEMO on in the window of a person or a room."""
        self.window(where)
        self.types_line("/omemo trustmode blind")
        self.types_line("/omemo start")

    def loses_connection(self) -> None:
        self.terminal.ends()

    def ends(self) -> None:
        with contextlib.suppress(AssertionError):  # the terminal may have ended already
            self.terminal.types("/quit")
        self.terminal.ends()
        shutil.rmtree(self.folder, ignore_errors=True)

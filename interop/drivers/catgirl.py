"""catgirl in a terminal: TLS, SASL PLAIN; its own log files are what it showed."""

from __future__ import annotations

import re
import shutil

from .person import Person, Seen
from .programs import folder, need
from .tmux import Tmux

SHOWN = [
    ("join", r"^\S+ (?P<who>\S+) \S*\s*arrives in (?P<where>#\S+)"),
    ("topic", r"^\S+ (?:(?P<who>\S+) places|The sign in) .*?(?P<where>#\S+).*?: (?P<text>.*)$"),
    ("message", r"^\S+ <[^\w]*(?P<who>[^>]+)> (?P<text>.*)$"),
    ("notice", r"^\S+ -[^\w]*(?P<who>[^-]+)- (?P<text>.*)$"),
]


class Catgirl(Person):
    """catgirl 2.1: no plain text, no password but SASL's."""

    program = "catgirl"

    def __init__(self, place, name: str, device: str = "one", *, rooms: str = ""):
        super().__init__(place, name, device)
        catgirl = need("catgirl")
        self.folder = folder("catgirl")
        (self.folder / "data").mkdir()
        self._read: dict[str, int] = {}
        options = ["-l", "-h", "localhost", "-p", place.irc_tls, "-n", name, "-u", name, "-a", f"{name}:{self.password}", "-t", place.ca]
        options += ["-j", rooms] if rooms else []
        home = {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder / "data"), "XDG_CONFIG_HOME": str(self.folder / "config")}
        self.terminal = Tmux(self.folder, [catgirl, *options], home)
        self.waits("being signed in", lambda: re.search(r"(?i)welcome|your host is|trial on this computer", self.transcript()))

    def transcript(self, last: int = 200) -> str:
        return super().transcript(last) + "\n--- the screen\n" + self.terminal.screen()

    def look(self) -> None:
        for path in sorted((self.folder / "data").rglob("*.log")):
            data = path.read_bytes()[self._read.get(str(path), 0) :]
            whole = data[: data.rfind(b"\n") + 1]
            self._read[str(path)] = self._read.get(str(path), 0) + len(whole)
            window = path.parent.name
            for line in whole.decode("utf-8", "replace").splitlines():
                self.note(f"{window}: {line}")
                self.saw(understand(window, line))

    def sends(self, line: str) -> None:
        self.note(f"> {line}")
        self.terminal.types(line)

    def says(self, where: str, text: str) -> Seen:
        self.sends(f"/msg {where} {text}")
        return Seen("message", self.name, where, text)

    def joins(self, room: str) -> None:
        self.sends(f"/join {room}")
        self.sees("join", who=self.name, where=room)

    def ends(self) -> None:
        if not self.folder.exists():
            return
        self.terminal.types("/quit")
        self.terminal.ends()
        shutil.rmtree(self.folder, ignore_errors=True)


def understand(window: str, line: str) -> Seen:
    """One line of a log as what it says."""
    for kind, pattern in SHOWN:
        if found := re.match(pattern, line):
            got = found.groupdict()
            return Seen(kind, got.get("who"), got.get("where") or window, got.get("text") or "", raw=line)
    return Seen("line", None, window, line)

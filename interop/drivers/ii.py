"""ii: in clear, a password by PASS; files in, files out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from .person import Person, Seen
from .programs import folder, need

SHOWN = [
    ("join", r"^\d+ -!- (?P<who>[^\s(]+)\(.*\) has joined (?P<where>#\S+)"),
    ("topic", r"^\d+ -!- (?P<who>\S+) changed topic to \"(?P<text>.*)\""),
    ("message", r"^\d+ <(?P<who>[^>]+)> (?P<text>.*)$"),
]


class Ii(Person):
    """ii 1.8: knows no capability at all."""

    program = "ii"

    def __init__(self, place, name: str, device: str = "one"):
        super().__init__(place, name, device)
        self.folder = folder("ii")
        self._read: dict[str, int] = {}
        command = [need("ii"), "-i", str(self.folder), "-s", "127.0.0.1", "-p", str(place.irc), "-n", name, "-k", "SECRET", "-f", name]
        environment = {**os.environ, "SECRET": self.password}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.root = self.folder / "127.0.0.1"
        self.waits("being signed in", lambda: (self.root / "out").exists() and re.search(r"(?i)welcome", (self.root / "out").read_text()))

    def look(self) -> None:
        for path in sorted(self.root.rglob("out")):
            data = path.read_bytes()[self._read.get(str(path), 0) :]
            whole = data[: data.rfind(b"\n") + 1]
            self._read[str(path)] = self._read.get(str(path), 0) + len(whole)
            window = path.parent.name
            for line in whole.decode("utf-8", "replace").splitlines():
                self.note(f"{window}: {line}")
                for kind, pattern in SHOWN:
                    if found := re.match(pattern, line):
                        got = found.groupdict()
                        self.saw(Seen(kind, got.get("who"), got.get("where") or window, got.get("text") or "", raw=line))
                        break

    def _writes(self, where: str, line: str) -> None:
        self.note(f"> {where}: {line}")
        with open(self.root / where / "in", "w") as pipe:
            pipe.write(line + "\n")

    def says(self, where: str, text: str) -> Seen:
        if not (self.root / where / "in").exists():
            self._writes(".", f"/j {where}")
            self.waits(f"the folder of {where}", lambda: (self.root / where / "in").exists())
        self._writes(where, text)
        return Seen("message", self.name, where, text)

    def joins(self, room: str) -> None:
        self._writes(".", f"/j {room}")
        self.sees("join", who=self.name, where=room)

    def ends(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

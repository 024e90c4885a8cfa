"""go-sendxmpp: one message a run, and a listener that prints what comes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading

from .person import Person, Seen
from .programs import Program, folder, need

SHOWN = re.compile(r"^(?P<time>\d{4}-\d\d-\d\dT\S+)(?: \[OMEMO\]| \[OX\])? (?P<from>\S+?): (?P<text>.*)$")


class GoSendxmpp(Person):
    """go-sendxmpp 0.5. `listens()` first, if it is to hear."""

    program = "go-sendxmpp"

    def __init__(self, place, name: str, device: str = "one", *, listen: str | None = None):
        """`listen` names a room to listen in; the direct messages are heard anyway."""
        super().__init__(place, name, device)
        self.go = need("go-sendxmpp")
        self.folder = folder("gosendxmpp")
        self.child = None
        if listen is not None:
            self.listens(listen)

    def _argv(self, *more: str) -> list[str]:
        return [self.go, "-u", self.place.jid(self.name), "-p", self.password, "-j", f"127.0.0.1:{self.place.xmpp}", *more]

    @property
    def _environment(self) -> dict[str, str]:
        # Go reads the trusted certificates from here, so the certificate is verified.
        return {"SSL_CERT_FILE": str(self.place.ca), "HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)}

    def says(self, where: str, text: str) -> Seen:
        room = ["-c"] if where.startswith("#") else []
        self.note(f"> to {where}: {text}")
        done = subprocess.run(
            self._argv(*room, self.place.jid(where)), input=text, text=True, capture_output=True, timeout=60,
            env={**os.environ, **self._environment},
        )  # fmt: skip
        self.note(f"exit {done.returncode} {done.stderr}")
        assert done.returncode == 0, f"{self} could not say it: {done.stderr}{done.stdout}"
        return Seen("message", self.name, where, text)

    def listens(self, room: str = "") -> None:
        argv = self._argv("-l", *(["-c", self.place.jid(room)] if room else []))
        self.child = Program(argv, self.folder, "go-sendxmpp", stdout=subprocess.PIPE, env=self._environment)
        threading.Thread(target=self._reads, args=(room,), daemon=True).start()

    def _reads(self, room: str) -> None:
        for raw in self.child.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            self.note(f"< {line}")
            if found := SHOWN.match(line):
                where, who = self.place.where(found["from"])
                self.saw(Seen("message", who or None, where, found["text"]))
            elif self.seen:
                self.seen[-1].text += "\n" + line

    def ends(self) -> None:
        if self.child:
            self.child.stop(3)
        shutil.rmtree(self.folder, ignore_errors=True)

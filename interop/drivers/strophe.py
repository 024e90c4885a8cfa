"""Strophe.js over BOSH in Debian's Chromium: what apps in browsers are built on. It says back what it hears."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from .person import Person, Seen
from .programs import Program, folder, need

PAGE = Path(__file__).resolve().parents[1] / "node" / "bosh.html"
LINE = re.compile(r'CONSOLE[^"]*"SAY (\{.*\})", source:')


class Strophe(Person):
    """`hold` and `wait` are those of XEP-0124; at the word `bye` it leaves."""

    program = "strophe.js"

    def __init__(self, place, name: str, device: str = "web", *, hold: int = 1, wait: int = 60, password=None, fails=False):
        super().__init__(place, name, device)
        chromium = need("chromium")
        if not (PAGE.parent / "node_modules" / "strophe.js").exists():
            why = "strophe.js is missing: run `npm ci` in interop/node"
            pytest.fail(why, pytrace=False) if os.environ.get("CI") else pytest.skip(why)
        self.folder = folder("strophe")
        options = {
            "url": place.http.rstrip("/") + "/http-bind", "jid": f"{place.jid(name)}/{device}", "bye": "bye",
            "password": self.password if password is None else password, "hold": hold, "wait": wait,
        }  # fmt: skip
        self.states: list[str] = []
        self.child = Program(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", "--ignore-certificate-errors",
             "--allow-file-access-from-files", "--remote-debugging-port=0", f"--user-data-dir={self.folder}/profile",
             "--enable-logging=stderr", "--v=0", f"{PAGE.as_uri()}#{quote(json.dumps(options))}"],
            self.folder, "strophe",
        )  # fmt: skip
        self._stop = threading.Event()
        threading.Thread(target=self._reads, daemon=True).start()
        if not fails:
            self.waits("being signed in", lambda: "CONNECTED" in self.states or self._alive())

    def _alive(self) -> None:
        assert self.child.alive, f"chromium ended: {self.child.output()}"

    def _reads(self) -> None:
        """Follows the log that the page's console goes to."""
        with self.child.log.open(errors="replace") as log:
            rest = ""
            while not self._stop.is_set():
                rest += log.readline()
                if not rest.endswith("\n"):
                    self._stop.wait(0.05)
                    continue
                found, rest = LINE.search(rest), ""
                if found:
                    self._happens(json.loads(found.group(1)))

    def _happens(self, one: dict) -> None:
        self.note(f"* {json.dumps(one)}")
        if one["event"] == "status":
            self.states.append(one["status"])
        elif one["event"] == "message":
            where, who = self.place.where(one["from"])
            self.saw(Seen("message", who, where, one["text"]))

    def ends(self) -> None:
        if hasattr(self, "child"):
            self._stop.set()
            self.child.stop(3)
            shutil.rmtree(self.folder, ignore_errors=True)

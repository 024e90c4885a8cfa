"""The node under test: `sammen try --json` on a data folder, which can be killed and started again."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from .place import Place
from .programs import Program, folder

ROOT = Path(__file__).resolve().parents[2]


def binary() -> Path:
    """SAMMEN_BIN, or the newer of the release and the debug build. Without one: skip, or fail in CI."""
    named = os.environ.get("SAMMEN_BIN")
    built = [Path(named)] if named else [ROOT / "target" / p / "sammen" for p in ("release", "debug")]
    there = [p for p in built if p.exists()]
    if not there:
        why = f"no sammen binary: {', '.join(map(str, built))}"
        if os.environ.get("CI"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    return max(there, key=lambda p: p.stat().st_mtime)


def free_base(width: int = 40) -> int:
    """A base for `--ports` such that the first ports after it are free just now, below the ephemeral range."""
    import random
    import socket

    for _ in range(200):
        base = random.randrange(12000, 32000, width)
        held = []
        try:
            for port in range(base, base + width):
                sock = socket.socket()
                held.append(sock)
                sock.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
        finally:
            for sock in held:
                sock.close()
    raise AssertionError("no free port range")


class Node(Place):
    """A running Sammen. A Place whose accounts and ports come from the line of JSON that it prints."""

    def __init__(self):
        super().__init__(name="sammen")
        self.folder = folder("node")
        self.data = self.folder / "data"
        self.base = free_base()
        self.card: dict = {}
        self.program: Program | None = None
        self.start()

    def start(self) -> None:
        """Start on this data folder and these ports, and wait for the line that says that everything listens."""
        self.program = Program(
            [binary(), "try", "--json", "--data", self.data, "--ports", str(self.base)],
            self.folder, "sammen", stdout=subprocess.PIPE,
        )  # fmt: skip
        lines: queue.Queue = queue.Queue()
        pipe = self.program.process.stdout

        def read():
            for line in pipe:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        try:
            line = lines.get(timeout=60)
        except queue.Empty:
            line = None
        if not line:
            raise AssertionError(f"sammen try printed no line of JSON: {self.program.output()}")
        self.card = json.loads(line)
        port = lambda address: int(str(address).rpartition(":")[2])  # noqa: E731
        listeners = self.card["listeners"]
        self.domain, self.room, self.ca = self.card["domain"], self.card["room"], Path(self.card["ca"])
        self.accounts = {a["name"]: a["password"] for a in self.card["accounts"]}
        self.xmpp, self.xmpp_tls = port(listeners["xmpp"]["c2s"]), port(listeners["xmpp"]["direct_tls"])
        self.irc, self.irc_tls = port(listeners["irc"]["plain"]), port(listeners["irc"]["tls"])
        self.http = listeners["http"]["url"]
        self.page = f"{self.http.rstrip('/')}/"

    def kill9(self) -> None:
        """Pull the plug."""
        self.program.kill9()

    def restart(self) -> None:
        """Start again on the same data and the same ports; accounts must be the same."""
        before = (self.accounts, self.xmpp, self.irc_tls)
        self.program.stop()
        self.start()
        assert before == (self.accounts, self.xmpp, self.irc_tls), "a restart changed accounts or ports"

    def runs(self, *argv: str, stdin: str = "") -> dict | list | None:
        """A `sammen` command against this running node, with --json; returns what it printed."""
        done = subprocess.run(
            [str(binary()), *argv, "--json", "--data", str(self.data)],
            input=stdin, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"sammen {' '.join(argv)}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def logs(self) -> str:
        return self.program.output(20000)

    def stop(self) -> None:
        self.program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

"""The node for fault plays: with the recording layer below it, on a small disk, or on a folder that a power cut left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from drivers.node import Node, binary
from drivers.programs import listens

from . import recorder
from .crowd import SECRET

SOAK = bool(os.environ.get("SOAK"))
"""The long form: SOAK=1."""


@contextlib.contextmanager
def surroundings(env: dict[str, str]):
    """These variables, for the programs that are started meanwhile."""
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Town(Node):
    """A node whose disk and clock are in our hands."""

    def __init__(self, layer: Path | None = None, *, record: bool = False, data: Path | None = None, small: int = 0):
        self._before: Path | None = data
        self.layer = layer
        self.record, self.small = record, small
        self.faults: recorder.Faults | None = None
        self.log: Path | None = None
        self._mounted, self._told = False, ""
        super().__init__()

    def start(self) -> None:
        if self.program is None:
            if self._before:
                self.data = self._before
            self.data.mkdir(mode=0o700, exist_ok=True)
            if self.small:
                self._mounts()
            if self.layer:
                self.faults = recorder.Faults(self.folder / "faults")
                self.log = self.folder / "record" if self.record else None
        env = recorder.environment(self.layer, self.data, self.log, self.faults.path) if self.layer else {}
        with surroundings(env):
            super().start()

    def _mounts(self) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={self.small},mode=700", "none", str(self.data)], capture_output=True, text=True
        )
        if done.returncode:
            self.stop()
            pytest.skip(f"a small disk needs leave to mount: {done.stderr.strip()}")
        self._mounted = True

    def people(self, *names: str) -> None:
        """Accounts with the password of crowds."""
        self.runs("account", "import", stdin="".join(f"{name} {SECRET}\n" for name in names))
        self.accounts.update(dict.fromkeys(names, SECRET))

    def start_again(self) -> None:
        """After a kill: the same data, ports and accounts (those of the crowd too)."""
        crowd = {name: secret for name, secret in self.accounts.items() if secret == SECRET}
        self.program.stop()
        self.start()
        self.accounts.update(crowd)

    def memory(self) -> int:
        """Resident bytes now."""
        status = Path(f"/proc/{self.program.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024

    def at(self) -> int:
        """The length of the record: what has happened on the disk until now."""
        return self.log.stat().st_size

    @property
    def listening(self) -> bool:
        return listens(self.xmpp)

    def logs(self) -> str:
        with contextlib.suppress(OSError):
            self._told = super().logs()
        return self._told

    def stop(self) -> None:
        if self.program:
            self.program.stop()
            self.logs()
        if self._mounted:
            subprocess.run(["umount", "-l", str(self.data)], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def check(data: Path) -> list[str]:
    """What `sammen check` finds wrong with a folder on which no node runs."""
    done = subprocess.run([str(binary()), "check", "--json", "--data", str(data)], capture_output=True, text=True, timeout=120)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return [f"sammen check: {done.stdout}{done.stderr}"]
    return [] if done.returncode == 0 and answer.get("ok") else [*answer.get("faults", []), answer.get("error", "")]


def scratch() -> Path:
    """A folder for what a power cut left, in memory: it is written often."""
    shm = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="sammen-cut-", dir=shm if shm.is_dir() and os.access(shm, os.W_OK) else None))

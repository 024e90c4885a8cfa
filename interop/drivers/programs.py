"""Programs as processes of our own: each in a process group, with a log file, ended by pid."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from .person import until


def need(program: str, debian: str | None = None) -> str:
    """The path of a program. Where it is missing a laptop skips the play; CI fails it."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/games")
    if not found:
        why = f"{program} is not installed (Debian package {debian or program})"
        if os.environ.get("CI"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    return found


def free_ports(count: int) -> list[int]:
    """Loopback TCP ports that the operating system just called free."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            sock = held.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            ports.append(sock.getsockname()[1])
        return ports


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Does something accept connections there?"""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


class Program:
    """A child process in a process group of its own; standard error (and output, if not piped) goes to a file."""

    def __init__(self, argv: list[str], folder: Path, name: str, *, stdin=subprocess.DEVNULL, stdout=None, env=None):
        self.argv, self.name = [str(a) for a in argv], name
        self.log = folder / f"{name}.out"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.argv,
                stdin=stdin,
                stdout=out if stdout is None else stdout,
                stderr=out,
                env={**os.environ, **(env or {})},
                cwd=folder,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def output(self, last: int = 4000) -> str:
        # A person who went on purpose took the folder along; a failure later in the play is still told.
        return self.log.read_text(errors="replace")[-last:] if self.log.exists() else ""

    def waits_for_port(self, port: int) -> None:
        """Until the program listens; fails at once when it ended instead."""

        def open_or_dead():
            if not self.alive:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}: {self.output()}")
            return listens(port)

        until(f"{self.name} on port {port}", open_or_dead, transcript=self.output)

    def kill9(self) -> None:
        """End it at once, as a power cut would, with all of its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, patience: float = 10) -> None:
        """Ask it to end; after the patience, end it."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        if self.alive:
            self.kill9()


def folder(name: str) -> Path:
    """A new temporary folder with a short path (tmux and fifos dislike long ones)."""
    return Path(tempfile.mkdtemp(prefix=f"sammen-{name}-"))

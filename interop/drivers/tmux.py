"""tmux: a terminal for programs that want one, with a server socket of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from .person import until
from .programs import need


class Tmux:
    """One program in one terminal. Every instance has its own tmux server, ended by pid."""

    def __init__(self, folder: Path, argv: list[str], env: dict[str, str] | None = None):
        self.tmux, self.socket = need("tmux"), folder / "tmux.sock"
        settings = [f"{k}={v}" for k, v in {"LC_ALL": "C.UTF-8", "TERM": "screen-256color", **(env or {})}.items()]
        self._run("-f", "/dev/null", "new-session", "-d", "-x", "200", "-y", "50", "-s", "s", "env", *settings, *map(str, argv))
        # The screen stays when the program ends, so that a failure can be read.
        self._run("set-option", "-g", "remain-on-exit", "on", check=False)
        self.server = int(self._run("display-message", "-p", "#{pid}"))

    def _run(self, *argv: str, check: bool = True) -> str:
        environment = {k: v for k, v in os.environ.items() if k not in ("TMUX", "TMUX_PANE")}
        done = subprocess.run([self.tmux, "-S", str(self.socket), *argv], capture_output=True, text=True, env=environment, timeout=30)
        if check and done.returncode:
            raise AssertionError(f"tmux {argv}: {done.stderr}")
        return done.stdout

    def types(self, text: str) -> None:
        """Literal text, then Enter as a key of its own."""
        self._run("send-keys", "-t", "s", "-l", "--", text)
        self._run("send-keys", "-t", "s", "Enter")

    def key(self, name: str) -> None:
        self._run("send-keys", "-t", "s", name)

    def screen(self) -> str:
        return "\n".join(line for line in self._run("capture-pane", "-p", "-t", "s", check=False).splitlines() if line.strip())

    def shows(self, text: str, patience: float = 30) -> None:
        """Wait until the screen has this text."""
        until(f"{text!r} on the screen", lambda: text in self.screen(), patience, self.screen)

    def ends(self) -> None:
        """End the program with its terminal."""
        pane = self._run("display-message", "-p", "-t", "s", "#{pane_pid}", check=False).strip()
        self._run("kill-server", check=False)
        for pid in (pane, str(self.server)):
            with contextlib.suppress(ProcessLookupError, ValueError, PermissionError):
                os.kill(int(pid), signal.SIGTERM)

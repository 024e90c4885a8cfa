"""Desktop programs: a screen, a session bus, a home and a view of the system of their own, so that they trust the play's certificate.

The program runs in namespaces of its own: there `/etc/ssl/certs` holds the place's authority alone, `/etc/hosts` knows the
place's domain, there is no DNS, and nothing that it started outlives it. No right of the system is needed for that.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from .person import PATIENCE, Person, until
from .programs import Program, folder, need

ENTER = """
set -e
for one in hosts:/etc/hosts resolv.conf:/etc/resolv.conf certs:/etc/ssl/certs; do
  mount --bind "$1/${one%%:*}" "${one#*:}"
done
shift
exec unshare --user --map-user=1000 --map-group=1000 -- dbus-run-session -- bash -c '("$@"; kill $$) & while read -r one; do eval "$one"; done' run "$@"
"""
"""Binds what the program shall see over the system's own files, becomes an ordinary user (Gajim wants no root), starts the program and
then does what comes in as lines: so a play can speak to it over its session bus."""


def address() -> str:
    """A loopback address that no other play uses: programs that can't be told a port find the usual one there."""
    return f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 1}.{secrets.randbelow(250) + 1}"


class Desktop(Person):
    """Base of the desktop drivers. `where` is the loopback address that the place's domain has for the program."""

    debian = ""

    def __init__(self, place, name: str, device: str = "desk", *, where: str = "127.0.0.1"):
        super().__init__(place, name, device)
        for tool, package in (("Xvfb", "xvfb"), ("xdotool", None), ("dbus-run-session", "dbus"), ("unshare", "util-linux")):
            need(tool, package)
        if subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "true"], capture_output=True).returncode:
            why = "no user namespaces here"
            pytest.fail(why, pytrace=False) if os.environ.get("CI") else pytest.skip(why)
        self.folder = folder(self.program.lower().replace(" ", "-"))
        self.home = self.folder / "home"
        for part in ("", ".config", ".local/share", ".cache", "run"):
            (self.home / part).mkdir(parents=True, exist_ok=True)
        (self.home / "run").chmod(0o700)
        (self.home / ".config/kwalletrc").write_text("[Wallet]\nEnabled=false\n")  # else a wallet's window asks
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n{where} {place.domain}\n")
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
        self._trusts(Path(place.ca))
        self.child: Program | None = None
        self._screen()

    def _trusts(self, authority: Path) -> None:
        """The one file that GnuTLS and OpenSSL read, and the name by hash that Qt looks for."""
        certs = self.folder / "certs"
        certs.mkdir()
        hashed = subprocess.run([need("openssl"), "x509", "-noout", "-hash", "-in", str(authority)], capture_output=True, text=True, check=True)
        for name in ("ca-certificates.crt", f"{hashed.stdout.strip()}.0"):
            (certs / name).write_bytes(authority.read_bytes())

    def _screen(self) -> None:
        """An X server whose number the system picks."""
        number = self.folder / "display"
        with number.open("w") as out:
            self.screen = Program(
                [need("sh"), "-c", f"exec Xvfb -displayfd 3 -screen 0 1100x720x24 -nolisten tcp 3>'{number}'"], self.folder, "xvfb"
            )
        until("a screen", lambda: number.read_text().strip() or self._screen_lives(), transcript=self.screen.output)
        self.display = f":{number.read_text().strip()}"

    def _screen_lives(self) -> None:
        assert self.screen.alive, f"Xvfb ended: {self.screen.output()}"

    @property
    def env(self) -> dict[str, str]:
        return {
            "HOME": str(self.home), "DISPLAY": self.display, "XDG_RUNTIME_DIR": str(self.home / "run"), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
            "XDG_CONFIG_HOME": str(self.home / ".config"), "XDG_DATA_HOME": str(self.home / ".local/share"), "XDG_CACHE_HOME": str(self.home / ".cache"),
            "LIBGL_ALWAYS_SOFTWARE": "1", "GSK_RENDERER": "cairo", "GSETTINGS_BACKEND": "memory", "GTK_A11Y": "none", "NO_AT_BRIDGE": "1",
            "QT_QPA_PLATFORM": "xcb", "QT_QUICK_BACKEND": "software", "WAYLAND_DISPLAY": "", "XDG_SESSION_TYPE": "x11", "DBUS_SESSION_BUS_ADDRESS": "",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }  # fmt: skip

    def starts(self, *argv) -> None:
        """The program, with everything that it will start, in a process tree that ends with it."""
        self.child = Program(
            [need("unshare"), "--user", "--map-root-user", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child=KILL", "--",
             need("bash"), "-c", ENTER, "enter", self.folder, *argv],
            self.folder, self.program.lower(), env=self.env, stdin=subprocess.PIPE,
        )  # fmt: skip

    def runs(self, *words) -> None:
        """A command on the program's own bus."""
        line = shlex.join(map(str, words))
        self.note(f"$ {line}")
        self.child.process.stdin.write(f"{line}\n".encode())
        self.child.process.stdin.flush()

    def lives(self) -> None:
        assert self.child.alive, f"{self.program} ended: {self.child.output()}"

    def transcript(self, last: int = 200) -> str:
        return f"{super().transcript(last)}\n--- {self.program} wrote\n{self.child.output(8000) if self.child else ''}"

    def log(self) -> str:
        """All that the program wrote."""
        return self.child.output(10_000_000)

    # Hands.
    def tries(self, what: str, act, done, pause: float = 4) -> None:
        """Acts until it is done: a window that is still being drawn swallows clicks and keys."""
        end = time.monotonic() + PATIENCE
        while True:
            self.lives()
            act()
            with contextlib.suppress(AssertionError):
                return self.waits(what, done, pause)
            assert time.monotonic() < end, f"{self} could not: {what}\n{self.transcript(40)}"

    def clicks(self, x: int, y: int) -> None:
        self.xdo("mousemove", x, y, "click", 1)

    def xdo(self, *words) -> str:
        done = subprocess.run(["xdotool", *map(str, words)], env={**os.environ, "DISPLAY": self.display}, capture_output=True, text=True, timeout=30)
        return done.stdout.strip() if done.returncode == 0 else ""

    def window(self, title: str = ".+") -> str:
        """A window that can be seen, whose title fits."""
        found = self.waits(f"a window {title}", lambda: self.xdo("search", "--onlyvisible", "--name", title).split() or self.lives())
        return found[-1]

    def focuses(self, title: str = ".+") -> str:
        window = self.window(title)
        self.xdo("windowfocus", "--sync", window)
        return window

    def keys(self, *keys: str) -> None:
        self.xdo("key", "--clearmodifiers", *keys)

    def types(self, text: str) -> None:
        self.xdo("type", "--clearmodifiers", "--delay", "8", text)

    def picture(self, path: str) -> None:
        """What is on the screen (needs ImageMagick; for the book and for who mends a play)."""
        subprocess.run(["import", "-display", self.display, "-window", "root", path], check=True, timeout=30)

    def ends(self) -> None:
        for one in (self.child, getattr(self, "screen", None)):
            if one:
                one.stop(3)
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder, ignore_errors=True)

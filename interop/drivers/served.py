"""A node from a configuration: `sammen serve --config`, for plays that need settings."""

from __future__ import annotations

import shutil
import subprocess
from json import loads
from pathlib import Path

from .node import binary, free_base
from .person import until
from .place import Place
from .programs import Program, folder


class Served(Place):
    """A Place made of TOML. `settings` are sections as text; accounts get made-up passwords that the operator sets.
    `also` are further addresses for XMPP with STARTTLS, for clients that can't be told a port."""

    def __init__(self, settings: str = "", people: tuple[str, ...] = ("alice", "bob"), admins: tuple[str, ...] = (),
                 sections: dict[str, str] | None = None, domain: str = "localhost", tls: str = "", s2s: str = "listen = []",
                 also: tuple[str, ...] = ()):  # fmt: skip
        super().__init__(name="sammen", domain=domain)
        self.folder = folder("served")
        self.data, self.config = self.folder / "data", self.folder / "sammen.toml"
        base = free_base()
        self.xmpp, self.xmpp_tls, self.irc_tls, https = base, base + 1, base + 2, base + 3
        self.http = f"https://127.0.0.1:{https}"
        self.base, self.page = base, f"{self.http}/"
        more = sections or {}
        listen = lambda port, how: f'listen = [{{ address = "127.0.0.1:{port}", security = "{how}" }}]'  # noqa: E731
        further = "".join(f', {{ address = "{one}", security = "starttls" }}' for one in also)
        self.config.write_text(
            f'domain = "{domain}"\ndata = "{self.data}"\n'
            f'[tls]\nnames = ["{domain}", "localhost", "127.0.0.1"]\n{tls}\n'
            f'[xmpp]\nlisten = [{{ address = "127.0.0.1:{self.xmpp}", security = "starttls" }}, '
            f'{{ address = "127.0.0.1:{self.xmpp_tls}", security = "tls" }}{further}]\ns2s = {{ {s2s} }}\n{more.get("xmpp", "")}\n'
            f'[irc]\n{listen(self.irc_tls, "tls")}\n{more.get("irc", "")}\n'
            f'[http]\n{listen(https, "tls")}\nurl = "{self.http}"\n{more.get("http", "")}\n'
            f"[metrics]\nlisten = []\n{settings}\n"
        )
        for name in people:
            self.accounts[name] = f"{name}-knocks-thrice"
            admin = ["--admin"] if name in admins else []
            self.runs("account", "add", name, "--stdin", *admin, stdin=self.accounts[name])
        self.program: Program | None = None
        self.start()

    def start(self) -> None:
        self.program = Program([binary(), "serve", "--config", self.config], self.folder, "sammen")

        def ready():
            assert self.program.alive, f"it ended: {self.program.output()}"
            return "sammen is ready" in self.program.output(100_000)

        until("the node's word that it is ready", ready, transcript=self.program.output)
        self.ca: Path = self.data / "tls" / "ca.pem"

    def runs(self, *argv: str, stdin: str = "", json: bool = True):
        """A `sammen` command with this configuration; returns what it printed."""
        done = subprocess.run(
            [str(binary()), *argv, *(["--json"] if json else []), "--config", str(self.config)],
            input=stdin, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"sammen {' '.join(argv)}: {done.stdout}{done.stderr}"
        return loads(done.stdout) if json and done.stdout.strip() else done.stdout

    def logs(self) -> str:
        return self.program.output(20000)

    def stop(self) -> None:
        if self.program:
            self.program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

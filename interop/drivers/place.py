"""A place to be: the domain, ports, accounts and certificate of a server that clients are set before."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .programs import need


@dataclass
class Place:
    """What a client must know to sign in, and how a place's names become addresses."""

    name: str
    domain: str = "localhost"
    room: str = "town"
    accounts: dict[str, str] = field(default_factory=dict)
    ca: Path | None = None
    xmpp: int | None = None
    xmpp_tls: int | None = None
    irc: int | None = None
    irc_tls: int | None = None
    http: str | None = None
    sasl: bool = True
    """Does the IRC side know the accounts (SASL)? Bare IRC daemons do not."""

    def password(self, name: str) -> str:
        return self.accounts[name]

    @property
    def rooms_domain(self) -> str:
        return f"rooms.{self.domain}"

    def jid(self, where: str) -> str:
        """`bob` → bob@localhost, `#town` → town@rooms.localhost, `#town/bob` → an occupant."""
        if where.startswith("#"):
            room, _, nick = where[1:].partition("/")
            return f"{room}@{self.rooms_domain}" + (f"/{nick}" if nick else "")
        return where if "@" in where else f"{where}@{self.domain}"

    def where(self, jid: str, private: bool = False) -> tuple[str, str]:
        """An XMPP address as (where, who): the room and nick, or the account twice."""
        bare, _, resource = str(jid).partition("/")
        local, _, domain = bare.partition("@")
        if domain == self.rooms_domain:
            return (f"#{local}/{resource}" if private and resource else f"#{local}"), resource
        name = local if domain == self.domain and local else bare
        return name, name

    def tls(self) -> ssl.SSLContext:
        """Trusts this place's certificate and nothing else."""
        return ssl.create_default_context(cafile=str(self.ca))


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost (RSA, as old clients want) and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,DNS:rooms.localhost,DNS:*.localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o640)
    return cert, key

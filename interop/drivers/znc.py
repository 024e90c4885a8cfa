"""ZNC, the bouncer that many people have before any server: TLS and SASL towards us, a plain socket towards its user."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import ssl

from .programs import Program, folder, free_ports, need
from .rawirc import RawIrc

CONFIG = """
Version = 1.8.2
<Listener l>
    Host = 127.0.0.1
    Port = {port}
    IPv4 = true
    IPv6 = false
    SSL = false
</Listener>
<User {name}>
    Pass = plain#{secret}
    Nick = {name}
    Ident = {name}
    RealName = {name}
    Buffer = 50
    AutoClearChanBuffer = true
    <Network s>
        Server = localhost +{irc}
        TrustedServerFingerprint = {fingerprint}
        LoadModule = sasl
        FloodBurst = 50
        <Chan {room}>
        </Chan>
    </Network>
</User>
"""


class Znc(RawIrc):
    """ZNC 1.8, and its user's connection to it. What the user sees is what ZNC made of ours."""

    program = "ZNC"

    def __init__(self, place, name: str, device: str = "one"):
        znc = need("znc")
        self.folder, (self.port,) = folder("znc"), free_ports(1)
        their = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", place.irc_tls)))
        words = {
            "port": self.port, "name": name, "secret": place.password(name), "irc": place.irc_tls, "room": f"#{place.room}",
            "fingerprint": hashlib.sha256(their).hexdigest(),
        }  # fmt: skip
        (self.folder / "configs").mkdir()
        (self.folder / "configs" / "znc.conf").write_text(CONFIG.format(**words))
        sasl = self.folder / "users" / name / "networks" / "s" / "moddata" / "sasl"
        sasl.mkdir(parents=True)
        (sasl / ".registry").write_text(f"mechanisms PLAIN\npassword {place.password(name)}\nrequire_auth yes\nusername {name}\n")
        # Root would have to wait for half a minute.
        other = []
        if os.geteuid() == 0:
            other = [need("setpriv", "util-linux"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
            for path in (self.folder, *self.folder.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")
        self.znc = Program([*other, znc, "--foreground", "--datadir", self.folder], self.folder, "znc")
        try:
            self.znc.waits_for_port(self.port)
            super().__init__(place, name, device)
        except BaseException:
            # Nobody else knows of it yet.
            self.znc.stop()
            raise

    def connects(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.begins()

    def registers(self) -> None:
        self.sends(f"PASS {self.name}/s:{self.secret}")
        super().registers()

    def ends(self) -> None:
        super().ends()
        self.znc.stop()
        with contextlib.suppress(OSError):
            shutil.rmtree(self.folder)

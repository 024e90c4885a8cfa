"""Servers that speak with each other on loopback: an authority that vouches for them, a DNS of the play's own, Sammen,
Debian's Prosody and Debian's ejabberd, each under a domain of its own below `.example`, because resolvers know `.test` to be nowhere."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

from .place import Place
from .programs import Program, folder, free_ports, need
from .served import Served

ACCOUNTS = {"alice": "alice-secret-1", "bob": "bob-secret-2"}


class Authority:
    """Signs certificates; whoever trusts `ca` believes them."""

    def __init__(self):
        self.folder = folder("authority")
        self.ca, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=Test authority",
                  "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.key, "-out", self.ca)  # fmt: skip

    def _run(self, *argv) -> None:
        subprocess.run([need("openssl"), *map(str, argv)], check=True, capture_output=True)

    def signs(self, into: Path, *domains: str) -> tuple[Path, Path]:
        """A certificate (with the authority's behind it) for domains and their rooms, and its key."""
        chain, key, request = into / "chain.pem", into / "key.pem", into / "request.pem"
        names = [name for d in domains for name in (d, f"rooms.{d}", f"upload.{d}")]
        extensions = into / "extensions"
        extensions.write_text(
            "subjectAltName=" + ",".join(f"DNS:{n}" for n in names) + ",IP:127.0.0.1,DNS:localhost\n"
            "extendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n"
        )
        self._run("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={domains[0]}", "-keyout", key, "-out", request)
        self._run("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", "-days", "30",
                  "-extfile", extensions, "-out", chain)  # fmt: skip
        chain.write_text(chain.read_text() + self.ca.read_text())
        (into / "both.pem").write_text(chain.read_text() + key.read_text())
        key.chmod(0o644)
        return chain, key

    def stop(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Dns:
    """SRV of `_xmpp-server._tcp` and A of what it knows; everything else does not exist."""

    def __init__(self):
        self.ports: dict[str, int] = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def knows(self, domain: str, port: int) -> None:
        """A domain's server, and the one of its rooms, is at this port."""
        for name in (domain, f"rooms.{domain}", f"upload.{domain}"):
            self.ports[name] = port

    def _serve(self) -> None:
        while True:
            try:
                asked, who = self.socket.recvfrom(4096)
                self.socket.sendto(self._answer(asked), who)
            except OSError:
                return
            except (IndexError, struct.error):
                continue

    def _answer(self, asked: bytes) -> bytes:
        at, labels = 12, []
        while asked[at]:
            labels.append(asked[at + 1 : at + 1 + asked[at]].decode("ascii", "replace").lower())
            at += 1 + asked[at]
        (kind,) = struct.unpack("!H", asked[at + 1 : at + 3])
        question, name = asked[12 : at + 5], ".".join(labels)
        service = name.removeprefix("_xmpp-server._tcp.")
        data = b""
        if kind == 33 and service != name and service in self.ports:
            # A name that everybody finds: ejabberd asks the system for addresses, which knows none of the play's.
            target = b"\x09localhost\0"
            data = struct.pack("!HHH", 5, 0, self.ports[service]) + target
        elif kind == 1 and name in self.ports:
            data = socket.inet_aton("127.0.0.1")
        known = bool(data) or name in self.ports or name.split(".", 2)[-1] in self.ports
        head = asked[:2] + struct.pack("!HHHHH", 0x8580 | (0 if known else 3), 1, 1 if data else 0, 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(data)) + data if data else b""
        return head + question + record

    def stop(self) -> None:
        self.socket.close()


class World:
    """What servers of one play share."""

    def __init__(self):
        self.authority, self.dns = Authority(), Dns()

    def stop(self) -> None:
        self.authority.stop()
        self.dns.stop()


class Wire:
    """Lies between a server and those who look it up; frozen, it takes and brings nothing, and closes nothing."""

    def __init__(self, world: World, domain: str):
        self.to = world.dns.ports[domain]
        self.door = socket.create_server(("127.0.0.1", 0))
        world.dns.knows(domain, self.door.getsockname()[1])
        self.frozen: list[socket.socket] = []
        self.moves = threading.Event()
        self.moves.set()
        self.open: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accepts, daemon=True).start()

    def _accepts(self) -> None:
        while True:
            try:
                near, _ = self.door.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.to))
            self.open.append((near, far))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._carries, args=ends, daemon=True).start()

    def _carries(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                # What is frozen stays so; who comes afterwards is served.
                if source in self.frozen or not self.moves.is_set():
                    self.frozen.append(source)
                    continue
                sink.sendall(data)
            if source not in self.frozen:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self.frozen.append(source)

    def freezes(self) -> None:
        self.moves.clear()
        self.stuck = list(self.open)
        self.frozen += [end for ends in self.stuck for end in ends]

    def is_given_up(self) -> bool:
        """Whether who was stuck has hung up."""
        return all(near.fileno() < 0 or self._ended(near) for near, _ in self.stuck)

    @staticmethod
    def _ended(end: socket.socket) -> bool:
        try:
            return end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def thaws(self) -> None:
        self.moves.set()

    def stop(self) -> None:
        self.door.close()
        for ends in self.open:
            for end in ends:
                end.close()


class Sammen(Served):
    """Our node, found by DNS, with a certificate of the authority (for `certified` instead of its domain, if said)."""

    def __init__(self, world: World, domain: str = "here.example", certified: str | None = None, s2s: str = "", people=("alice", "bob")):
        (self.s2s,) = free_ports(1)
        self.papers = folder("papers")
        chain, key = world.authority.signs(self.papers, certified or domain)
        world.dns.knows(domain, self.s2s)
        super().__init__(
            domain=domain,
            people=people,
            settings=f'[log]\nlevel = "info,sammen_xmpp=debug"\n',
            tls=f'certificates = [{{ chain = "{chain}", key = "{key}" }}]',
            s2s=f'listen = [{{ address = "127.0.0.1:{self.s2s}", security = "starttls" }}], '
            f'resolvers = ["127.0.0.1:{world.dns.port}"], authorities = ["{world.authority.ca}"], '
            f"system_authorities = false{', ' + s2s if s2s else ''}",
        )
        self.ca = self.authority = world.authority.ca

    def kill9(self) -> None:
        self.program.kill9()

    def restart(self) -> None:
        self.program.stop()
        self.start()
        self.ca = self.authority

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self.papers, ignore_errors=True)


class Elsewhere(Place):
    """Somebody else's server: it can be taken down and started again on the same data and ports."""

    program: Program

    def kill9(self) -> None:
        self.program.kill9()

    def restart(self) -> None:
        self.program.stop()
        self.start()

    def stop(self) -> None:
        self.program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


PROSODY = """
run_as_root = true
pidfile = "{dir}/prosody.pid"
data_path = "{dir}/data"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
c2s_direct_tls_ports = {{ {tls} }}
s2s_ports = {{ {s2s} }}
s2s_direct_tls_ports = {{}}
http_ports = {{}}
https_ports = {{}}
unbound = {{ resolvconf = false; hoststxt = false; forward = "127.0.0.1@{dns}"; options = {{ ["do-not-query-localhost:"] = "no" }} }}
ssl = {{ certificate = "{cert}", key = "{key}", cafile = "{ca}" }}
s2s_ssl = {{ certificate = "{wrong[0]}", key = "{wrong[1]}", cafile = "{ca}" }}
s2s_secure_auth = {secure}
s2s_require_encryption = true
authentication = "internal_hashed"
storage = "internal"
default_archive_policy = true
allow_registration = false
modules_enabled = {{ "roster", "saslauth", "tls", "dialback", "disco", "carbons", "pep", "private", "blocklist", "bookmarks", "vcard4",
  "vcard_legacy", "version", "time", "ping", "mam", "smacks", "offline" }}
limits = {{}}
log = {{ debug = "{dir}/prosody.log" }}

VirtualHost "{domain}"
  disco_items = {{ {{ "rooms.{domain}", "rooms" }} }}

Component "rooms.{domain}" "muc"
  modules_enabled = {{ "muc_mam" }}
  muc_log_by_default = true
  muc_room_locking = false
  muc_room_default_public = true
  muc_room_default_persistent = true
"""


class Prosody(Elsewhere):
    """Debian's Prosody; `secure` makes it insist on certificates, `certified` gives it a wrong one."""

    def __init__(self, world: World, domain: str = "prosody.example", secure: bool = True, certified: str | None = None):
        super().__init__(name="prosody", domain=domain, accounts=dict(ACCOUNTS), ca=world.authority.ca)
        need("prosody")
        ctl = need("prosodyctl", "prosody")
        self.folder = folder("prosody")
        cert, key = world.authority.signs(self.folder, domain)
        others = self.folder / "others"
        others.mkdir()
        wrong = world.authority.signs(others, certified) if certified else (cert, key)
        self.xmpp, self.xmpp_tls, self.s2s = free_ports(3)
        world.dns.knows(domain, self.s2s)
        self.config = self.folder / "prosody.cfg.lua"
        self.config.write_text(PROSODY.format(dir=self.folder, c2s=self.xmpp, tls=self.xmpp_tls, s2s=self.s2s, dns=world.dns.port,
                                              cert=cert, key=key, ca=world.authority.ca, secure=str(secure).lower(), domain=domain, wrong=wrong))  # fmt: skip
        for name, secret in self.accounts.items():
            subprocess.run([ctl, "--root", "--config", str(self.config), "register", name, domain, secret], check=True, capture_output=True)
        self.start()

    def start(self) -> None:
        self.program = Program([need("prosody"), "--root", "--config", self.config, "-F"], self.folder, "prosody")
        self.program.waits_for_port(self.xmpp)
        self.program.waits_for_port(self.s2s)

    def logs(self) -> str:
        return (self.folder / "prosody.log").read_text(errors="replace")[-8000:]


EJABBERD = """
hosts: ["{domain}"]
loglevel: debug
certfiles: ["{dir}/both.pem"]
ca_file: "{ca}"
s2s_cafile: "{ca}"
s2s_use_starttls: {starttls}
listen:
  - {{ port: {c2s}, ip: "127.0.0.1", module: ejabberd_c2s, starttls: true, max_stanza_size: 262144 }}
  - {{ port: {tls}, ip: "127.0.0.1", module: ejabberd_c2s, tls: true, max_stanza_size: 262144 }}
  - {{ port: {s2s}, ip: "127.0.0.1", module: ejabberd_s2s_in, max_stanza_size: 262144 }}
  - port: {http}
    ip: "127.0.0.1"
    module: ejabberd_http
    request_handlers: {{ /api: mod_http_api }}
api_permissions:
  accounts: {{ from: [mod_http_api], who: {{ ip: 127.0.0.1/8 }}, what: [register] }}
auth_method: internal
auth_password_format: scram
modules:
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_disco: {{}}
  mod_last: {{}}
  mod_mam: {{ default: always }}
  mod_muc:
    host: "rooms.{domain}"
    default_room_options: {{ mam: true, persistent: true }}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub:
    plugins: [flat, pep]
    force_node_config: {{ "eu.siacs.conversations.axolotl.*": {{ access_model: open }} }}
  mod_roster: {{ versioning: true }}
  mod_s2s_dialback: {{}}
  mod_stream_mgmt: {{}}
  mod_vcard: {{}}
"""


class Ejabberd(Elsewhere):
    """Debian's ejabberd in one Erlang node without a name."""

    def __init__(self, world: World, domain: str = "ejabberd.example"):
        super().__init__(name="ejabberd", domain=domain, accounts=dict(ACCOUNTS), ca=world.authority.ca)
        need("ejabberdctl", "ejabberd")
        self.folder = folder("ejabberd")
        world.authority.signs(self.folder, domain)
        self.xmpp, self.xmpp_tls, self.s2s, self.api = free_ports(4)
        world.dns.knows(domain, self.s2s)
        (self.folder / "ejabberd.yml").write_text(
            EJABBERD.format(dir=self.folder, c2s=self.xmpp, tls=self.xmpp_tls, s2s=self.s2s, http=self.api, ca=world.authority.ca,
                            starttls="required", domain=domain))  # fmt: skip
        (self.folder / "inetrc").write_text(
            '{resolv_conf, ""}.\n{hosts_file, ""}.\n{lookup, [dns]}.\n'
            f"{{nameserver, {{127,0,0,1}}, {world.dns.port}}}.\n{{timeout, 2000}}.\n"
        )
        self.start()
        self.registers()

    def registers(self) -> None:
        for name, secret in self.accounts.items():
            api = http.client.HTTPConnection("127.0.0.1", self.api)
            body = json.dumps({"user": name, "host": self.domain, "password": secret})
            api.request("POST", "/api/register", body, {"Content-Type": "application/json"})
            answer = api.getresponse()
            assert answer.status in (200, 409), answer.read()

    def start(self) -> None:
        env = {"ERL_LIBS": "/usr/lib/x86_64-linux-gnu", "EJABBERD_CONFIG_PATH": str(self.folder / "ejabberd.yml"),
               "EJABBERD_LOG_PATH": str(self.folder / "ejabberd.log"), "HOME": str(self.folder), "ERL_INETRC": str(self.folder / "inetrc"),
               "ERL_CRASH_DUMP": str(self.folder / "crash.dump")}  # fmt: skip
        self.program = Program([need("erl", "erlang-base"), "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none", "-noinput",
                                "-mnesia", "dir", f'"{self.folder}/mnesia"', "-s", "ejabberd"], self.folder, "ejabberd", env=env)  # fmt: skip
        for port in (self.xmpp, self.s2s, self.api):
            self.program.waits_for_port(port)

    def restart(self) -> None:
        # SIGTERM lets Erlang close everything in order, which takes long; what is on disk is enough.
        self.program.stop(patience=20)
        self.start()
        # What its database wrote in the last two seconds before a kill may be gone.
        self.registers()

    def stop(self) -> None:
        if self.program.alive:
            os.killpg(self.program.process.pid, signal.SIGKILL)
            self.program.process.wait()
        super().stop()

    def logs(self) -> str:
        log = self.folder / "ejabberd.log"
        return log.read_text(errors="replace")[-8000:] if log.exists() else self.program.output()

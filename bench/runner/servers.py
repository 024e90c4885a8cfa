"""The servers: how each is started, told its accounts, and stopped. To the works they all look the same."""

import hashlib
import hmac
import http.client
import json
import os
import pathlib
import pwd
import signal
import subprocess
import time

from . import process

BENCH = pathlib.Path(__file__).resolve().parent.parent
PEERS = BENCH / "peers"
PASSWORD = "open-sesame"
ROUNDS = 4096


class Server:
    """What the works ask of a server."""

    name = "?"
    archives = False
    speaks = ("xmpp",)
    xmpp = irc = http = None  # ports
    irc_password = ""
    rooms = "rooms.localhost"

    def __init__(self, folder):
        self.folder = folder
        self.processes = []

    @property
    def pids(self):
        return [p.pid for p in self.processes]

    def run(self, command, port, **more):
        with open(self.folder / "stdout.log", "ab") as log:
            self.processes.append(process.start(command, log, **more))
        try:
            process.wait_for_port(port, self.processes[-1])
        except RuntimeError as error:
            said = (self.folder / "stdout.log").read_text(errors="replace")[-600:]
            raise RuntimeError(f"{error}; it said: {said}") from None

    def register(self, names):
        """Makes accounts with `PASSWORD`."""

    def stop(self):
        while self.processes:
            process.stop(self.processes.pop())

    @classmethod
    def missing(cls):
        """Why this server cannot run here, or None."""
        return None


class Sammen(Server):
    """This node: `sammen try`, everything in one folder; archive and fsync are always on."""

    name = "Sammen"
    archives = True
    speaks = ("xmpp", "irc")
    irc_password = PASSWORD
    binary = BENCH.parent / "target" / "release" / "sammen"

    @classmethod
    def missing(cls):
        return None if cls.binary.exists() else f"{cls.binary} is not built (cargo build --release -p sammen)"

    def start(self):
        self.data = self.folder / "data"
        with open(self.folder / "stdout.log", "wb") as log:
            node = subprocess.Popen(
                ["taskset", "-c", process.SERVER_CORE, self.binary, "try", "--json", "--data", self.data],
                stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.processes.append(node)
        line = node.stdout.readline()
        if not line:
            raise RuntimeError("sammen try ended without its line of JSON: " + (self.folder / "stdout.log").read_text()[-500:])
        ready = json.loads(line)
        self.xmpp = int(ready["listeners"]["xmpp"]["c2s"].rsplit(":", 1)[1])
        self.irc = int(ready["listeners"]["irc"]["plain"].rsplit(":", 1)[1])
        self.rooms = "rooms." + ready["domain"]

    def register(self, names):
        """Through the node's local socket."""
        lines = "".join(f"{name} {PASSWORD}\n" for name in names)
        subprocess.run(
            [self.binary, "account", "import", "--data", self.data], check=True, text=True, input=lines, capture_output=True)


class SammenAtOnce(Sammen):
    """The same with `irc.gather_ms = 0`."""

    name = "Sammen, at once"

    def start(self):
        self.data = self.folder / "data"
        self.data.mkdir()
        self.xmpp, self.irc, self.http = process.free_ports(3)
        self.rooms = "rooms.localhost"
        process.fill(PEERS / "sammen.toml", self.folder / "sammen.toml", {
            "DIR": self.folder, "XMPP": self.xmpp, "IRC": self.irc, "HTTP": self.http})
        self.run([self.binary, "serve", "--config", self.folder / "sammen.toml"], self.http)
        process.wait_for_line("sammen is ready", self.folder / "stdout.log", self.processes[-1])


class SammenMatrix(SammenAtOnce):
    """The same over plain HTTP, as Synapse is measured."""

    name = "Sammen"
    speaks = ("http",)


class Prosody(Server):
    """Debian's Prosody; its archive in its own files."""

    name = "Prosody"

    @classmethod
    def missing(cls):
        return None if process.found("prosody") else "no prosody (apt install prosody)"

    def start(self):
        process.certificate(self.folder)
        (self.folder / "data").mkdir()
        (self.xmpp,) = process.free_ports(1)
        process.fill(PEERS / "prosody.cfg.lua", self.folder / "prosody.cfg.lua", {
            "DIR": self.folder, "XMPP": self.xmpp,
            "ARCHIVE": '"mam"' if self.archives else "", "ROOM_ARCHIVE": '"muc_mam"' if self.archives else ""})
        self.run([process.found("prosody"), "--config", self.folder / "prosody.cfg.lua", "-F"], self.xmpp)

    def register(self, names):
        """Written as `prosodyctl register` leaves them; one salt for all saves the generator's time, not the server's."""
        salt = "c0ffee00-bench"
        salted = hashlib.pbkdf2_hmac("sha1", PASSWORD.encode(), salt.encode(), ROUNDS)
        client = hashlib.sha1(hmac.digest(salted, b"Client Key", "sha1")).hexdigest()
        server = hmac.digest(salted, b"Server Key", "sha1").hex()
        folder = self.folder / "data" / "localhost" / "accounts"
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / f"{name}.dat").write_text(
                f'return {{ ["iteration_count"] = {ROUNDS}; ["salt"] = "{salt}"; '
                f'["stored_key"] = "{client}"; ["server_key"] = "{server}"; }};\n')


class ProsodyArchive(Prosody):
    name = "Prosody, archive"
    archives = True


class Ejabberd(Server):
    """Debian's ejabberd in one Erlang node without a name (so without epmd), not spinning while idle."""

    name = "ejabberd"
    archive = sql = ""

    @classmethod
    def missing(cls):
        return None if process.found("ejabberdctl") else "no ejabberd (apt install ejabberd)"

    def start(self):
        process.certificate(self.folder)
        self.xmpp, self.http = process.free_ports(2)
        process.fill(PEERS / "ejabberd.yml", self.folder / "ejabberd.yml", {
            "DIR": self.folder, "XMPP": self.xmpp, "HTTP": self.http, "ARCHIVE": self.archive, "SQL": self.sql,
            "ROOM_ARCHIVE": "true" if self.archives else "false"})
        env = dict(os.environ, ERL_LIBS="/usr/lib/x86_64-linux-gnu", EJABBERD_CONFIG_PATH=str(self.folder / "ejabberd.yml"),
                   EJABBERD_LOG_PATH=str(self.folder / "ejabberd.log"), HOME=str(self.folder),
                   ERL_CRASH_DUMP=str(self.folder / "crash.dump"), ERL_MAX_PORTS="65536", ERL_MAX_ETS_TABLES="2000")
        # +sbwt none: spinning schedulers would be counted as work.
        self.run([process.found("erl"), "+K", "true", "+P", "1000000", "+Q", "65536", "+sbwt", "none", "+sbwtdcpu", "none",
                  "+sbwtdio", "none", "-noinput", "-mnesia", "dir", f'"{self.folder}/mnesia"', "-s", "ejabberd"],
                 self.xmpp, env=env, cwd=self.folder)
        process.wait_for_port(self.http, self.processes[-1])

    def register(self, names):
        api = http.client.HTTPConnection("127.0.0.1", self.http)
        for name in names:
            body = json.dumps({"user": name, "host": "localhost", "password": PASSWORD})
            api.request("POST", "/api/register", body, {"Content-Type": "application/json"})
            answer = api.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"ejabberd did not register {name}: {answer.status} {text!r}")

    def stop(self):
        # SIGTERM lets Erlang close everything in order, which can take long; nothing of it is needed any more.
        while self.processes:
            process.stop(self.processes.pop(), signal.SIGKILL)


class EjabberdMnesia(Ejabberd):
    name = "ejabberd, archive in Mnesia"
    archives = True
    archive = "  mod_mam: { default: always, db_type: mnesia }"


class EjabberdPostgres(Ejabberd):
    """Its archive in PostgreSQL, which runs on the same core and counts as part of the server; fsync on."""

    name = "ejabberd, archive in PostgreSQL"
    archives = True
    archive = "  mod_mam: { default: always, db_type: sql }"
    tools = pathlib.Path("/usr/lib/postgresql/15/bin")

    @classmethod
    def missing(cls):
        if not (cls.tools / "postgres").exists():
            return "no PostgreSQL 15 (apt install postgresql)"
        if not list(pathlib.Path("/usr/lib").glob("**/p1_pgsql-*")):
            return "no erlang-p1-pgsql (apt install erlang-p1-pgsql)"
        return super().missing()

    def start(self):
        base = self.folder / "pg"
        base.mkdir()
        user = pwd.getpwnam("postgres")
        os.chown(base, user.pw_uid, user.pw_gid)
        as_user = dict(user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd="/")
        subprocess.run([self.tools / "initdb", "-D", base / "data", "-A", "trust", "-U", "ejabberd", "--locale=C.UTF-8"],
                       check=True, capture_output=True, **as_user)
        (port,) = process.free_ports(1)
        self.run([self.tools / "postgres", "-D", base / "data", "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                  "-c", f"unix_socket_directories={base}"], port, **as_user)
        psql = [self.tools / "psql", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "ejabberd", "-v", "ON_ERROR_STOP=1"]
        for attempt in range(100):
            made = subprocess.run([*psql, "-d", "postgres", "-c", "create database ejabberd"], capture_output=True)
            if made.returncode == 0:
                break
            time.sleep(0.1)
        subprocess.run([*psql, "-d", "ejabberd", "-f", "/usr/share/ejabberd/sql/pg.sql"], check=True, capture_output=True)
        self.sql = (f'sql_type: pgsql\nsql_server: "127.0.0.1"\nsql_port: {port}\nsql_database: ejabberd\n'
                    f'sql_username: ejabberd\nsql_password: ""\nsql_pool_size: 10\n')
        super().start()


class Synapse(Server):
    """Synapse in one process, with SQLite. SYNAPSE names the python of a venv that has matrix-synapse from PyPI."""

    name = "Synapse"
    archives = True
    speaks = ("http",)
    python = os.environ.get("SYNAPSE")

    @classmethod
    def missing(cls):
        return None if cls.python else "SYNAPSE does not name a python with matrix-synapse"

    def start(self):
        (self.http,) = process.free_ports(1)
        config = self.folder / "homeserver.yaml"
        process.fill(PEERS / "synapse.yaml", config, {"DIR": self.folder, "HTTP": self.http})
        (self.folder / "log.yaml").write_text(
            "version: 1\nhandlers: {out: {class: logging.StreamHandler}}\nroot: {level: WARNING, handlers: [out]}\n")
        command = [self.python, "-m", "synapse.app.homeserver", "-c", str(config)]
        subprocess.run([*command, "--generate-keys"], check=True, capture_output=True, cwd=self.folder)
        self.run(command, self.http, cwd=self.folder)

    def register(self, names):
        """By the shared secret (Synapse's admin API)."""
        api = http.client.HTTPConnection("127.0.0.1", self.http)

        def ask(method, body=None):
            api.request(method, "/_synapse/admin/v1/register", body and json.dumps(body), {"Content-Type": "application/json"})
            answer = api.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"Synapse did not register: {answer.status} {text!r}")
            return json.loads(text)

        for name in names:
            nonce = ask("GET")["nonce"]
            mac = hmac.new(PASSWORD.encode(), "\0".join([nonce, name, PASSWORD, "notadmin"]).encode(), "sha1").hexdigest()
            ask("POST", {"nonce": nonce, "username": name, "password": PASSWORD, "admin": False, "mac": mac})


class InspIRCd(Server):
    name = "InspIRCd"
    speaks = ("irc",)

    @classmethod
    def missing(cls):
        return None if process.found("inspircd") else "no inspircd (apt install inspircd)"

    def start(self):
        (self.irc,) = process.free_ports(1)
        process.fill(PEERS / "inspircd.conf", self.folder / "inspircd.conf", {"DIR": self.folder, "IRC": self.irc})
        self.run([process.found("inspircd"), "--nofork", "--runasroot", "--config", self.folder / "inspircd.conf"], self.irc)


ALL = {
    "sammen": Sammen, "sammen-at-once": SammenAtOnce, "prosody": Prosody, "prosody-archive": ProsodyArchive, "ejabberd": Ejabberd,
    "ejabberd-mnesia": EjabberdMnesia, "ejabberd-postgres": EjabberdPostgres, "inspircd": InspIRCd,
    "sammen-matrix": SammenMatrix, "synapse": Synapse,
}
# Mnesia's archive slows down with every message that an account has: nobody would run it so, PostgreSQL stands for ejabberd.
USUAL = [key for key in ALL if key not in ("ejabberd-mnesia", "sammen-at-once")]

"""irssi in a terminal, TLS and SASL PLAIN from its config file; its own logs are what it showed."""

from __future__ import annotations

import re
import shutil

from .irc_words import shown_modes
from .person import Person, Seen
from .programs import folder, need
from .tmux import Tmux

CONFIG = """
servers = ( {{ address = "localhost"; chatnet = "s"; port = "{port}"; use_tls = "{tls}"; tls_verify = "{tls}"; tls_cafile = "{ca}";
  autoconnect = "yes"; family = "inet"; }} );
chatnets = {{ s = {{ type = "IRC"; nick = "{name}"; {sasl} max_kicks = "1"; max_msgs = "1"; max_modes = "1"; }}; }};
settings = {{
  core = {{ real_name = "{name}"; user_name = "{name}"; nick = "{name}"; resolve_prefer_ipv6 = "no"; }};
  "irc/core" = {{ cmds_max_at_once = "1000"; cmd_queue_speed = "10msec"; skip_motd = "yes"; }};
  "fe-common/irc" = {{ group_multi_mode = "no"; }};
  "fe-text" = {{ actlist_sort = "refnum"; }};
  "fe-common/core" = {{ autolog = "yes"; autolog_path = "{dir}/logs/$0.log"; autolog_level = "all"; autolog_colors = "no";
    autocreate_own_query = "yes";
    autocreate_query_level = "MSGS DCCMSGS NOTICES"; term_charset = "UTF-8"; }};
}};
"""
SASL = 'sasl_mechanism = "PLAIN"; sasl_username = "{name}"; sasl_password = "{password}";'

SHOWN = [
    ("join", r"^-!- (?P<who>\S+) \[.*\] has joined (?P<where>#\S+)"),
    ("part", r"^-!- (?P<who>\S+) \[.*\] has left (?P<where>#\S+) \[(?P<text>.*)\]"),
    ("gone", r"^-!- (?P<who>\S+) \[.*\] has quit \[(?P<text>.*)\]"),
    ("kick", r"^-!- (?P<who>\S+) was kicked from (?P<where>#\S+) by (?P<by>\S+) \[(?P<text>.*)\]"),
    ("nick", r"^-!- (?P<who>\S+) is now known as (?P<text>\S+)"),
    ("topic", r"^-!- (?P<who>\S+) changed the topic of (?P<where>#\S+) to: (?P<text>.*)$"),
    ("topic", r"^-!- Topic for (?P<where>#\S+): (?P<text>.*)$"),
    ("invite", r"^-!- (?P<who>\S+)(?: \[.*\])? invites you to (?P<where>#\S+)"),
    ("away", r"^-!- (?P<who>\S+) is away: (?P<text>.*)$"),
]


class Irssi(Person):
    """irssi 1.4."""

    program = "irssi"

    def __init__(self, place, name: str, device: str = "one", *, tls: bool = True, sasl: bool | None = None):
        super().__init__(place, name, device)
        irssi = need("irssi")
        self.folder = folder("irssi")
        (self.folder / "logs").mkdir()
        (self.folder / "home").mkdir()
        self._read: dict[str, int] = {}
        use_sasl = place.sasl if sasl is None else sasl
        (self.folder / "home" / "config").write_text(
            CONFIG.format(
                port=place.irc_tls if tls else place.irc, tls="yes" if tls else "no", ca=place.ca, name=name, dir=self.folder,
                sasl=SASL.format(name=name, password=self.password) if use_sasl else "",
            )
        )  # fmt: skip
        self.terminal = Tmux(self.folder, [irssi, "--home", self.folder / "home"])
        # The queue of commands waits for the connection.
        self.waits("being signed in", lambda: re.search(r"(?i)(welcome|your host is)", self.terminal.screen()))
        # What belongs to no conversation (invitations) is not in the automatic logs.
        self.terminal.types(f"/log open {self.folder}/logs/server.log INVITES")
        self.waits("the log of invitations", lambda: (self.folder / "logs" / "server.log").exists())

    def transcript(self, last: int = 200) -> str:
        return super().transcript(last) + "\n--- the screen\n" + self.terminal.screen()

    def look(self) -> None:
        for path in sorted((self.folder / "logs").glob("*.log")):
            data = path.read_bytes()[self._read.get(path.name, 0) :]
            whole = data[: data.rfind(b"\n") + 1]
            self._read[path.name] = self._read.get(path.name, 0) + len(whole)
            for line in whole.decode("utf-8", "replace").splitlines():
                self.note(f"{path.stem}: {line}")
                for seen in understand(path.stem, re.sub(r"^\d\d:\d\d(:\d\d)? ", "", line), self.name):
                    self.saw(seen)

    def sends(self, line: str) -> None:
        self.note(f"> {line}")
        self.terminal.types(line)

    def says(self, where: str, text: str) -> Seen:
        for line in text.split("\n"):
            self.sends(f"/action {where} {line[4:]}" if line.startswith("/me ") else f"/msg {where} {line}")
        return Seen("message", self.name, where, text)

    def joins(self, room: str, key: str = "") -> None:
        self.sends(f"/join {room} {key}".strip())
        self.sees("join", who=self.name, where=room)

    def leaves(self, room: str, why: str = "") -> None:
        mark = self.now()
        self.sends(f"/part {room} {why}".strip())
        self.waits(f"having left {room}", lambda: f"[{self.name}" in self.terminal.screen() and self.now() >= mark)

    def sets_topic(self, room: str, text: str) -> None:
        self.sends(f"/topic {room} {text}")

    def kicks(self, room: str, who: str, why: str = "") -> None:
        self.sends(f"/kick {room} {who} {why}")

    def bans(self, room: str, who: str) -> None:
        self.sends(f"/mode {room} +b {who}!*@*")

    def voices(self, room: str, who: str) -> None:
        self.sends(f"/mode {room} +v {who}")

    def invites(self, room: str, who: str) -> None:
        self.sends(f"/invite {who} {room}")

    def goes_away(self, status: str) -> None:
        self.sends(f"/away {status}")

    def comes_back(self) -> None:
        self.sends("/away")

    def ends(self) -> None:
        self.terminal.types("/quit")
        self.terminal.ends()
        shutil.rmtree(self.folder, ignore_errors=True)


def understand(window: str, line: str, me: str) -> list[Seen]:
    """One line of a log as what it says."""
    if mode := re.match(r"^-!- mode/(#\S+) \[(\S[^\]]*)\] by (\S+)", line):
        return shown_modes(mode[1], mode[2], mode[3])
    for kind, pattern in SHOWN:
        if found := re.match(pattern, line):
            got = found.groupdict()
            where = got.get("where") or (window if window.startswith("#") else None)
            return [Seen(kind, got.get("who"), where, got.get("text") or "", more={"by": got.get("by")}, raw=line)]
    if said := re.match(r"^<[ @+%&~]?(\S+)> (.*)$", line):
        return [Seen("message", said[1], window, said[2])]
    if action := re.match(r"^ ?\* (\S+) (.*)$", line):
        return [Seen("message", action[1], window, f"/me {action[2]}")]
    if notice := re.match(r"^-([^\s!-]\S*?)(?:\([^)]*\)|:#\S+)?- (.*)$", line):
        return [Seen("notice", notice[1], window, notice[2])]
    return [Seen("line", None, window, line)]

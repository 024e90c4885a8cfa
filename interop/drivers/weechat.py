"""WeeChat without a screen: a fifo to write to, its log files to read."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from .irc_words import shown_modes
from .person import Person, Seen
from .programs import Program, folder, need

SETTINGS = """
logger.file.flush_delay 0
logger.file.mask $plugin.$name.weechatlog
logger.file.path {dir}/logs
logger.file.name_lower_case off
logger.file.time_format %H:%M:%S
weechat.network.gnutls_ca_user {ca}
weechat.look.buffer_notify_default all
irc.look.smart_filter off
irc.look.display_away off
irc.look.server_buffer independent
irc.server_default.anti_flood_prio_high 0
irc.server_default.anti_flood_prio_low 0
irc.server_default.autoreconnect_delay 1
irc.server_default.autoreconnect_growing 0
irc.server_default.away_check 0
irc.color.input_nick default
"""

HISTORY = re.compile(r"^(?P<time>\S+)\t(?P<prefix>[^\t]*)\t(?P<text>.*)$")


class Weechat(Person):
    """weechat-headless 3.8. What it logged is what it showed."""

    program = "WeeChat"

    def __init__(self, place, name: str, device: str = "one", *, tls: bool = True, sasl: bool | None = None):
        super().__init__(place, name, device)
        self.folder, self.tls = folder("weechat"), tls
        self.sasl = place.sasl if sasl is None else sasl
        (self.folder / "logs").mkdir()
        self._read: dict[str, int] = {}
        self.starts()

    def starts(self) -> None:
        weechat = need("weechat-headless")
        port = self.place.irc_tls if self.tls else self.place.irc
        commands = [f"/set {line}" for line in SETTINGS.format(dir=self.folder, ca=self.place.ca).strip().splitlines()]
        commands += [
            f"/server add s localhost/{port} -{'' if self.tls else 'no'}ssl",
            f"/set irc.server.s.nicks {self.name}",
            f"/set irc.server.s.username {self.name}",
            "/set irc.server.s.ipv6 off",
            f"/set irc.server.s.ssl_verify {'on' if self.tls else 'off'}",
        ]
        if self.sasl:
            commands += [
                "/set irc.server.s.sasl_mechanism plain",
                f"/set irc.server.s.sasl_username {self.name}",
                f"/set irc.server.s.sasl_password {self.password}",
                "/set irc.server.s.sasl_fail disconnect",
            ]
        self.fifo = self.folder / "fifo"
        commands += ["/fifo enable", f"/set fifo.file.path {self.fifo}", "/connect s"]
        argv = [weechat, "--dir", self.folder / "home", "--stdout"]
        for command in commands:
            argv += ["--run-command", command]
        self.child = Program(argv, self.folder, "weechat")
        self.waits("WeeChat's fifo", lambda: self.fifo.exists() or self._dead())
        self.waits("being signed in", lambda: self._server_says(r"(?i)\bwelcome\b") or self._dead())

    def _dead(self) -> None:
        assert self.child.alive, f"WeeChat ended: {self.child.output()}"

    def _server_says(self, pattern: str):
        return [s for s in self.seen if s.where is None and re.search(pattern, s.text)]

    def transcript(self, last: int = 200) -> str:
        return super().transcript(last) + "\n--- WeeChat printed\n" + self.child.output(1500)

    # Reading.
    def look(self) -> None:
        for path in sorted((self.folder / "logs").glob("irc.*.weechatlog")):
            data = path.read_bytes()[self._read.get(path.name, 0) :]
            whole = data[: data.rfind(b"\n") + 1]
            self._read[path.name] = self._read.get(path.name, 0) + len(whole)
            for line in whole.decode("utf-8", "replace").splitlines():
                self.note(f"{path.name[4:-11]}: {line}")
                self._line(path, line)

    def _line(self, path: Path, line: str) -> None:
        found = HISTORY.match(line)
        if not found:
            if self.seen and self.seen[-1].kind == "message":
                self.seen[-1].text += "\n" + line  # a message of several lines
            return
        buffer = path.name[4 : -len(".weechatlog")]
        where = None if buffer == "server.s" else buffer.removeprefix("s.")
        for seen in understand(where, found["prefix"].strip(), found["text"], self.name):
            self.saw(seen)

    # Writing.
    def sends(self, line: str, buffer: str | None = None) -> None:
        """A command or text on a buffer (`#town`, `alice`; None: the server's)."""
        name = "irc.server.s" if buffer is None else f"irc.s.{buffer}"
        self.note(f"> {name} *{line}")
        with self.fifo.open("wb", buffering=0) as fifo:
            fifo.write(f"{name} *{line}\n".encode())

    def says(self, where: str, text: str) -> Seen:
        if "\n" in text:
            for line in text.split("\n"):
                self.says(where, line)
            return Seen("message", self.name, where, text)
        if text.startswith("/me "):
            if not where.startswith("#"):
                self.sends(f"/query {where}")
            self.sends(text, where)
        elif where.startswith("#"):
            self.sends(text, where)
        else:
            self.sends(f"/msg {where} {text}")
        return Seen("message", self.name, where, text)

    def joins(self, room: str, key: str = "") -> None:
        self.sends(f"/join {room} {key}".strip())
        self.sees("join", who=self.name, where=room)

    def leaves(self, room: str, why: str = "") -> None:
        mark = self.now()
        self.sends(f"/part {room} {why}".strip(), room)
        self.sees("part", mark, who=self.name, where=room)

    def sets_topic(self, room: str, text: str) -> None:
        self.sends(f"/topic {room} {text}", room)

    def kicks(self, room: str, who: str, why: str = "") -> None:
        self.sends(f"/kick {room} {who} {why}", room)

    def bans(self, room: str, who: str) -> None:
        self.sends(f"/mode {room} +b {who}!*@*", room)

    def unbans(self, room: str, who: str) -> None:
        self.sends(f"/mode {room} -b {who}!*@*", room)

    def voices(self, room: str, who: str) -> None:
        self.sends(f"/mode {room} +v {who}", room)

    def unvoices(self, room: str, who: str) -> None:
        self.sends(f"/mode {room} -v {who}", room)

    def ops(self, room: str, who: str) -> None:
        self.sends(f"/mode {room} +o {who}", room)

    def invites(self, room: str, who: str) -> None:
        self.sends(f"/invite {who} {room}", room)

    def goes_away(self, status: str) -> None:
        self.sends(f"/away {status}")
        self.waits("the server's word on being away", lambda: self._server_says(r"(?i)marked as being away"))

    def comes_back(self) -> None:
        self.sends("/away")

    def rooms(self) -> dict[str, str]:
        """LIST, as shown on the server buffer: `#town(2): topic`."""
        mark = self.now()
        self.sends("/list -server s")
        self.waits("the end of LIST", lambda: [s for s in self.seen[mark:] if s.where is None and re.search(r"(?i)end of (channel|/?list)", s.text)])
        found = (re.match(r"(#\S+?)\(\d+\)(?:: (.*))?$", s.text) for s in self.seen[mark:] if s.where is None)
        return {m[1]: m[2] or "" for m in found if m}

    def loses_connection(self) -> None:
        """The program is killed; its logs stay."""
        self.child.kill9()

    def comes_again(self) -> None:
        self.fifo.unlink(missing_ok=True)
        mark = self.now()
        self.starts()
        self.waits("being signed in again", lambda: any(s.where is None and "elcome" in s.text for s in self.seen[mark:]))

    def ends(self) -> None:
        if self.child.alive and self.fifo.exists():
            fd = os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK)
            os.write(fd, b"core.weechat */quit\n")
            os.close(fd)
        self.child.stop(5)
        shutil.rmtree(self.folder, ignore_errors=True)


PERSON = r"(?P<who>[^\s(\[]+)(?: \([^)]*\)| \[[^\]]*\])*"
"""With extended-join: `bob [account] (real name) (user@host)`."""
SHOWN = [
    ("join", rf"^{PERSON} has joined (?P<where>#\S+)"),
    ("part", rf"^{PERSON} has left (?P<where>#[^\s(]+)(?: \((?P<text>.*)\))?"),
    ("gone", rf"^{PERSON} has quit(?: \((?P<text>.*)\))?"),
    ("kick", r"^(?P<by>\S+) has kicked (?P<who>\S+)(?: \((?P<text>.*)\))?"),
    ("nick", r"^(?P<who>\S+) is now known as (?P<text>\S+)"),
    ("topic", r"^(?P<who>\S+) has (?:changed topic for|set topic for) #\S+ (?:from \".*\" )?to \"(?P<text>.*)\"$"),
    ("topic", r"^Topic for #\S+ is \"(?P<text>.*)\"$"),
    ("invite", r"^You have been invited to (?P<where>#\S+) by (?P<who>\S+)"),
    ("away", r"^\[(?P<who>[^\]]+)\] is away: (?P<text>.*)$"),
    ("back", r"^\[(?P<who>[^\]]+)\] is back"),
    ("retraction", r"^(?P<who>\S+) (?:deleted|retracted|removed) .*$"),
]


def understand(where: str | None, prefix: str, text: str, me: str) -> list[Seen]:
    """One logged line as what it says. Server lines without meaning here have `where` None and kind line."""
    if mode := re.match(r"^Mode (#\S+) \[(\S[^\]]*)\] by (\S+)", text):
        return shown_modes(mode[1], mode[2], mode[3])
    if prefix in ("--", "-->", "<--", "", "=!="):
        for kind, pattern in SHOWN:
            if found := re.match(pattern, text):
                got = found.groupdict()
                return [Seen(kind, got.get("who"), got.get("where") or where, got.get("text") or "", more={"by": got.get("by")}, raw=text)]
        if where is not None or prefix in ("--", "=!="):
            if notice := re.match(r"^Notice(?:\((\S+)\))?(?: -> \S+)?: (.*)$", text):
                return [Seen("notice", notice[1], where, notice[2])]
        return [Seen("line", None, where, text)]
    if prefix == "*":
        who, _, action = text.partition(" ")
        return [Seen("message", who.lstrip("@+%&~"), where, f"/me {action}")]
    if where is None:
        return [Seen("line", prefix, None, text)]
    return [Seen("message", prefix.lstrip("@+%&~ "), where, text)]

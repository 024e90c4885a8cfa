"""Two people, two real clients, one conversation: plays it and draws docs/town.svg.

    python3 docs/picture.py target/debug/sammen docs/town.svg

Starts `sammen try` on a temporary folder, Profanity (XMPP) as alice and WeeChat (IRC) as bob, each in a terminal of its
own (tmux), lets them talk in `town`, and draws what both screens show. Standard library only.
"""

from __future__ import annotations

import html
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

WIDTH, HEIGHT = 84, 15
CELL_W, CELL_H = 8.4, 18
INK, PAPER = "#d8dee9", "#1d2129"
COLOURS = ["#3b4252", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#c8ccd4",
           "#6b7280", "#f28b94", "#b5e890", "#f5d992", "#82c4ff", "#dfa0f0", "#7fd6e0", "#ffffff"]  # fmt: skip
BEHIND = ["#3b4252", "#7a3038", "#3f5f35", "#6e5a26", "#2f4a73", "#5d3a70", "#2a5f66", "#c8ccd4"] * 2
LINES = dict(zip("qxlkmjntuvw", "─│┌┐└┘┼├┤┴┬"))

PROFANITY = """
[{jid}]
enabled=true
jid={jid}
server=127.0.0.1
port={port}
password={password}
resource=laptop
muc.service=rooms.{domain}
muc.nick=alice
presence.last=online
presence.login=online
tls.policy=trust
"""
PROFRC = """
[connection]
account={jid}
reconnect=0
carbons=true
[chatstates]
enabled=true
outtype=true
[notifications]
message=false
room=off
[ui]
beep=false
flash=false
splash=false
time.muc=%H:%M
presence=false
occupants=true
history=true
enc.warn=false
"""
TALK = [
    ("alice", "Soup is on at seven. Who brings bread?"),
    ("bob", "I do! Still warm from the baker's."),
    ("alice", "*Wonderful.* Carol can come too, on her phone."),
    ("bob", "/me sets the table for three"),
    ("alice", "/me lights the candles"),
    ("bob", "See you at seven, alice."),
]


class Terminal:
    """A program in a terminal of WIDTH x HEIGHT."""

    def __init__(self, folder: Path, argv: list, **env: str):
        self.socket = folder / "tmux.sock"
        words = [f"{k}={v}" for k, v in {"LC_ALL": "C.UTF-8", "TERM": "screen-256color", **env}.items()]
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT), "-s", "s",
                  "env", *words, *map(str, argv))  # fmt: skip
        self.tmux("set-option", "-g", "status", "off")
        self.tmux("resize-window", "-t", "s", "-x", str(WIDTH), "-y", str(HEIGHT))

    def tmux(self, *argv: str) -> str:
        environment = {k: v for k, v in os.environ.items() if k not in ("TMUX", "TMUX_PANE")}
        done = subprocess.run(["tmux", "-S", str(self.socket), *argv], capture_output=True, text=True, env=environment)
        return done.stdout

    def types(self, text: str) -> None:
        self.tmux("send-keys", "-t", "s", "-l", "--", text)
        self.tmux("send-keys", "-t", "s", "Enter")

    def screen(self, *how: str) -> str:
        return self.tmux("capture-pane", "-p", "-t", "s", *how)

    def shows(self, text: str) -> None:
        until = time.monotonic() + 40
        while text not in " ".join(self.screen().split()):
            if time.monotonic() > until:
                raise SystemExit(f"{text!r} never came:\n{self.screen()}")
            time.sleep(0.1)

    def ends(self) -> None:
        pid = self.tmux("display-message", "-p", "#{pid}").strip()
        self.types("/quit")
        self.tmux("kill-server")
        while pid and Path(f"/proc/{pid}").exists():
            time.sleep(0.05)


def play(binary: str) -> tuple[str, str]:
    """What alice's and bob's screens show at the end, with colours."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        node = subprocess.Popen([binary, "try", "--json", "--data", folder / "data"], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL)  # fmt: skip
        open_terminals: list[Terminal] = []
        try:
            card = json.loads(node.stdout.readline())
            password = {a["name"]: a["password"] for a in card["accounts"]}
            port = card["listeners"]["xmpp"]["c2s"].rpartition(":")[2]
            known = dict(jid=f"alice@{card['domain']}", port=port, password=password["alice"], domain=card["domain"])
            home = folder / "alice"
            for part, text, file in (("data", PROFANITY, "accounts"), ("config", PROFRC, "profrc")):
                (home / part / "profanity").mkdir(parents=True)
                (home / part / "profanity" / file).write_text(text.format(**known))
            alice = Terminal(home, ["profanity"], HOME=str(home), XDG_CONFIG_HOME=str(home / "config"),
                             XDG_DATA_HOME=str(home / "data"), SSL_CERT_FILE=card["ca"])  # fmt: skip
            open_terminals.append(alice)
            host, _, tls = card["listeners"]["irc"]["tls"].rpartition(":")
            commands = [
                "/set weechat.bar.buflist.hidden on", "/set weechat.bar.title.hidden on", "/set irc.look.smart_filter off",
                "/set weechat.look.buffer_time_format %H:%M", "/set weechat.look.highlight -",
                f"/set weechat.network.gnutls_ca_user {card['ca']}", "/set weechat.startup.display_logo off",
                f"/server add home localhost/{tls} -ssl", "/set irc.server.home.nicks bob", "/set irc.server.home.ipv6 off",
                "/set irc.server.home.sasl_username bob", f"/set irc.server.home.sasl_password {password['bob']}",
                "/connect home",
            ]  # fmt: skip
            home = folder / "bob"
            home.mkdir()
            argv = ["weechat", "--dir", home / "weechat"]
            for command in commands:
                argv += ["--run-command", command]
            bob = Terminal(home, argv, HOME=str(home))
            open_terminals.append(bob)
            alice.shows("logged in successfully")
            alice.types(f"/join town@rooms.{card['domain']}")
            alice.shows("You have joined the room")
            bob.types("/buffer home")
            bob.types("/join #town")
            bob.shows("#town(")
            bob.types("/buffer home.#town")
            bob.shows("{2}")
            people = {"alice": alice, "bob": bob}
            for who, text in TALK:
                people[who].types(text)
                for other in people.values():
                    other.shows(text.rpartition("*")[2].removeprefix("/me ").strip()[:30])
            return alice.screen("-e", "-N"), bob.screen("-e", "-N")
        finally:
            for terminal in open_terminals:
                terminal.ends()
            node.send_signal(signal.SIGTERM)
            node.wait(20)


def colour(number: int, first: list[str]) -> str:
    """One of 256 colours."""
    if number < 16:
        return first[number]
    if number >= 232:
        return "#" + f"{8 + (number - 232) * 10:02x}" * 3
    number -= 16
    parts = [0 if v == 0 else 55 + 40 * v for v in (number // 36, number // 6 % 6, number % 6)]
    return "#" + "".join(f"{p:02x}" for p in parts)


class Pen:
    """What SGR sequences have set."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        self.ink, self.paper, self.bold, self.italic, self.under, self.turned = None, None, False, False, False, False

    def sgr(self, text: str) -> None:
        codes = [int(c or 0) for c in text.replace(":", ";").split(";")]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.reset()
            elif code in (1, 22):
                self.bold = code == 1
            elif code in (3, 23):
                self.italic = code == 3
            elif code in (4, 24):
                self.under = code == 4
            elif code in (7, 27):
                self.turned = code == 7
            elif code in (38, 48) and codes:
                kind = codes.pop(0)
                if kind == 5:
                    value = colour(codes.pop(0), BEHIND if code == 48 else COLOURS)
                else:
                    value = "#" + "".join(f"{codes.pop(0):02x}" for _ in range(3))
                self.ink, self.paper = (value, self.paper) if code == 38 else (self.ink, value)
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.ink = COLOURS[code - 30 if code < 90 else code - 82]
            elif 40 <= code <= 47 or 100 <= code <= 107:
                self.paper = BEHIND[code - 40 if code < 100 else code - 92]
            elif code == 39:
                self.ink = None
            elif code == 49:
                self.paper = None

    def look(self) -> tuple:
        ink, paper = self.ink or INK, self.paper
        if self.turned:
            ink, paper = paper or PAPER, self.ink or INK
        return ink, paper, self.bold, self.italic, self.under


def cells(line: str, pen: Pen):
    """(column, character, look) of a line."""
    column, drawing = 0, False
    for found in re.finditer(r"(\x1b\[([0-9;:]*)m|\x1b[()][0B]|[\x0e\x0f])|([\s\S])", line):
        escape, code, char = found.groups()
        if char is None:
            if code is not None:
                pen.sgr(code)
            else:
                drawing = escape in ("\x0e", "\x1b(0")
            continue
        wide = 2 if unicodedata.east_asian_width(char) in "WF" else 1
        yield column, LINES.get(char, char) if drawing else char, pen.look()
        column += wide


def draw(screen: str, left: float, top: float, title: str) -> list[str]:
    """A window with a screen in it."""
    width, height = WIDTH * CELL_W + 24, HEIGHT * CELL_H + 44
    out = [
        f'<rect x="{left}" y="{top}" width="{width:g}" height="{height:g}" rx="9" fill="{PAPER}" stroke="#0005"/>',
        *(f'<circle cx="{left + 18 + i * 17}" cy="{top + 16}" r="5" fill="{c}"/>' for i, c in enumerate(("#e06c75", "#e5c07b", "#98c379"))),
        f'<text x="{left + width / 2:g}" y="{top + 21}" text-anchor="middle" class="title">{html.escape(title)}</text>',
    ]  # fmt: skip
    pen = Pen()
    for row, line in enumerate(screen.splitlines()[:HEIGHT]):
        runs: list[list] = []
        for column, char, look in cells(line, pen):
            if column >= WIDTH:
                break
            if runs and runs[-1][2] == look and runs[-1][0] + len(runs[-1][1]) == column:
                runs[-1][1] += char
            else:
                runs.append([column, char, look])
        y = top + 34 + row * CELL_H
        spans = []
        for column, text, (ink, paper, bold, italic, under) in runs:
            x = left + 12 + column * CELL_W
            if paper:
                out.append(f'<rect x="{x:g}" y="{y:g}" width="{len(text) * CELL_W:g}" height="{CELL_H}" fill="{paper}"/>')
            if text.strip() or under:
                style = f' fill="{ink}"' if ink != INK else ""
                style += ' font-weight="bold"' if bold else ""
                style += ' font-style="italic"' if italic else ""
                style += ' text-decoration="underline"' if under else ""
                long = f' textLength="{len(text) * CELL_W:g}"' if len(text) > 1 else ""
                spans.append(f'<tspan x="{x:g}"{long}{style}>{html.escape(text)}</tspan>')
        if spans:
            out.append(f'<text y="{y + 13.5:g}" xml:space="preserve">{"".join(spans)}</text>')
    return out


def picture(alice: str, bob: str) -> str:
    """Both windows, one above the other."""
    width, height = WIDTH * CELL_W + 24 + 32, 2 * (HEIGHT * CELL_H + 44) + 48
    parts = draw(alice, 16, 16, "alice in Profanity: XMPP, town@rooms.localhost")
    parts += draw(bob, 16, 32 + HEIGHT * CELL_H + 44, "bob in WeeChat: IRC, #town")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        'aria-label="alice in Profanity (XMPP) and bob in WeeChat (IRC) talk in the same room">\n'
        "<style>text{font:14px 'DejaVu Sans Mono','Liberation Mono',Menlo,Consolas,monospace;fill:" + INK + "}"
        ".title{font:13px sans-serif;fill:#9aa3b2}</style>"
    )
    return "\n".join([head, *parts, "</svg>", ""])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    Path(sys.argv[2]).write_text(picture(*play(sys.argv[1])))

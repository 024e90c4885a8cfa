"""irc-framework, the protocol engine of KiwiIRC and The Lounge, in a Node.js child that speaks JSON lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from .irc_verbs import IrcVerbs
from .person import PATIENCE, Seen
from .programs import Program, folder, need

SCRIPT = Path(__file__).resolve().parents[1] / "node" / "irc.mjs"


class IrcFramework(IrcVerbs):
    """What is `seen` of messages, actions and tag messages is what the library understood, not what we parsed."""

    program = "irc-framework"
    path = ""
    """Of the WebSocket; none for a plain connection."""
    JUDGED = ("message", "notice", "typing", "reaction", "unreaction")

    def __init__(self, place, name: str, device: str = "one", *, tls: bool = True):
        super().__init__(place, name, device)
        node = need("node", "nodejs")
        if not (SCRIPT.parent / "node_modules" / "irc-framework").exists():
            why = "irc-framework is missing: run `npm ci` in interop/node"
            pytest.fail(why, pytrace=False) if os.environ.get("CI") else pytest.skip(why)
        self.folder = folder("ircfw")
        options = {
            "host": "localhost", "port": self.port(place, tls), "path": self.path, "tls": tls, "nick": name,
            "password": self.password if place.sasl else None,
            "caps": ["labeled-response", "standard-replies", "draft/message-redaction", "draft/read-marker", "draft/chathistory",
                     "draft/event-playback", "draft/multiline", "setname"],
        }  # fmt: skip
        self.child = Program(
            [node, "--dns-result-order=ipv4first", "--experimental-websocket", "--no-warnings", SCRIPT, json.dumps(options)], self.folder, "irc-framework",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"NODE_EXTRA_CA_CERTS": str(place.ca)},
        )  # fmt: skip
        self.events: list[dict] = []
        threading.Thread(target=self._reads, daemon=True).start()
        self.waits(
            "being signed in",
            lambda: next((e for e in self.events if e["event"] in ("registered", "sasl failed", "socket error")), None) or self._dead(),
        )
        assert any(e["event"] == "registered" for e in self.events), self.transcript()
        for line in self.lines:
            if line.command == "CAP" and len(line.params) > 2 and line.params[1] == "ACK":
                self.caps.update(dict.fromkeys(line.params[-1].split(), ""))

    def port(self, place, tls: bool) -> int:
        return place.irc_tls if tls else place.irc

    def _dead(self) -> None:
        assert self.child.alive, f"irc-framework ended: {self.child.output()}"

    def _reads(self) -> None:
        for text in self.child.process.stdout:
            one = json.loads(text)
            kind, data = one["event"], one.get("data") or {}
            if kind == "in":
                self.comes_in(one["line"])
                continue
            if kind == "out":
                self.note(f"> {one['line']}")
                continue
            self.events.append(one)
            self.note(f"* {kind} {json.dumps(data, ensure_ascii=False)[:400]}")
            if kind in ("privmsg", "notice", "action", "tagmsg"):
                self._understood(kind, data)

    def saw(self, seen: Seen) -> None:
        # Lines are parsed for their effects (joins, modes, …); messages count only when the library says so.
        if seen.kind in self.JUDGED and not seen.more.get("by_library") and not seen.more.get("batch"):
            return
        super().saw(seen)

    def _understood(self, kind: str, data: dict) -> None:
        tags, nick, target = data.get("tags") or {}, data.get("nick") or "", data.get("target") or ""
        batch = (data.get("batch") or {}).get("type") if isinstance(data.get("batch"), dict) else None
        if batch == "chathistory":
            return
        where = target if target.startswith("#") or nick == self.name else nick
        ident = tags.get("msgid")
        base = dict(who=nick, where=where, id=ident, archive_id=ident, to=tags.get("+reply") or tags.get("+draft/reply"), raw=data,
                    more={"by_library": True, "time": tags.get("time"), "account": tags.get("account")})  # fmt: skip
        if kind == "tagmsg":
            states = {"active": "typing", "paused": "paused", "done": "stopped"}
            if "+typing" in tags:
                self.saw(Seen("typing", text=states.get(tags["+typing"], tags["+typing"]), **base))
            if "+draft/react" in tags:
                self.saw(Seen("reaction", text=tags["+draft/react"], **base))
            if "+draft/unreact" in tags:
                self.saw(Seen("unreaction", text=tags["+draft/unreact"], **base))
            return
        text = data.get("message") or ""
        self.saw(Seen("notice" if kind == "notice" else "message", text=f"/me {text}" if kind == "action" else text, **base))

    def does(self, verb: str, **what) -> None:
        self.child.process.stdin.write((json.dumps({"verb": verb, **what}) + "\n").encode())
        self.child.process.stdin.flush()

    def sends(self, line: str) -> None:
        self.does("raw", line=line)

    def says(self, where: str, text: str, tags=None, command: str = "PRIVMSG") -> Seen:
        if "\n" in text:
            return super().says(where, text, tags, command)
        mark = self.now()
        if text.startswith("/me "):
            self.does("action", target=where, text=text[4:])
        elif command == "NOTICE":
            self.does("notice", target=where, text=text)
        else:
            self.does("say", target=where, text=text, tags=tags)
        if "echo-message" not in self.caps:
            return Seen("message", self.name, where, text)
        return self.sees("notice" if command == "NOTICE" else "message", mark, PATIENCE, who=self.name, where=where, text=text)

    def ends(self) -> None:
        if self.child.alive:
            self.does("quit")
        self.child.stop(3)
        shutil.rmtree(self.folder, ignore_errors=True)


class IrcFrameworkWeb(IrcFramework):
    """The same over WebSocket, as KiwiIRC comes in."""

    program = "irc-framework on the web"
    path = "/irc"

    def port(self, place, tls: bool) -> int:
        return int(place.http.rstrip("/").rpartition(":")[2])

"""@xmpp/client, the scriptable client with SASL2, Bind 2 and FAST, in a Node.js child that speaks JSON lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from .person import Person, Seen, until
from .programs import Program, folder, need

SCRIPT = Path(__file__).resolve().parents[1] / "node" / "xmpp.mjs"


class XmppJs(Person):
    """`agent` is the app's user-agent id, `token` what an earlier one got (`token` of the driver)."""

    program = "xmpp.js"

    def __init__(self, place, name: str, device: str = "js", *, agent: str | None = None, token=None, password=None,
                 web: bool = False, reconnects: bool = False, fails: bool = False):  # fmt: skip
        super().__init__(place, name, device)
        node = need("node", "nodejs")
        if not (SCRIPT.parent / "node_modules" / "@xmpp" / "client").exists():
            why = "@xmpp/client is missing: run `npm ci` in interop/node"
            pytest.fail(why, pytrace=False) if os.environ.get("CI") else pytest.skip(why)
        self.folder = folder("xmppjs")
        self.agent, self.token = agent or str(uuid.uuid4()), token
        service = place.http.replace("http", "ws", 1).rstrip("/") + "/xmpp-websocket" if web else f"xmpp://localhost:{place.xmpp}"
        options = {
            "service": service, "domain": place.domain, "username": name, "device": device, "agent": self.agent, "token": token,
            "password": self.password if password is None else password, "reconnects": reconnects,
        }  # fmt: skip
        self.events: list[dict] = []
        self.elements: list[ET.Element] = []
        self.written: list[str] = []
        self.child = Program(
            [node, "--dns-result-order=ipv4first", SCRIPT, json.dumps(options)], self.folder, "xmppjs",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"NODE_EXTRA_CA_CERTS": str(place.ca)},
        )  # fmt: skip
        threading.Thread(target=self._reads, daemon=True).start()
        if not fails:
            self.waits("being signed in", lambda: self.happened("online") or self._alive())
            self.jid = self.happened("online")[-1]["data"]

    def _alive(self) -> None:
        assert self.child.alive and not self.happened("failed"), f"xmpp.js did not come in:\n{self.transcript()}"

    def happened(self, event: str) -> list[dict]:
        return [e for e in list(self.events) if e["event"] == event]

    def _reads(self) -> None:
        for text in self.child.process.stdout:
            one = json.loads(text)
            kind = one["event"]
            if kind in ("in", "out"):
                self.note(f"{'<' if kind == 'in' else '>'} {one['xml']}")
                if kind == "out":
                    self.written.append(one["xml"])
                else:
                    self._element(one["xml"])
                continue
            self.note(f"* {kind} {json.dumps(one.get('data'))}")
            if kind == "token":
                self.token = one["data"]
            elif kind == "token deleted":
                self.token = None
            self.events.append(one)

    def _element(self, text: str) -> None:
        el = ET.fromstring(text.replace("<stream:", "<").replace("</stream:", "</"))
        self.elements.append(el)
        name = el.tag.rpartition("}")[2]
        body = next((c for c in el if c.tag.endswith("}body") or c.tag == "body"), None)
        if name == "message" and body is not None:
            where, who = self.place.where(el.get("from", ""), private=el.get("type") != "groupchat")
            self.saw(Seen("message", who, where, body.text or "", id=el.get("id")))

    def answers(self, *path: str) -> list[ET.Element]:
        """What the node sent that has these local names below each other."""
        local = lambda e: e.tag.rpartition("}")[2]  # noqa: E731
        found = [e for e in list(self.elements) if local(e) == path[0]]
        for name in path[1:]:
            found = [c for e in found for c in e if local(c) == name]
        return found

    def does(self, verb: str, **what) -> None:
        self.child.process.stdin.write((json.dumps({"verb": verb, **what}) + "\n").encode())
        self.child.process.stdin.flush()

    def sends(self, *stanza) -> None:
        """A stanza as nested lists: name, attributes, children."""
        self.does("send", stanza=stanza)

    def says(self, where: str, text: str) -> None:
        kind = "groupchat" if where.startswith("#") and "/" not in where else "chat"
        self.sends("message", {"to": self.place.jid(where), "type": kind, "id": str(uuid.uuid4())}, ["body", None, text])

    def comes_online(self) -> None:
        self.sends("presence", {})

    def asks(self, kind: str, child: list, to: str | None = None) -> ET.Element:
        """An IQ; returns the answer."""
        ident = str(uuid.uuid4())
        self.sends("iq", {"type": kind, "id": ident, **({"to": to} if to else {})}, child)
        return self.waits(f"the answer to {child}", lambda: [e for e in self.answers("iq") if e.get("id") == ident])[0]

    def ends(self) -> None:
        if self.child.alive:
            self.does("stop")
            until("the end of the stream", lambda: self.happened("offline") or not self.child.alive or not self.happened("online"), 5)
        self.child.stop(3)
        shutil.rmtree(self.folder, ignore_errors=True)

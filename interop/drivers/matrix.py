"""Matrix clients as people: matrix-nio and matrix-js-sdk, each in a child of its own that speaks JSON lines."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest

from .matrix_words import Understanding
from .person import PATIENCE, Person, Seen, until
from .programs import Program, folder, need

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parent / "node" / "matrix.mjs"


class Refused(AssertionError):
    """The server said no; the text begins with the errcode."""


class MatrixPerson(Person):
    """Verbs and words that both clients have. Rooms are `#name` by their alias (or name), direct ones by the other person."""

    def __init__(self, place, name: str, device: str = "matrix", *, password=None, fails: bool = False, device_id=None, **options):
        super().__init__(place, name, device)
        self.folder = folder("matrix")
        self.user = f"@{name}:{place.domain}"
        self.understanding = Understanding(self.user, place.domain)
        self.rooms: dict[str, dict] = {}
        self.direct: dict[str, str] = {}
        self.data: dict[tuple, dict] = {}
        self.events: list[dict] = []
        self._answers: dict[int, dict] = {}
        self._next = 0
        self._lock = threading.Lock()
        given = {"url": place.http.rstrip("/"), "user": name, "password": self.password if password is None else password,
                 "device": device, "device_id": device_id, "ca": str(place.ca), "store": str(self.folder), "crypto": True, **options}  # fmt: skip
        self.child = Program(
            [*self.argv(), json.dumps(given)], self.folder, self.program, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={"NODE_EXTRA_CA_CERTS": str(place.ca), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        threading.Thread(target=self._reads, daemon=True).start()
        if fails:
            self.waits("being refused", lambda: self.happened("failed"))
            return
        self.waits("being signed in", lambda: self.happened("ready") or self._alive())
        self.device_id, self.token = (self.happened("in")[0][key] for key in ("device", "token"))

    def argv(self) -> list:
        raise NotImplementedError

    def _alive(self) -> None:
        assert self.child.alive and not self.happened("failed"), f"{self} did not come in:\n{self.transcript()}"

    def happened(self, event: str) -> list[dict]:
        return [e for e in list(self.events) if e["event"] == event]

    def transcript(self, last: int = 200) -> str:
        return f"{super().transcript(last)}\n--- {self.program} wrote\n{self.child.output(3000)}"

    # Reading.
    def _reads(self) -> None:
        for text in self.child.process.stdout:
            one = json.loads(text)
            try:
                self._happens(one)
            except Exception as why:  # the play shall say so, not hang
                self.note(f"!! {why!r} at {text[:500]!r}")

    def _happens(self, one: dict) -> None:
        kind, data, room = one["event"], one.get("data"), one.get("room")
        if kind == "answer":
            self._answers[one["id"]] = one
            self.note(f"< {one['id']} {json.dumps(one, ensure_ascii=False)[:300]}")
            return
        self.note(f"* {json.dumps(one, ensure_ascii=False)[:900]}")
        if kind == "state":
            self._state(room, data)
        elif kind == "timeline":
            if "state_key" in data:
                self._state(room, data)
            for seen in self.understanding.timeline(data, self.where(room), one["live"], one["encrypted"]):
                seen.more["room"] = room
                self.saw(seen)
        elif kind == "ephemeral":
            for seen in self.understanding.ephemeral(data, self.where(room)):
                self.saw(seen)
        elif kind == "presence":
            self.saw(self.understanding.presence(data))
        elif kind == "account_data":
            self.data[(room, data["type"])] = data.get("content") or {}
            if data["type"] == "m.direct":
                self.direct |= {r: u for u, rooms in data["content"].items() for r in rooms}
        elif kind == "membership":
            self.rooms.setdefault(room, {"state": {}})["mine"] = one["membership"]
            if one["membership"] == "invite":
                mine = self.rooms[room]["state"].get(("m.room.member", self.user), {})
                if mine.get("content", {}).get("is_direct"):
                    self.direct.setdefault(room, mine["sender"])
                self.saw(Seen("invited", self._inviter(room), self.where(room), more={"room": room}))
        self.events.append(one)
        with self._news:
            self._news.notify_all()

    def _state(self, room: str, event: dict) -> None:
        self.rooms.setdefault(room, {"state": {}})["state"][(event["type"], event.get("state_key", ""))] = event

    def _inviter(self, room: str) -> str | None:
        event = self.rooms[room]["state"].get(("m.room.member", self.user))
        return self.understanding.who(event["sender"]) if event else None

    def state(self, where: str, type: str, key: str = "") -> dict:
        """The content of a room's state, as the client has it."""
        event = self.rooms.get(self.room(where), {"state": {}})["state"].get((type, key))
        return (event or {}).get("content") or {}

    def where(self, room: str) -> str:
        """A room's id as people name it."""
        if room in self.direct:
            return self.understanding.who(self.direct[room])
        state = self.rooms.get(room, {"state": {}})["state"]
        content = lambda type, key="": (state.get((type, key)) or {}).get("content") or {}  # noqa: E731
        alias = content("m.room.canonical_alias").get("alias")
        if alias:
            return alias.partition(":")[0]
        if name := content("m.room.name").get("name"):
            return f"#{name}"
        return room

    def room(self, where: str) -> str:
        """The id of a room that people name so; a direct one that this client is in, or has to be told of."""
        if where.startswith("!"):
            return where
        known = [r for r, info in self.rooms.items() if info.get("mine") == "join" and self.where(r) == where]
        return known[-1] if known else ""

    # Asking.
    def does(self, verb: str, timeout: float = PATIENCE, **what):
        """A verb of the child; its answer."""
        with self._lock:
            self._next += 1
            ident = self._next
            self.note(f"> {ident} {verb} {json.dumps(what, ensure_ascii=False)[:300]}")
            self.child.process.stdin.write((json.dumps({"id": ident, "verb": verb, **what}) + "\n").encode())
            self.child.process.stdin.flush()
        answer = self.waits(f"the answer to {verb}", lambda: self._answers.get(ident) or self._alive(), timeout)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["data"]

    def http(self, method: str, path: str, body=None, token: str | None = None, raw: bytes | None = None):
        """A request as this device: status and JSON."""
        url = self.place.http.rstrip("/") + path
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token if token is None else token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self.place.tls(), timeout=PATIENCE) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as why:
            status, text = why.code, why.read()
        self.note(f"> {method} {path} {json.dumps(body)[:200]}\n< {status} {text[:500]!r}")
        return status, json.loads(text) if text[:1] in (b"{", b"[") else text

    # Rooms.
    def joins(self, room: str) -> str:
        ident = self.does("join", room=f"{room}:{self.place.domain}" if room.startswith("#") else room)
        # Its name may come behind the membership.
        named = lambda: not room.startswith("#") or self.room(room)  # noqa: E731
        self.waits(f"being in {room}", lambda: self.rooms.get(ident, {}).get("mine") == "join" and named())
        return ident

    def accepts(self, where: str) -> str:
        """Enter a room that one was invited to. (On the node a direct conversation of two who may speak is simply there.)"""
        room = self.waits(f"an invitation to {where}", lambda: self.room(where) or [s.more["room"] for s in self.find("invited", where=where)])
        if isinstance(room, str):
            return room
        self.joins(room[0])
        if room[0] in self.direct:
            self._marks_direct(room[0], self.direct[room[0]])
        return room[0]

    def makes_room(self, room: str, public: bool = True, **more) -> str:
        """A room of one's own: `#garden` gets this alias."""
        ident = self.does("create", alias=room[1:], name=room[1:], public=public, **more)
        self.waits(f"being in {room}", lambda: self.rooms.get(ident, {}).get("mine") == "join" and self.where(ident) == room)
        return ident

    def makes_direct(self, who: str, encrypted: bool = False) -> str:
        """A direct conversation, marked as such as clients do (m.direct)."""
        user = f"@{who}:{self.place.domain}"
        ident = self.does("create", invite=[user], direct=True, encrypted=encrypted)
        self._marks_direct(ident, user)
        self.waits(f"being with {who}", lambda: self.rooms.get(ident, {}).get("mine") == "join" and self.where(ident) == who)
        return ident

    def _marks_direct(self, room: str, user: str) -> None:
        """What clients do on both sides: m.direct names the rooms of each person."""
        path = f"/_matrix/client/v3/user/{quote(self.user)}/account_data/m.direct"
        status, before = self.http("GET", path)
        before = before if status == 200 else {}
        if room not in before.setdefault(user, []):
            before[user].append(room)
            status, why = self.http("PUT", path, before)
            assert status == 200, why

    def leaves(self, where: str) -> None:
        room = self.room(where)
        self.does("leave", room=room)
        self.waits(f"having left {where}", lambda: self.rooms[room]["mine"] == "leave")

    def invites(self, room: str, who: str) -> None:
        self.does("invite", room=self.room(room), user=f"@{who}:{self.place.domain}")

    def kicks(self, room: str, who: str, why: str = "") -> None:
        self.does("kick", room=self.room(room), user=f"@{who}:{self.place.domain}", reason=why)

    def bans(self, room: str, who: str, why: str = "") -> None:
        self.does("ban", room=self.room(room), user=f"@{who}:{self.place.domain}", reason=why)

    def unbans(self, room: str, who: str) -> None:
        self.does("unban", room=self.room(room), user=f"@{who}:{self.place.domain}")

    def sets_topic(self, room: str, text: str) -> None:
        self.does("state", room=self.room(room), type="m.room.topic", content={"topic": text})

    # Speaking.
    def sends(self, where: str, content: dict, type: str = "m.room.message", txn: str | None = None) -> Seen:
        """An event; returns it as the own sync shows it."""
        room = self.room(where) or self.makes_direct(where)
        ident = self.does("send", room=room, type=type, content=content, **({"txn": txn} if txn else {}))
        return self.waits("the own event", lambda: [s for s in self.seen if s.id == ident and s.kind != "unreadable"] or None)[0]

    def says(self, where: str, text: str, **more) -> Seen:
        kind, body = ("m.emote", text[4:]) if text.startswith("/me ") else ("m.text", text)
        return self.sends(where, {"msgtype": kind, "body": body, **more})

    def notices(self, where: str, text: str) -> Seen:
        return self.sends(where, {"msgtype": "m.notice", "body": text})

    def replies(self, seen: Seen, text: str) -> Seen:
        return self.says(seen.where, text, **{"m.relates_to": {"m.in_reply_to": {"event_id": seen.id}}})

    def says_in_thread(self, root: Seen, text: str) -> Seen:
        relation = {"rel_type": "m.thread", "event_id": root.id, "is_falling_back": True, "m.in_reply_to": {"event_id": root.id}}
        return self.says(root.where, text, **{"m.relates_to": relation})

    def edits(self, seen: Seen, text: str) -> Seen:
        new = {"msgtype": "m.text", "body": text}
        return self.sends(seen.where, {"msgtype": "m.text", "body": f"* {text}", "m.new_content": new,
                                       "m.relates_to": {"rel_type": "m.replace", "event_id": seen.id}})  # fmt: skip

    def reacts(self, seen: Seen, emoji: str) -> Seen:
        relation = {"rel_type": "m.annotation", "event_id": seen.id, "key": emoji}
        return self.sends(seen.where, {"m.relates_to": relation}, type="m.reaction")

    def unreacts(self, reaction: Seen) -> None:
        self.does("redact", room=self.room(reaction.where), event=reaction.id)

    def retracts(self, seen: Seen, why: str | None = None) -> None:
        self.does("redact", room=self.room(seen.where), event=seen.id, reason=why)

    def types(self, where: str, state: str = "typing") -> None:
        self.does("typing", room=self.room(where), on=state == "typing")

    def marks_read(self, seen: Seen) -> None:
        self.does("read", room=self.room(seen.where), event=seen.id)

    def goes_away(self, status: str) -> None:
        self.does("presence", presence="unavailable", status=status)

    def comes_back(self) -> None:
        self.does("presence", presence="online")

    # Files.
    def uploads(self, name: str, content: bytes, media_type: str = "text/plain") -> str:
        return self.does("upload", name=name, type=media_type, data=base64.b64encode(content).decode())

    def fetches(self, mxc: str) -> bytes:
        return base64.b64decode(self.does("download", mxc=mxc))

    def shares(self, where: str, name: str, content: bytes, media_type: str = "text/plain") -> Seen:
        mxc = self.uploads(name, content, media_type)
        kind = "m.image" if media_type.startswith("image/") else "m.file"
        return self.sends(where, {"msgtype": kind, "body": name, "filename": name, "url": mxc,
                                  "info": {"mimetype": media_type, "size": len(content)}})  # fmt: skip

    def history(self, where: str, page: int = 10) -> list[Seen]:
        """Everything of a room, by pages backwards; oldest first."""
        read, found = Understanding(self.user, self.place.domain), []
        for event in self.does("messages", room=self.room(where), page=page):
            found += read.timeline(event, where, False, False)
        return found

    def is_refused(self, verb: str, errcode: str, **what) -> None:
        """The server says no, with this errcode."""
        try:
            self.does(verb, **what)
        except Refused as why:
            assert errcode in str(why), f"{verb}: {why}"
        else:
            raise AssertionError(f"{self} may {verb} {what}\n{self.transcript(20)}")

    def logs_out(self) -> None:
        self.does("logout")

    def ends(self) -> None:
        if not hasattr(self, "child"):
            return
        if self.child.alive:
            try:
                self.child.process.stdin.write(b'{"id": 0, "verb": "stop"}\n')
                self.child.process.stdin.flush()
                until("its end", lambda: not self.child.alive, 3)
            except (OSError, AssertionError) as why:
                self.note(f"== {why}"[:200])
        self.child.stop(1)
        shutil.rmtree(self.folder, ignore_errors=True)


class Nio(MatrixPerson):
    """matrix-nio with vodozemac: what bots and Weechat-Matrix are made of."""

    program = "nio"

    def argv(self) -> list:
        try:
            import nio  # noqa: F401
        except ImportError:
            why = "matrix-nio is missing: pip install -r interop/requirements.txt"
            pytest.fail(why, pytrace=False) if os.environ.get("CI") else pytest.skip(why)
        return [sys.executable, HERE / "matrix_nio.py"]


class MatrixJs(MatrixPerson):
    """matrix-js-sdk with Rust crypto: Element's engine."""

    program = "matrix-js"

    def argv(self) -> list:
        node = need("node", "nodejs")
        if not (SCRIPT.parent / "node_modules" / "matrix-js-sdk").exists():
            why = "matrix-js-sdk is missing: run `npm ci` in interop/node"
            pytest.fail(why, pytrace=False) if os.environ.get("CI") else pytest.skip(why)
        return [node, "--dns-result-order=ipv4first", SCRIPT]

    # Keys.
    def sets_up_keys(self) -> str:
        """Cross-signing, secret storage, key backup; returns the recovery key."""
        return self.does("bootstrap", timeout=90)

    def restores(self, recovery: str) -> dict:
        """A new device gets everything from secret storage and the backup."""
        return self.does("restore", timeout=90, recovery=recovery)

    def sees_emoji(self) -> list[str]:
        return self.waits("the emoji", lambda: self.happened("sas"))[-1]["emoji"]

    def confirms(self) -> None:
        self.does("confirm")

    def is_verified(self) -> None:
        self.waits("the verification", lambda: self.happened("verified"))


class MatrixSliding(MatrixJs):
    """The same by simplified sliding sync (MSC4186), as Element X syncs."""

    program = "matrix-sliding"

    def __init__(self, *words, **options):
        super().__init__(*words, sliding=True, **options)

    def _happens(self, one: dict) -> None:
        if one["event"] == "slid":
            # Which room is with whom, ahead of what is said there.
            for room, more in one.get("rooms", {}).items():
                if more.get("is_dm") and more.get("heroes"):
                    self.direct.setdefault(room, more["heroes"][0]["user_id"])
        super()._happens(one)

    def slid(self) -> list[dict]:
        """What the answers said, or the errcodes."""
        return self.happened("slid")

    def told(self, room: str) -> list[dict]:
        """What answers said of a room."""
        return [one["rooms"][room] for one in self.slid() if room in one.get("rooms", {})]

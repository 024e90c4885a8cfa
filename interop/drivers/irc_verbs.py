"""What a person does on IRC, for drivers that send lines and read lines (the plain socket, irc-framework)."""

from __future__ import annotations

import uuid

from .irc_words import Line, Understanding, parse, tag_value
from .person import PATIENCE, Person, Seen

WANTED = (
    "account-notify account-tag away-notify batch cap-notify chghost echo-message extended-join extended-monitor invite-notify "
    "labeled-response message-tags multi-prefix sasl server-time setname standard-replies userhost-in-names "
    "draft/chathistory draft/event-playback draft/multiline draft/read-marker draft/message-redaction draft/channel-rename "
    "draft/metadata-2 draft/pre-away draft/extended-isupport soju.im/search"
).split()


class IrcVerbs(Person):
    """Needs `sends(line)`; whoever reads lines calls `comes_in(text)`."""

    lines: list[Line]
    caps: dict[str, str]

    def __init__(self, place, name: str, device: str = "one"):
        super().__init__(place, name, device)
        self.lines, self.caps, self.isupport = [], {}, {}
        self.understanding = Understanding(name)

    def sends(self, line: str) -> None:
        raise NotImplementedError

    def comes_in(self, text: str) -> Line:
        line = parse(text)
        self.note(f"< {text}")
        if line.command == "005":
            for token in line.params[1:-1]:
                key, _, value = token.partition("=")
                self.isupport[key] = value
        self.lines.append(line)
        for seen in self.understanding.line(line):
            self.saw(seen)
        return line

    # Lines as they are.
    def gets(self, command: str, *params, since: int = 0, timeout: float = PATIENCE) -> Line:
        """Wait for a line with this command (or numeric) whose first params are these; None fits anything."""

        def there():
            for line in self.lines[since:]:
                if line.command == command and all(
                    want is None or (i < len(line.params) and line.params[i] == want) for i, want in enumerate(params)
                ):
                    return line
            return None

        return self.waits(f"the line {command} {params}", there, timeout)

    def asks(self, line: str, *ends: str) -> list[Line]:
        """Send a command and everything that came until one of these (or the PONG to a PING after it)."""
        mark, token = len(self.lines), uuid.uuid4().hex[:12]
        self.sends(line)
        self.sends(f"PING {token}")

        def done():
            for at, one in enumerate(self.lines[mark:], mark):
                if one.command in ends or (one.command == "PONG" and one.params[-1] == token):
                    return at + 1
            return None

        return self.lines[mark : self.waits(f"the answer to {line}", done)]

    def fences(self) -> None:
        """After this, the server has handled everything that was sent."""
        self.asks("PING fence")

    # Verbs.
    def joins(self, room: str, key: str = "") -> None:
        mark = len(self.lines)
        self.sends(f"JOIN {room} {key}".strip())
        self.waits(f"being in {room}", lambda: self._is_in(room) or self._not_refused(mark, room))

    def _is_in(self, room: str) -> bool:
        """By the last word on it: a server with memory puts an account into its rooms by itself, and answers no JOIN then."""
        inside = listed = False
        for line in self.lines:
            if line.command == "JOIN" and line.nick == self.name and line.params[0] == room:
                inside, listed = True, False
            elif line.command == "366" and line.params[1] == room:
                listed = True
            elif (line.command == "PART" and line.nick == self.name and line.params[0] == room) or (
                line.command == "KICK" and line.params[:2] == [room, self.name]
            ):
                inside = False
        return inside and listed

    def _not_refused(self, mark: int, room: str) -> None:
        for line in self.lines[mark:]:
            if line.command in ("403", "405", "471", "473", "474", "475", "477", "520") or line.command == "FAIL":
                raise AssertionError(f"{self} may not enter {room}: {line}")

    def leaves(self, room: str, why: str = "") -> None:
        self.sends(f"PART {room} :{why}")
        self.sees("part", where=room, who=self.name)

    def says(self, where: str, text: str, tags: dict[str, str] | None = None, command: str = "PRIVMSG") -> Seen:
        """Say it; with echo-message this returns the echo (with its msgid), else what was sent."""
        mark = self.now()
        if "\n" in text:
            self._says_lines(where, text, tags)
        else:
            shown = f"\x01ACTION {text[4:]}\x01" if text.startswith("/me ") else text
            self.sends(self._tags(tags) + f"{command} {where} :{shown}")
        if "echo-message" not in self.caps:
            return Seen("message", self.name, where, text)
        return self.sees("message" if command == "PRIVMSG" else "notice", mark, who=self.name, where=where, text=text)

    def _says_lines(self, where: str, text: str, tags: dict[str, str] | None) -> None:
        if "draft/multiline" not in self.caps:
            for line in text.split("\n"):
                self.sends(self._tags(tags) + f"PRIVMSG {where} :{line}")
            return
        ref = uuid.uuid4().hex[:8]
        self.sends(self._tags(tags) + f"BATCH +{ref} draft/multiline {where}")
        for line in text.split("\n"):
            self.sends(f"@batch={ref} PRIVMSG {where} :{line}")
        self.sends(f"BATCH -{ref}")

    def _tags(self, tags: dict[str, str] | None) -> str:
        if not tags or "message-tags" not in self.caps:
            return ""
        return "@" + ";".join(f"{k}={tag_value(v)}" if v else k for k, v in tags.items()) + " "

    def notices(self, where: str, text: str) -> Seen:
        return self.says(where, text, command="NOTICE")

    def replies(self, seen: Seen, text: str) -> Seen:
        return self.says(seen.where, text, {"+draft/reply": seen.archive_id})

    def reacts(self, seen: Seen, emoji: str) -> None:
        self.sends(self._tags({"+draft/reply": seen.archive_id, "+draft/react": emoji}) + f"TAGMSG {seen.where}")

    def unreacts(self, seen: Seen, emoji: str) -> None:
        self.sends(self._tags({"+draft/reply": seen.archive_id, "+draft/unreact": emoji}) + f"TAGMSG {seen.where}")

    def retracts(self, seen: Seen, why: str = "") -> None:
        self.sends(f"REDACT {seen.where} {seen.archive_id}" + (f" :{why}" if why else ""))

    def types(self, where: str, state: str = "typing") -> None:
        value = {"typing": "active", "paused": "paused", "stopped": "done"}[state]
        self.sends(self._tags({"+typing": value}) + f"TAGMSG {where}")

    def marks_read(self, seen: Seen) -> None:
        """draft/read-marker names a time, that of the message."""
        self.sends(f"MARKREAD {seen.where} timestamp={seen.more['time']}")

    def read_marker(self, where: str) -> str:
        answer = [x for x in self.asks(f"MARKREAD {where}") if x.command == "MARKREAD"]
        assert answer, f"no read marker\n{self.transcript(20)}"
        return answer[-1].params[-1].removeprefix("timestamp=")

    def goes_away(self, status: str) -> None:
        self.asks(f"AWAY :{status}")

    def comes_back(self) -> None:
        self.asks("AWAY")

    def watches(self, who: str) -> None:
        """MONITOR tells when they come and go; extended-monitor also AWAY."""
        self.asks(f"MONITOR + {who}")

    def sets_topic(self, room: str, text: str) -> None:
        self.sends(f"TOPIC {room} :{text}")

    def kicks(self, room: str, who: str, why: str = "") -> None:
        self.sends(f"KICK {room} {who} :{why}")

    def bans(self, room: str, who: str) -> None:
        self.sends(f"MODE {room} +b {who}!*@*")

    def unbans(self, room: str, who: str) -> None:
        self.sends(f"MODE {room} -b {who}!*@*")

    def voices(self, room: str, who: str) -> None:
        self.sends(f"MODE {room} +v {who}")

    def unvoices(self, room: str, who: str) -> None:
        self.sends(f"MODE {room} -v {who}")

    def ops(self, room: str, who: str) -> None:
        self.sends(f"MODE {room} +o {who}")

    def invites(self, room: str, who: str) -> None:
        self.sends(f"INVITE {who} {room}")

    def blocks(self, who: str) -> None:
        self.asks(f"SILENCE +{who}!*@*")

    def unblocks(self, who: str) -> None:
        self.asks(f"SILENCE -{who}!*@*")

    def rooms(self) -> dict[str, str]:
        """LIST: room → topic."""
        return {x.params[1]: x.params[-1] for x in self.asks("LIST", "323") if x.command == "322"}

    def people(self, room: str) -> set[str]:
        """NAMES, without prefixes."""
        out: set[str] = set()
        for line in self.asks(f"NAMES {room}", "366"):
            if line.command == "353":
                out |= {n.lstrip("~&@%+").partition("!")[0] for n in line.params[-1].split()}
        return out

    def history(self, where: str, page: int = 50) -> list[Seen]:
        """CHATHISTORY from the beginning to the end, page by page; oldest first, no id twice."""
        out: list[Seen] = []
        asked = f"CHATHISTORY LATEST {where} * {page}"
        while True:
            got = self._chathistory(asked)
            got = [s for s in got if s.archive_id is None or s.archive_id not in {o.archive_id for o in out}]
            out = got + out
            named = [s for s in got if s.archive_id]
            if len(named) < page:
                return out
            asked = f"CHATHISTORY BEFORE {where} msgid={named[0].archive_id} {page}"

    def _chathistory(self, asked: str) -> list[Seen]:
        mark = self.now()
        lines = self.asks(asked)
        failed = [x for x in lines if x.command == "FAIL"]
        assert not failed, f"{asked}: {failed}"
        return [s for s in self.seen[mark:] if not s.live and s.more.get("batch") == "chathistory"]

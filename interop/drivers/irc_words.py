"""What IRC lines say, in neutral words: the judge's own reading of RFC 2812 and IRCv3, without IO."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .person import Seen

UNESCAPE = {":": ";", "s": " ", "\\": "\\", "r": "\r", "n": "\n"}
TYPING = {"active": "typing", "paused": "paused", "done": "stopped"}
REFUSALS = re.compile(r"[45]\d\d")


@dataclass
class Line:
    """One parsed line."""

    command: str
    params: list[str] = field(default_factory=list)
    source: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def nick(self) -> str:
        return self.source.partition("!")[0]

    def tag(self, *names: str) -> str | None:
        """The first of these tags that is there (a draft name beside the ratified one)."""
        return next((self.tags[n] for n in names if n in self.tags), None)


def parse(text: str) -> Line:
    """IRCv3 message-tags, then RFC 1459 §2.3.1."""
    tags, source = {}, ""
    if text.startswith("@"):
        head, _, text = text[1:].partition(" ")
        for tag in head.split(";"):
            key, _, value = tag.partition("=")
            tags[key] = re.sub(r"\\(.?)", lambda m: UNESCAPE.get(m[1], m[1]), value)
    text = text.lstrip(" ")
    if text.startswith(":"):
        source, _, text = text[1:].partition(" ")
    text, colon, trailing = text.lstrip(" ").partition(" :")
    params = text.split()
    if colon:
        params.append(trailing)
    return Line(params[0].upper() if params else "", params[1:], source, tags)


def tag_value(value: str) -> str:
    """Escape a tag's value."""
    for plain, escaped in (("\\", "\\\\"), (";", "\\:"), (" ", "\\s"), ("\r", "\\r"), ("\n", "\\n")):
        value = value.replace(plain, escaped)
    return value


class Understanding:
    """Lines into `Seen`, with open batches kept until they end."""

    def __init__(self, me: str):
        self.me = me
        self.batches: dict[str, tuple[Line, list]] = {}
        """reference → (the BATCH line, what it holds: lines, or the entry of a nested batch)"""

    def where(self, line: Line) -> str:
        target = line.params[0] if line.params else ""
        target = target.lstrip("@+%~&") if target[1:2] == "#" else target
        if target.startswith("#"):
            return target
        return target if line.nick == self.me else line.nick

    def line(self, line: Line) -> list[Seen]:
        if line.command == "BATCH" and line.params:
            ref = line.params[0]
            if ref.startswith("+"):
                entry = (line, [])
                self.batches[ref[1:]] = entry
                outer = line.tag("batch")
                if outer in self.batches:
                    self.batches[outer][1].append(entry)
                return []
            entry = self.batches.pop(ref[1:], None)
            if entry is None or entry[0].tag("batch") in self.batches:
                return []
            return self._batch(entry, live=True)
        held = self.batches.get(line.tag("batch") or "")
        if held is not None:
            held[1].append(line)
            return []
        return self.says(line)

    def _batch(self, entry, live: bool) -> list[Seen]:
        opening, inside = entry
        kind = opening.params[1] if len(opening.params) > 1 else ""
        live = live and kind not in ("chathistory", "znc.in/playback")
        if kind == "draft/multiline":
            lines = [one for one in inside if isinstance(one, Line)]
            text = ""
            for one in lines:
                text += ("" if not text or "draft/multiline-concat" in one.tags else "\n") + one.params[-1]
            first = lines[0] if lines else opening
            whole = Line(first.command, [opening.params[2], text], opening.source or first.source, {**first.tags, **opening.tags})
            whole.tags.pop("batch", None)
            return self.says(whole, live)
        out: list[Seen] = []
        for one in inside:
            found = self.says(one, live) if isinstance(one, Line) else self._batch(one, live)
            for seen in found:
                seen.more.setdefault("batch", kind)
            out += found
        return out

    def says(self, line: Line, live: bool = True) -> list[Seen]:
        command, params = line.command, line.params
        ident = line.tag("msgid", "draft/msgid")
        base = dict(
            who=line.nick, where=self.where(line), id=ident, archive_id=ident, raw=line, live=live,
            to=line.tag("+reply", "+draft/reply"), more={"time": line.tag("time"), "account": line.tag("account")},
        )  # fmt: skip
        last = params[-1] if params else ""
        first = params[0] if params else ""
        if command in ("PRIVMSG", "NOTICE"):
            text = last
            if text.startswith("\x01ACTION"):
                text = "/me " + text[8:].rstrip("\x01")
            return [Seen("message" if command == "PRIVMSG" else "notice", text=text, **base)]
        if command == "TAGMSG":
            out = []
            if (typing := line.tag("+typing", "+draft/typing")) is not None:
                out.append(Seen("typing", text=TYPING.get(typing, typing), **base))
            if (emoji := line.tag("+draft/react", "+react")) is not None:
                out.append(Seen("reaction", text=emoji, **base))
            if (emoji := line.tag("+draft/unreact", "+unreact")) is not None:
                out.append(Seen("unreaction", text=emoji, **base))
            return out
        if command == "REDACT":
            base["to"] = params[1] if len(params) > 1 else None
            return [Seen("retraction", text=params[2] if len(params) > 2 else "", **base)]
        if command == "MARKREAD":
            base["where"] = first
            return [Seen("read", text=last.removeprefix("timestamp="), **base)]
        if command == "JOIN":
            return [Seen("join", **base)]
        if command in ("PART", "QUIT"):
            base["where"] = first if command == "PART" else None
            return [Seen("part" if command == "PART" else "gone", text=params[1] if command == "PART" and len(params) > 1 else last, **base)]
        if command == "KICK":
            base.update(who=params[1], more={**base["more"], "by": line.nick})
            return [Seen("kick", text=params[2] if len(params) > 2 else "", **base)]
        if command == "NICK":
            base["where"] = None
            return [Seen("nick", text=last, **base)]
        if command == "INVITE":
            base["where"] = params[1] if len(params) > 1 else last
            return [Seen("invite", text=first, **base)]
        if command == "TOPIC":
            return [Seen("topic", text=last, **base)]
        if command == "332":
            base["where"] = params[1]
            return [Seen("topic", text=last, **base)]
        if command == "AWAY":
            base["where"] = line.nick
            return [Seen("away" if params else "back", text=last, **base)]
        if command in ("301", "730", "731"):
            kind = {"301": "away", "730": "back", "731": "offline"}[command]
            names = [params[1]] if command == "301" else [n.partition("!")[0] for n in last.split(",")]
            return [Seen(kind, **{**base, "who": n, "where": n, "text": last if command == "301" else ""}) for n in names]
        if command == "MODE" and first.startswith("#"):
            return self._modes(line, base)
        if command == "FAIL" or REFUSALS.fullmatch(command):
            return [Seen("refused", text=f"{command} {' '.join(params)}", **base)]
        return []

    def _modes(self, line: Line, base: dict) -> list[Seen]:
        out = []
        for kind, mode, argument in modes(line.params[1] if len(line.params) > 1 else "", line.params[2:]):
            one = {**base, "who": (argument or line.nick).partition("!")[0], "more": {**base["more"], "by": line.nick}}
            out.append(Seen(kind, text=mode + (f" {argument}" if argument else ""), **one))
        return out


MODES = {"+v": "voice", "-v": "unvoice", "+o": "op", "-o": "deop", "+b": "ban", "-b": "unban"}


def modes(letters: str, arguments: list[str]):
    """`-v+o bob bob` as (kind, mode, argument), one after the other."""
    sign, arguments = "+", list(arguments)
    for letter in letters:
        if letter in "+-":
            sign = letter
            continue
        argument = arguments.pop(0) if letter in "vhoaqbeIklfj" and arguments else None
        yield MODES.get(sign + letter, "mode"), sign + letter, argument


def shown_modes(where: str, shown: str, by: str) -> list[Seen]:
    """The same from what a client shows: `-v+o bob bob` in a room, by somebody."""
    letters, *arguments = shown.split()
    return [
        Seen(kind, (argument or by).partition("!")[0], where, mode + (f" {argument}" if argument else ""), more={"by": by})
        for kind, mode, argument in modes(letters, arguments)
    ]

"""A person in a play: what a client said and saw, in the same words for every program and protocol.

Places are written as people say them: `bob` is the direct conversation with bob, `#town` is the room, and
`#town/bob` is a private message inside the room. A driver turns these into its own addresses and back.

What a client shows becomes `Seen` entries. Their kinds:

message, notice   text; `to` is the id that it answers, if any; an action is the text "/me …"
edit, retraction  `to` is the id of the message meant; an edit has the new text
reaction          `to` and the emoji as text (several joined by a space; empty: taken back)
typing            text is typing, paused or stopped
delivered, read   `to` is the id meant (an IRC read marker has a timestamp as text instead)
topic             text; join, part, gone, nick (text: the new one)
kick, ban, voice, unvoice, op, deop   who it happened to; kick has the reason as text
invite            who invites, where to
away, back, offline   presence of a contact; the status message as text
refused           an error for something this person did; text names it
"""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

PATIENCE = float(os.environ.get("PATIENCE", "30"))
"""Seconds that a wait for a condition may take before the play fails. Generous: the machine has two cores."""


@dataclass
class Seen:
    """One thing that a client showed, in neutral words."""

    kind: str
    who: str | None = None
    where: str | None = None
    text: str = ""
    id: str | None = None
    """The sender's own id: XMPP `id`. On IRC the same as `archive_id`."""
    archive_id: str | None = None
    """The id in the history: the stanza-id of the room or the own account; the IRC msgid."""
    to: str | None = None
    live: bool = True
    """False for what was replayed: history, delayed delivery."""
    copy: bool = False
    """True for a carbon: what another device of the same account sent or received."""
    more: dict[str, Any] = field(default_factory=dict)
    raw: Any = None

    def fits(self, want: dict[str, Any]) -> bool:
        """Does everything that is asked for hold? Strings compare exactly, patterns search."""
        for key, value in want.items():
            mine = self.more.get(key) if not hasattr(self, key) else getattr(self, key)
            if isinstance(value, re.Pattern):
                if mine is None or not value.search(mine):
                    return False
            elif mine != value:
                return False
        return True


def words(text: str = "hello") -> str:
    """The text with a token that no other message has."""
    return f"{text} {uuid.uuid4().hex[:10]}"


def until(what: str, condition, patience: float = PATIENCE, transcript=None):
    """Ask again until the condition gives something true, and return that."""
    end = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            told = f"\n--- transcript\n{transcript()}" if transcript else ""
            raise AssertionError(f"waited {patience:.0f} s in vain for {what}{told}")
        time.sleep(0.03)


class Person:
    """Base of all drivers. A driver calls `saw` (from any thread) or fills `look`, which is called while waiting."""

    program = "?"

    def __init__(self, place, name: str, device: str = "one"):
        self.place, self.name, self.device = place, name, device
        self.password = place.password(name)
        self.seen: list[Seen] = []
        self._lines: list[str] = []
        self._news = threading.Condition()

    # What a driver calls.
    def note(self, line: str) -> None:
        """Write down a line of the transcript, which a failing play prints."""
        with self._news:
            self._lines.append(f"{time.strftime('%H:%M:%S')} {line}")
            self._news.notify_all()

    def saw(self, seen: Seen) -> None:
        with self._news:
            self.seen.append(seen)
            self._news.notify_all()

    def look(self) -> None:
        """Read what is new in files, screens, databases."""

    # What a play calls.
    def __str__(self) -> str:
        return f"{self.name} in {self.program}"

    def transcript(self, last: int = 200) -> str:
        try:
            self.look()
        except Exception as why:  # the program may be gone; the transcript must still come
            self._lines.append(f"(could not look: {why})")
        return "\n".join(self._lines[-last:])

    def waits(self, what: str, condition, timeout: float = PATIENCE):
        """Wait until the condition gives something true."""
        end = time.monotonic() + timeout
        while True:
            self.look()
            found = condition()
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(
                    f"{self} waited {timeout:.0f} s in vain for {what}\n--- what {self} saw\n"
                    + "\n".join(str(s)[:300] for s in self.seen[-12:])
                    + f"\n--- transcript of {self}\n{self.transcript(60)}"
                )
            with self._news:
                self._news.wait(0.05)

    def now(self) -> int:
        """A mark for `since=`: only what comes later counts."""
        self.look()
        return len(self.seen)

    def find(self, kind: str | None, since: int = 0, **want) -> list[Seen]:
        """Everything seen so far that fits."""
        return [s for s in list(self.seen)[since:] if (kind is None or s.kind == kind) and s.fits(want)]

    def sees(self, kind: str, since: int = 0, timeout: float = PATIENCE, **want) -> Seen:
        """Wait until something of this kind shows, and return the first that fits."""
        return self.waits(f"{kind} {want}", lambda: self.find(kind, since, **want), timeout)[0]

    def hears(self, text, where: str | None = None, who: str | None = None, timeout: float = PATIENCE, **want) -> Seen:
        """Wait for a message with exactly this text (or one that a pattern finds)."""
        want["text"] = text
        if where is not None:
            want["where"] = where
        if who is not None:
            want["who"] = who
        return self.sees("message", timeout=timeout, **want)

    def heard_once(self, text, **want) -> None:
        """After a later message was seen: this text was shown exactly once."""
        found = self.find("message", text=text, **want)
        assert len(found) == 1, f"{self} heard {text!r} {len(found)} times: {found}\n{self.transcript(60)}"

    def heard_never(self, text, **want) -> None:
        """After a later message was seen: this text was never shown."""
        found = [s for s in self.seen if (text.search(s.text) if isinstance(text, re.Pattern) else text in s.text) and s.fits(want)]
        assert not found, f"{self} was shown {text!r}: {found}\n{self.transcript(60)}"

    # What every driver has.
    def says(self, where: str, text: str):
        raise NotImplementedError(f"{self.program} cannot say")

    def joins(self, room: str) -> None:
        raise NotImplementedError(f"{self.program} cannot join rooms")

    def ends(self) -> None:
        """Sign out and end the program."""

"""XEP-0313 archive queries of the slixmpp driver, page by page with RSM."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .person import PATIENCE, Seen
from .xmpp_words import CLIENT, understand

MAM = "{urn:xmpp:mam:2}"
RSM = "{http://jabber.org/protocol/rsm}"


@dataclass
class Page:
    """One page of an archive."""

    seen: list[Seen]
    """Only what says something neutral; `ids` has every entry."""
    ids: list[str]
    complete: bool
    first: str | None
    last: str | None
    count: int | None


class Archive:
    """Mixed into Slixmpp."""

    def page(self, where: str | None = None, *, max: int = 50, after: str | None = None, before: str | None = None,
             flip: bool = False, timeout: float = PATIENCE, **fields) -> Page:  # fmt: skip
        """One page: of a room (`#town`), of one direct conversation (`bob`), or of the whole account (None).

        `before=""` asks for the last page. Other fields go into the form: `start=`, `end=`, `with_=`, `ids=[…]`.
        """
        to = self.place.jid(where) if where and where.startswith("#") else None
        if where and not to:
            fields["with_"] = self.place.jid(where)
        form = "<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>"
        for name, value in fields.items():
            values = value if isinstance(value, list) else [value]
            name = {"with_": "with", "after_id": "after-id", "before_id": "before-id"}.get(name, name)
            form += f"<field var='{name}'>" + "".join(f"<value>{escape(v)}</value>" for v in values) + "</field>"
        rsm = f"<max>{max}</max>"
        if after is not None:
            rsm += f"<after>{escape(after)}</after>"
        if before is not None:
            rsm += f"<before>{escape(before)}</before>"
        query = uuid.uuid4().hex
        self._answers[query] = got = []
        answer = self.asks(
            "set",
            f"<query xmlns='urn:xmpp:mam:2' queryid='{query}'><x xmlns='jabber:x:data' type='submit'>{form}</x>"
            f"<set xmlns='http://jabber.org/protocol/rsm'>{rsm}</set>{'<flip-page/>' if flip else ''}</query>",
            to, timeout,
        )  # fmt: skip
        fin = answer.find(f"{MAM}fin")
        assert fin is not None, ET.tostring(answer)
        seen, ids = [], []
        archive = to or self.place.jid(self.name)
        for sender, result in got:
            assert (sender or archive).partition("/")[0] == archive, f"an archive's answer came from {sender}"
            ids.append(result.get("id"))
            message = result.find(f"{{urn:xmpp:forward:0}}forwarded/{CLIENT}message")
            for one in understand(message, self.place, self.name, live=False):
                one.archive_id = result.get("id")
                seen.append(one)
        rsm = fin.find(f"{RSM}set")
        text = lambda name: None if rsm is None else rsm.findtext(f"{RSM}{name}")  # noqa: E731
        count = text("count")
        return Page(seen, ids, fin.get("complete") in ("true", "1"), text("first"), text("last"), int(count) if count else None)

    def history(self, where: str | None = None, page: int = 50, **fields) -> list[Seen]:
        """The whole archive, oldest first, over as many pages as it takes. Pages must not repeat or loop."""
        out, ids, after = [], [], None
        while True:
            one = self.page(where, max=page, after=after, **fields)
            out += one.seen
            ids += one.ids
            assert len(set(ids)) == len(ids), f"the archive gave an id twice: {ids}"
            if one.complete or not one.ids:
                return out
            assert one.last == one.ids[-1], f"RSM last {one.last} is not the last id {one.ids[-1]}"
            after = one.last

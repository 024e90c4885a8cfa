"""slixmpp as a person: the scriptable XMPP client. Every stanza in and out is in its transcript."""

from __future__ import annotations

import copy
import logging
import re
import uuid
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout

from .loop import loop, run
from .person import PATIENCE, Person, Seen
from .slix_archive import Archive
from .slix_rooms import Rooms
from .slix_shelf import Shelf
from .xmpp_words import Occupancy, understand

logging.getLogger("slixmpp").setLevel(logging.CRITICAL)

CLIENT = "{jabber:client}"


class Refused(AssertionError):
    """The server answered an IQ with an error."""

    def __init__(self, condition: str, kind: str, text: str, xml: ET.Element | None):
        super().__init__(f"{condition} ({kind}) {text}")
        self.condition, self.kind, self.text, self.xml = condition, kind, text, xml


class Slixmpp(Rooms, Archive, Shelf, Person):
    """`says`, `hears`, and what a modern XMPP client can do. `device` becomes the resource."""

    program = "slixmpp"
    plugins = ("xep_0030", "xep_0045", "xep_0115", "xep_0199", "xep_0092", "xep_0198", "xep_0163", "xep_0334")

    def __init__(self, place, name: str, device: str = "one", *, carbons=True, online=True, direct_tls=False, receipts=True):
        super().__init__(place, name, device)
        self.occupancy = Occupancy(place, name)
        self.receipts = receipts
        self._answers: dict[str, list] = {}
        self._state = "new"
        self.client = run(self._build(direct_tls))
        self._signs_in(carbons, online)

    async def _build(self, direct_tls: bool) -> slixmpp.ClientXMPP:
        client = slixmpp.ClientXMPP(f"{self.place.jid(self.name)}/{self.device}", self.password)
        client.loop = loop()
        client.ssl_context = self.place.tls()  # verified: the name and the place's own certificate
        client.enable_direct_tls, client.enable_starttls, client.enable_plaintext = direct_tls, not direct_tls, False
        self._port = self.place.xmpp_tls if direct_tls else self.place.xmpp
        for plugin in self.plugins:
            client.register_plugin(plugin)
        self._adds_plugins(client)
        client.add_filter("in", self._comes_in)
        client.add_filter("out", self._goes_out)
        for event, state in (
            ("session_start", "on"), ("session_resumed", "resumed"), ("failed_auth", "refused"), ("failed_all_auth", "refused"),
            ("disconnected", "off"), ("connection_failed", "unreachable"),
        ):  # fmt: skip
            client.add_event_handler(event, lambda data, state=state: self._becomes(state, data))
        return client

    def _adds_plugins(self, client) -> None:
        """For drivers built on this one."""

    def _becomes(self, state: str, data=None) -> None:
        self._state = state
        self.note(f"== {state} {data if state in ('unreachable',) else ''}")

    def _signs_in(self, carbons: bool, online: bool) -> None:
        async def connect():
            self.client.connect("127.0.0.1", self._port)

        run(connect())
        self.waits("being signed in", lambda: self._state in ("on", "refused", "resumed"))
        assert self._state != "refused", f"{self} was not let in\n{self.transcript()}"
        if self._state == "resumed":
            return
        self.roster()
        if carbons:
            self.asks("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
        if online:
            self.sends("<presence><priority>1</priority></presence>")

    # The wire.
    def _comes_in(self, stanza):
        xml = copy.deepcopy(stanza.xml)
        self.note(f"< {stanza}"[:3000])
        tag = xml.tag.rpartition("}")[2]
        if tag == "message":
            result = xml.find("{urn:xmpp:mam:2}result")
            if result is not None and result.get("queryid") in self._answers:
                self._answers[result.get("queryid")].append((xml.get("from"), result))
            for seen in self._reads_message(xml):
                self.saw(seen)
                self._confirms(seen)
        elif tag == "presence":
            for seen in self.occupancy.understand(xml):
                self.saw(seen)
        elif tag == "iq" and xml.get("type") == "set":
            for child in xml:
                self.saw(Seen("push", text=child.tag, raw=xml))
        return stanza

    def _reads_message(self, xml: ET.Element) -> list[Seen]:
        return understand(xml, self.place, self.name)

    def _confirms(self, seen: Seen) -> None:
        # XEP-0184: a receipt for a live direct message that asks for one.
        asked = seen.kind == "message" and seen.raw.find("{urn:xmpp:receipts}request") is not None
        if self.receipts and asked and seen.live and not seen.copy and seen.who != self.name and seen.more.get("type") == "chat":
            to = seen.raw.get("from")
            loop().call_soon(
                self.client.send_raw,
                f"<message xmlns='jabber:client' to={quoteattr(to)} type='chat' id='{uuid.uuid4().hex}'>"
                f"<received xmlns='urn:xmpp:receipts' id={quoteattr(seen.id or '')}/><store xmlns='urn:xmpp:hints'/></message>",
            )

    def _goes_out(self, stanza):
        self.note(f"> {stanza}"[:3000])
        return stanza

    def sends(self, xml: str) -> None:
        """Send any stanza, through slixmpp's queue (so that stream management counts it)."""
        if "xmlns='jabber:client'" not in xml:
            xml = re.sub(r"^<(\w+)", r"<\1 xmlns='jabber:client'", xml)
        element = ET.fromstring(xml)

        async def go():
            self.client.send(self.client._build_stanza(element))

        run(go())

    def asks(self, kind: str, payload: str, to: str | None = None, timeout: float = PATIENCE) -> ET.Element:
        """An IQ of type get or set; returns the answering `<iq/>`, or raises Refused."""

        async def go():
            iq = self.client.make_iq(ito=to, itype=kind)
            iq.append(ET.fromstring(payload))
            return (await iq.send(timeout=timeout)).xml

        try:
            return run(go(), timeout + 10)
        except IqError as why:
            error = why.iq["error"]
            raise Refused(error["condition"], error["type"], error["text"], why.iq.xml) from None
        except IqTimeout:
            raise AssertionError(f"{self}: no answer to {payload}\n{self.transcript(40)}") from None

    # Verbs.
    def says(self, where: str, text: str, payload: str = "", *, id: str | None = None, body=True) -> Seen:
        """Say it. In a room this returns the room's own reflection (with the archive's id), else what was sent."""
        id = id or f"m-{uuid.uuid4().hex[:12]}"
        room = where.startswith("#") and "/" not in where
        self.sends(
            f"<message xmlns='jabber:client' to={quoteattr(self.place.jid(where))} type='{'groupchat' if room else 'chat'}' id='{id}'>"
            + (f"<body>{escape(text)}</body>" if body else "")
            + f"<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/>{payload}</message>"
        )
        if room and body:
            return self.waits(f"the room's reflection of {text!r}", lambda: [s for s in self.seen if s.id == id and s.where == where])[0]
        return Seen("message", self.name, where, text, id)

    def _means(self, seen: Seen) -> str:
        """How later messages name this one: by the room's id in rooms, else by the sender's (XEP-0444, 0461, 0333)."""
        in_room = (seen.where or "").startswith("#") and "/" not in seen.where
        return (seen.archive_id if in_room else seen.id) or ""

    def asks_receipt(self, where: str, text: str) -> Seen:
        """A message that asks for a receipt and can be marked as read."""
        return self.says(where, text, "<request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/>")

    def replies(self, seen: Seen, text: str, quote: bool = True) -> Seen:
        """XEP-0461, with the quoted fallback that clients add (XEP-0428)."""
        quoted = "".join(f"> {line}\n" for line in seen.text.split("\n")) if quote else ""
        to = self.place.jid(f"{seen.where}/{seen.who}" if seen.where.startswith("#") else seen.who)
        payload = f"<reply xmlns='urn:xmpp:reply:0' to={quoteattr(to)} id={quoteattr(self._means(seen))}/>"
        if quote:
            payload += f"<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='{len(quoted)}'/></fallback>"
        return self.says(seen.where, quoted + text, payload)

    def edits(self, seen: Seen, text: str) -> Seen:
        """XEP-0308: by the sender's own id, always."""
        return self.says(seen.where, text, f"<replace xmlns='urn:xmpp:message-correct:0' id={quoteattr(seen.id)}/>")

    def retracts(self, seen: Seen) -> None:
        """XEP-0424."""
        fallback = "This person attempted to retract a previous message, but it's unsupported by your client."
        self.says(
            seen.where, fallback,
            f"<retract xmlns='urn:xmpp:message-retract:1' id={quoteattr(self._means(seen))}/>"
            "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/><store xmlns='urn:xmpp:hints'/>",
        )  # fmt: skip

    def reacts(self, seen: Seen, *emoji: str) -> None:
        """XEP-0444: the whole set of reactions; none takes them back."""
        inner = "".join(f"<reaction>{e}</reaction>" for e in emoji)
        self.says(
            seen.where, "",
            f"<reactions xmlns='urn:xmpp:reactions:0' id={quoteattr(self._means(seen))}>{inner}</reactions><store xmlns='urn:xmpp:hints'/>",
            body=False,
        )  # fmt: skip

    def types(self, where: str, state: str = "typing") -> None:
        """XEP-0085: typing, paused or stopped."""
        name = {"typing": "composing", "paused": "paused", "stopped": "active"}[state]
        self.says(where, "", f"<{name} xmlns='http://jabber.org/protocol/chatstates'/><no-store xmlns='urn:xmpp:hints'/>", body=False)

    def marks_read(self, seen: Seen) -> None:
        """XEP-0333 to the other side, and XEP-0490 for the own devices."""
        self.says(seen.where, "", f"<displayed xmlns='urn:xmpp:chat-markers:0' id={quoteattr(self._means(seen))}/>", body=False)
        if seen.archive_id:
            jid = self.place.jid(seen.where)
            by = jid if seen.where.startswith("#") else self.place.jid(self.name)
            self.publishes(
                "urn:xmpp:mds:displayed:0",
                f"<displayed xmlns='urn:xmpp:mds:displayed:0'><stanza-id xmlns='urn:xmpp:sid:0' by={quoteattr(by)} id={quoteattr(seen.archive_id)}/></displayed>",
                item=jid, access="whitelist", max_items="max",
            )  # fmt: skip

    def goes_away(self, status: str, show: str = "away") -> None:
        self._everywhere(f"<show>{show}</show><status>{escape(status)}</status>")

    def comes_back(self) -> None:
        self._everywhere("<priority>1</priority>")

    def _everywhere(self, inner: str) -> None:
        self.sends(f"<presence xmlns='jabber:client'>{inner}</presence>")
        for room, nick in getattr(self, "nicks", {}).items():
            self.sends(f"<presence xmlns='jabber:client' to={quoteattr(self.place.jid(f'{room}/{nick}'))}>{inner}</presence>")

    def offline(self) -> None:
        self.sends("<presence xmlns='jabber:client' type='unavailable'/>")

    # The connection.
    def loses_connection(self) -> None:
        """The network goes away: no closing of the stream, no goodbye."""

        async def cut():
            self.client.cancel_connection_attempt()
            self.client.transport.abort()

        self._state = "cut"
        run(cut())
        self.waits("the loss of the connection", lambda: self._state == "off")

    def comes_again(self) -> str:
        """Connect anew; XEP-0198 resumes where the server still knows the stream. Returns resumed or on."""
        self._state = "again"
        self._signs_in(True, True)
        return self._state

    def is_acknowledged(self) -> bool:
        """Has the server acknowledged everything that this client sent (XEP-0198)?"""

        async def go():
            self.client.plugin["xep_0198"].request_ack()
            return not self.client.plugin["xep_0198"].unacked_queue

        return run(go())

    def ends(self) -> None:
        async def go():
            await self.client.disconnect(wait=2)
            self.client._run_out_filters.cancel()  # slixmpp leaves this task to the end of the loop

        try:
            run(go(), 10)
        except Exception as why:  # it may be cut off already
            self.note(f"== {why}")

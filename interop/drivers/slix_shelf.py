"""What an account keeps, through the slixmpp driver: roster, PEP, bookmarks, vCard, avatar, blocking, uploads."""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from .loop import run

PUBSUB = "http://jabber.org/protocol/pubsub"


class Shelf:
    """Mixed into Slixmpp."""

    # Roster and subscriptions (RFC 6121).
    def roster(self) -> dict[str, str]:
        """Contact → subscription state."""
        answer = self.asks("get", "<query xmlns='jabber:iq:roster'/>")
        return {self.place.where(i.get("jid"))[0]: i.get("subscription") for i in answer.iter("{jabber:iq:roster}item")}

    def befriends(self, who: str) -> None:
        """Ask to see this contact's presence, and pre-approve nothing."""
        self.sends(f"<presence xmlns='jabber:client' type='subscribe' to={quoteattr(self.place.jid(who))}/>")

    def accepts(self, who: str) -> None:
        self.sends(f"<presence xmlns='jabber:client' type='subscribed' to={quoteattr(self.place.jid(who))}/>")

    def unfriends(self, who: str) -> None:
        self.asks("set", f"<query xmlns='jabber:iq:roster'><item jid={quoteattr(self.place.jid(who))} subscription='remove'/></query>")

    # Blocking (XEP-0191).
    def blocks(self, who: str) -> None:
        self.asks("set", f"<block xmlns='urn:xmpp:blocking'><item jid={quoteattr(self.place.jid(who))}/></block>")

    def unblocks(self, who: str) -> None:
        self.asks("set", f"<unblock xmlns='urn:xmpp:blocking'><item jid={quoteattr(self.place.jid(who))}/></unblock>")

    def blocked(self) -> list[str]:
        answer = self.asks("get", "<blocklist xmlns='urn:xmpp:blocking'/>")
        return [self.place.where(i.get("jid"))[0] for i in answer.iter("{urn:xmpp:blocking}item")]

    # PEP (XEP-0163, XEP-0060).
    def publishes(self, node: str, payload: str, item: str = "current", **options: str) -> None:
        """Publish with options as preconditions: `access=` whitelist, presence, open; `max_items=`; `persist=`."""
        options.setdefault("persist", "true")
        names = {"access": "access_model", "max_items": "max_items", "persist": "persist_items"}
        fields = "".join(f"<field var='pubsub#{names[k]}'><value>{escape(v)}</value></field>" for k, v in options.items())
        self.asks(
            "set",
            f"<pubsub xmlns='{PUBSUB}'><publish node={quoteattr(node)}><item id={quoteattr(item)}>{payload}</item></publish>"
            f"<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>"
            f"<value>{PUBSUB}#publish-options</value></field>{fields}</x></publish-options></pubsub>",
        )

    def items(self, node: str, who: str | None = None) -> dict[str, ET.Element | None]:
        """The items of a node, own or a contact's: id → payload."""
        answer = self.asks("get", f"<pubsub xmlns='{PUBSUB}'><items node={quoteattr(node)}/></pubsub>", self.place.jid(who) if who else None)
        return {i.get("id"): next(iter(i), None) for i in answer.iter(f"{{{PUBSUB}}}item")}

    def takes_back_item(self, node: str, item: str) -> None:
        self.asks("set", f"<pubsub xmlns='{PUBSUB}'><retract node={quoteattr(node)} notify='true'><item id={quoteattr(item)}/></retract></pubsub>")

    # Bookmarks (XEP-0402).
    def bookmarks(self) -> dict[str, ET.Element | None]:
        return {self.place.where(jid)[0]: payload for jid, payload in self.items("urn:xmpp:bookmarks:1").items()}

    def sets_bookmark(self, room: str, autojoin: bool = True) -> None:
        self.publishes(
            "urn:xmpp:bookmarks:1",
            f"<conference xmlns='urn:xmpp:bookmarks:1' autojoin='{str(autojoin).lower()}'><nick>{self.name}</nick></conference>",
            item=self.place.jid(room), access="whitelist",
        )  # fmt: skip

    # Profile.
    def sets_vcard(self, full_name: str) -> None:
        self.asks("set", f"<vCard xmlns='vcard-temp'><FN>{escape(full_name)}</FN></vCard>")

    def vcard(self, who: str | None = None) -> ET.Element | None:
        return self.asks("get", "<vCard xmlns='vcard-temp'/>", self.place.jid(who) if who else None).find("{vcard-temp}vCard")

    def sets_avatar(self, png: bytes) -> str:
        """XEP-0084; returns the hash."""
        digest = hashlib.sha1(png).hexdigest()
        self.publishes("urn:xmpp:avatar:data", f"<data xmlns='urn:xmpp:avatar:data'>{base64.b64encode(png).decode()}</data>", item=digest)
        self.publishes(
            "urn:xmpp:avatar:metadata",
            f"<metadata xmlns='urn:xmpp:avatar:metadata'><info id='{digest}' bytes='{len(png)}' type='image/png'/></metadata>",
            item=digest,
        )
        return digest

    def avatar(self, who: str) -> bytes | None:
        for payload in self.items("urn:xmpp:avatar:data", who).values():
            return base64.b64decode(payload.text or "")
        return None

    # Uploads (XEP-0363).
    def uploads(self, name: str, data: bytes, kind: str = "text/plain") -> str:
        """Ask for a slot, PUT the bytes over HTTPS with a verified certificate; returns the GET address."""
        service = self.finds("urn:xmpp:http:upload:0")
        answer = self.asks(
            "get",
            f"<request xmlns='urn:xmpp:http:upload:0' filename={quoteattr(name)} size='{len(data)}' content-type={quoteattr(kind)}/>",
            service,
        )
        slot = answer.find("{urn:xmpp:http:upload:0}slot")
        put, get = slot.find("{urn:xmpp:http:upload:0}put"), slot.find("{urn:xmpp:http:upload:0}get")
        headers = {h.get("name"): h.text or "" for h in put} | {"Content-Type": kind}
        status, text = self.http("PUT", put.get("url"), data, headers)
        assert status in (200, 201), f"upload answered {status} {text[:200]!r}"
        return get.get("url")

    def http(self, verb: str, url: str, data: bytes | None = None, headers: dict | None = None) -> tuple[int, bytes]:
        """A request by aiohttp with the place's certificate verified."""
        import aiohttp

        async def go():
            async with aiohttp.ClientSession() as session, session.request(
                verb, url, data=data, headers=headers, ssl=self.place.tls()
            ) as answer:
                return answer.status, await answer.read()

        return run(go())

    def shares(self, where: str, name: str, data: bytes, kind: str = "text/plain"):
        """Upload and say the link, marked as a file (XEP-0066). Returns what `says` does."""
        url = self.uploads(name, data, kind)
        return self.says(where, url, f"<x xmlns='jabber:x:oob'><url>{escape(url)}</url></x>")

    # Discovery (XEP-0030).
    def features(self, of: str) -> set[str]:
        """The features of an address."""
        answer = self.asks("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", of)
        return {f.get("var") for f in answer.iter("{http://jabber.org/protocol/disco#info}feature")}

    def finds(self, feature: str) -> str:
        """The server, or the service of it, that has this feature."""
        if feature in self.features(self.place.domain):
            return self.place.domain
        answer = self.asks("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", self.place.domain)
        for item in answer.iter("{http://jabber.org/protocol/disco#items}item"):
            if feature in self.features(item.get("jid")):
                return item.get("jid")
        raise AssertionError(f"{self} finds nobody with {feature}")

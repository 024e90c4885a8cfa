"""XEP-0045 verbs of the slixmpp driver: joining, topics, kicks, roles, invitations, discovery."""

from __future__ import annotations

import asyncio
from xml.sax.saxutils import escape, quoteattr

from slixmpp import JID

from .loop import loop
from .person import PATIENCE

ADMIN = "http://jabber.org/protocol/muc#admin"
OWNER = "http://jabber.org/protocol/muc#owner"


class Rooms:
    """Mixed into Slixmpp."""

    @property
    def nicks(self) -> dict[str, str]:
        return self.__dict__.setdefault("_nicks", {})

    def joins(self, room: str, nick: str | None = None, history: int = 0, password: str | None = None, timeout: float = PATIENCE) -> None:
        """Enter and wait for the subject, which ends entering (XEP-0045 §7.2.15)."""
        nick = nick or self.name
        mark = self.now()
        entering = asyncio.run_coroutine_threadsafe(
            self.client.plugin["xep_0045"].join_muc_wait(JID(self.place.jid(room)), nick, maxstanzas=history, password=password, timeout=timeout),
            loop(),
        )
        # slixmpp itself overlooks errors that do not repeat the MUC element.
        self.waits(f"being in {room}", lambda: entering.done() or self.find("refused", mark, where=room), timeout + 5)
        refused = self.find("refused", mark, where=room)
        if refused:
            entering.cancel()
            raise AssertionError(f"{self} may not enter {room}: {refused[0].text}")
        entering.result()
        self.nicks[room] = nick

    def leaves(self, room: str, why: str = "") -> None:
        nick = self.nicks.pop(room, self.name)
        mark = self.now()
        self.sends(
            f"<presence xmlns='jabber:client' type='unavailable' to={quoteattr(self.place.jid(f'{room}/{nick}'))}>"
            f"<status>{escape(why)}</status></presence>"
        )
        self.sees("part", mark, where=room, who=nick)

    def makes_room(self, room: str, **settings: str) -> None:
        """Enter a new room and set it up: `makes_room("#garden", roomconfig_membersonly="1")`."""
        self.joins(room)
        self.sets_room(room, **settings)

    def sets_room(self, room: str, **settings: str) -> None:
        """The configuration form; names have `muc#` put before them."""
        fields = "".join(f"<field var='muc#{name}'><value>{escape(value)}</value></field>" for name, value in settings.items())
        self.asks(
            "set",
            f"<query xmlns='{OWNER}'><x xmlns='jabber:x:data' type='submit'>"
            f"<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>{fields}</x></query>",
            self.place.jid(room),
        )

    def room_settings(self, room: str) -> dict[str, str | None]:
        """The configuration form as the room shows it to its owner."""
        answer = self.asks("get", f"<query xmlns='{OWNER}'/>", self.place.jid(room))
        return {f.get("var"): f.findtext("{jabber:x:data}value") for f in answer.iter("{jabber:x:data}field")}

    def sets_topic(self, room: str, text: str) -> None:
        self.sends(
            f"<message xmlns='jabber:client' type='groupchat' id='topic-1' to={quoteattr(self.place.jid(room))}>"
            f"<subject>{escape(text)}</subject></message>"
        )

    def gives_role(self, room: str, nick: str, role: str, why: str = "") -> None:
        """visitor, participant, moderator, or none (a kick)."""
        self.asks(
            "set",
            f"<query xmlns='{ADMIN}'><item nick={quoteattr(nick)} role='{role}'><reason>{escape(why)}</reason></item></query>",
            self.place.jid(room),
        )

    def gives_standing(self, room: str, who: str, affiliation: str, why: str = "") -> None:
        """outcast, none, member, admin, owner."""
        self.asks(
            "set",
            f"<query xmlns='{ADMIN}'><item jid={quoteattr(self.place.jid(who))} affiliation='{affiliation}'><reason>{escape(why)}</reason></item></query>",
            self.place.jid(room),
        )

    def standings(self, room: str, affiliation: str) -> list[str]:
        """Who has this affiliation, as account names."""
        answer = self.asks("get", f"<query xmlns='{ADMIN}'><item affiliation='{affiliation}'/></query>", self.place.jid(room))
        return [self.place.where(i.get("jid") or "")[0] for i in answer.iter(f"{{{ADMIN}}}item")]

    def kicks(self, room: str, nick: str, why: str = "") -> None:
        self.gives_role(room, nick, "none", why)

    def bans(self, room: str, who: str, why: str = "") -> None:
        self.gives_standing(room, who, "outcast", why)

    def unbans(self, room: str, who: str) -> None:
        self.gives_standing(room, who, "none")

    def voices(self, room: str, nick: str) -> None:
        self.gives_role(room, nick, "participant")

    def unvoices(self, room: str, nick: str) -> None:
        self.gives_role(room, nick, "visitor")

    def ops(self, room: str, nick: str) -> None:
        self.gives_role(room, nick, "moderator")

    def renames(self, room: str, nick: str) -> None:
        """A new nick in the room."""
        mark = self.now()
        self.sends(f"<presence xmlns='jabber:client' to={quoteattr(self.place.jid(f'{room}/{nick}'))}/>")
        self.sees("nick", mark, where=room, text=nick)
        self.nicks[room] = nick

    def invites(self, room: str, who: str, why: str = "", direct: bool = False) -> None:
        """Mediated by the room, or direct (XEP-0249)."""
        if direct:
            self.sends(
                f"<message xmlns='jabber:client' id='inv-1' to={quoteattr(self.place.jid(who))}>"
                f"<x xmlns='jabber:x:conference' jid={quoteattr(self.place.jid(room))} reason={quoteattr(why)}/></message>"
            )
            return
        self.sends(
            f"<message xmlns='jabber:client' id='inv-2' to={quoteattr(self.place.jid(room))}><x xmlns='http://jabber.org/protocol/muc#user'>"
            f"<invite to={quoteattr(self.place.jid(who))}><reason>{escape(why)}</reason></invite></x></message>"
        )

    def rooms(self) -> dict[str, str | None]:
        """Public rooms by discovery: name of the room → its title."""
        answer = self.asks("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>", self.place.rooms_domain)
        items = answer.iter("{http://jabber.org/protocol/disco#items}item")
        return {self.place.where(i.get("jid") or "")[0]: i.get("name") for i in items}

    def people(self, room: str) -> set[str]:
        """Who is in the room, by the presences seen."""
        return set(self.occupancy.rooms.get(room, {}))

    def self_pings(self, room: str) -> None:
        """XEP-0410: am I still in?"""
        self.asks("get", "<ping xmlns='urn:xmpp:ping'/>", self.place.jid(f"{room}/{self.nicks[room]}"))

    def destroys(self, room: str) -> None:
        self.asks("set", f"<query xmlns='{OWNER}'><destroy/></query>", self.place.jid(room))


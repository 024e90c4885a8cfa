"""What an XMPP stanza says, in neutral words: the judge's own reading of the XEPs, without IO."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from .person import Seen

CLIENT = "{jabber:client}"
SID = "{urn:xmpp:sid:0}"
RETRACT = "{urn:xmpp:message-retract:1}retract"
MUC_USER = "{http://jabber.org/protocol/muc#user}"
OMEMO = ("{eu.siacs.conversations.axolotl}encrypted", "{urn:xmpp:omemo:2}encrypted")
CHAT_STATES = {"composing": "typing", "paused": "paused", "active": "stopped", "inactive": "stopped", "gone": "stopped"}


def find_text(element: ET.Element, path: str) -> str | None:
    found = element.find(path)
    return None if found is None else (found.text or "")


def without_fallback(message: ET.Element, body: str, namespace: str) -> str:
    """XEP-0428: the body without the range that repeats what `namespace` already says."""
    for fallback in message.findall("{urn:xmpp:fallback:0}fallback"):
        if fallback.get("for") != namespace:
            continue
        part = fallback.find("{urn:xmpp:fallback:0}body")
        if part is None:
            return ""
        start, end = part.get("start"), part.get("end")
        if start is None:
            return ""
        body = body[: int(start)] + body[int(end) if end else len(body) :]
    return body


def understand(message: ET.Element, place, me: str, *, copy=False, live=True, archive_id=None) -> list[Seen]:
    """A `<message/>` as what it says. Several things can stand in one stanza (a body and a chat state)."""
    for direction in ("sent", "received"):
        carbon = message.find(f"{{urn:xmpp:carbons:2}}{direction}/{{urn:xmpp:forward:0}}forwarded/{CLIENT}message")
        if carbon is not None:
            assert (message.get("from") or "").partition("/")[0] in ("", place.jid(me)), f"a forged carbon from {message.get('from')}"
            return understand(carbon, place, me, copy=True)
    result = message.find("{urn:xmpp:mam:2}result")
    if result is not None:
        return []  # answers to archive queries are read by who asked

    sender, to, kind = message.get("from") or "", message.get("to") or "", message.get("type") or "normal"
    private = kind in ("chat", "normal", "error")
    where, who = place.where(sender, private=private)
    if who == me and kind != "groupchat" and to and to.partition("/")[0] != place.jid(me):
        where = place.where(to, private=private)[0]  # a copy of what another device sent
    if message.find("{urn:xmpp:delay}delay") is not None:
        live = False
    for sid in message.findall(f"{SID}stanza-id"):
        by = sid.get("by")
        if by in (place.jid(me), sender.partition("/")[0]):
            archive_id = sid.get("id")
    occupant = message.find("{urn:xmpp:occupant-id:0}occupant-id")
    base = dict(
        who=who, where=where, id=message.get("id"), archive_id=archive_id, live=live, copy=copy, raw=message,
        more={"type": kind, "occupant": None if occupant is None else occupant.get("id")},
    )  # fmt: skip
    out: list[Seen] = []
    body = find_text(message, f"{CLIENT}body")

    if kind == "error":
        error = message.find(f"{CLIENT}error")
        condition = "" if error is None else " ".join(c.tag.rpartition("}")[2] + " " + (c.text or "") for c in error).strip()
        return [Seen("refused", text=condition, **base)]
    subject = find_text(message, f"{CLIENT}subject")
    if subject is not None and body is None and message.find(f"{CLIENT}thread") is None:
        return [Seen("topic", text=subject, **base)]
    invite = message.find(f"{MUC_USER}x/{MUC_USER}invite")
    if invite is not None:
        base["who"] = place.where(invite.get("from") or "")[1]  # an account, or an occupant by nick
        base["where"] = place.where(sender)[0]
        return [Seen("invite", text=find_text(invite, f"{MUC_USER}reason") or "", **base)]
    direct = message.find("{jabber:x:conference}x")
    if direct is not None:
        base["where"] = place.where(direct.get("jid") or "")[0]
        return [Seen("invite", text=direct.get("reason") or "", **base)]

    event = message.find("{http://jabber.org/protocol/pubsub#event}event")
    if event is not None:
        out += [Seen("pep", text=items.get("node") or "", **base) for items in event]

    reply = message.find("{urn:xmpp:reply:0}reply")
    replace = message.find("{urn:xmpp:message-correct:0}replace")
    retract = message.find(RETRACT)
    reactions = message.find("{urn:xmpp:reactions:0}reactions")
    received = message.find("{urn:xmpp:receipts}received")
    displayed = message.find("{urn:xmpp:chat-markers:0}displayed")
    for name, word in CHAT_STATES.items():
        if message.find(f"{{http://jabber.org/protocol/chatstates}}{name}") is not None:
            out.append(Seen("typing", text=word, **base))
    if received is not None:
        out.append(Seen("delivered", to=received.get("id"), **base))
    if displayed is not None:
        out.append(Seen("read", to=displayed.get("id"), **base))
    if reactions is not None:
        emoji = sorted((r.text or "") for r in reactions.findall("{urn:xmpp:reactions:0}reaction"))
        out.append(Seen("reaction", to=reactions.get("id"), text=" ".join(emoji), **base))
    elif retract is not None:
        out.append(Seen("retraction", to=retract.get("id"), **base))
    elif replace is not None and body is not None:
        out.append(Seen("edit", to=replace.get("id"), text=body, **base))
    elif body is not None:
        seen = Seen("message", text=body, **base)
        if reply is not None:
            seen.to = reply.get("id")
            seen.text = without_fallback(message, body, "urn:xmpp:reply:0")
        seen.more = {
            **seen.more,
            "body": body,
            "encrypted": any(message.find(tag) is not None for tag in OMEMO),
            "url": find_text(message, "{jabber:x:oob}x/{jabber:x:oob}url"),
            "html": message.find("{http://jabber.org/protocol/xhtml-im}html") is not None,
        }
        out.append(seen)
    return out


class Occupancy:
    """Presence stanzas as joins, parts, kicks, nicks and roles; remembers who was there."""

    def __init__(self, place, me: str):
        self.place, self.me = place, me
        self.rooms: dict[str, dict[str, tuple[str, str]]] = {}
        """room → nick → (affiliation, role)"""

    def understand(self, presence: ET.Element) -> list[Seen]:
        sender, kind = presence.get("from") or "", presence.get("type")
        where, nick = self.place.where(sender)
        show = find_text(presence, f"{CLIENT}show")
        status = find_text(presence, f"{CLIENT}status") or ""
        base = dict(who=nick, where=where, raw=presence, more={"show": show})
        if kind == "error":
            error = presence.find(f"{CLIENT}error")
            text = "" if error is None else " ".join(c.tag.rpartition("}")[2] for c in error)
            return [Seen("refused", text=text, **base)]
        if kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
            return [Seen(kind, **base)]
        if not where.startswith("#"):
            if kind == "unavailable":
                return [Seen("offline", text=status, **base)]
            return [Seen("away" if show in ("away", "xa", "dnd") else "back", text=status, **base)]
        user = presence.find(f"{MUC_USER}x")
        codes = {s.get("code") for s in (user.findall(f"{MUC_USER}status") if user is not None else [])}
        item = user.find(f"{MUC_USER}item") if user is not None else None
        standing = ("none", "none") if item is None else (item.get("affiliation") or "none", item.get("role") or "none")
        base["more"] = {"show": show, "codes": codes, "affiliation": standing[0], "role": standing[1], "self": "110" in codes,
                        "jid": None if item is None else item.get("jid")}  # fmt: skip
        there = self.rooms.setdefault(where, {})
        if kind == "unavailable":
            there.pop(nick, None)
            reason = (find_text(item, f"{MUC_USER}reason") if item is not None else None) or ""
            if "303" in codes and item is not None:
                there[item.get("nick") or ""] = standing
                return [Seen("nick", text=item.get("nick") or "", **base)]
            if "301" in codes:
                return [Seen("ban", text=reason, **base)]
            if "307" in codes:
                return [Seen("kick", text=reason, **base)]
            return [Seen("part", text=status, **base)]
        before = there.get(nick)
        there[nick] = standing
        out = []
        if before is None:
            out.append(Seen("join", text=status, **base))
        else:
            rank = {"visitor": 0, "participant": 1, "moderator": 2}
            old, new = rank.get(before[1], 0), rank.get(standing[1], 0)
            if new != old:
                name = ({0: "unvoice", 1: "voice"} if {old, new} == {0, 1} else {0: "deop", 1: "deop", 2: "op"}).get(new, "op")
                out.append(Seen(name, **base))
        out.append(Seen("away" if show in ("away", "xa", "dnd") else "back", text=status, **base))
        return out

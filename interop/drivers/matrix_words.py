"""Matrix events as what people see."""

from __future__ import annotations

from .person import Seen


def localpart(user: str, domain: str) -> str:
    """`@bob:localhost` → bob; whoever is elsewhere keeps the whole id."""
    name, _, server = user.removeprefix("@").partition(":")
    return name if server == domain else user


class Understanding:
    """Turns events into `Seen`, with the memory that needs: who types, what was said, who was in which room."""

    def __init__(self, me: str, domain: str):
        self.me, self.domain = me, domain
        self.said: dict[str, dict] = {}
        self.typing: dict[str, set[str]] = {}

    def who(self, user: str) -> str:
        return localpart(user, self.domain)

    def timeline(self, event: dict, where: str, live: bool, encrypted: bool) -> list[Seen]:
        ident, content = event.get("event_id"), event.get("content") or {}
        if ident in self.said and self.said[ident].get("type") != "m.room.encrypted":
            return []
        self.said[ident] = event
        kind = event.get("type")
        relation = content.get("m.relates_to") or {}
        base = dict(who=self.who(event.get("sender", "")), where=where, id=ident, archive_id=ident, live=live, raw=event,
                    copy=event.get("sender") == self.me, more={"encrypted": encrypted, "time": event.get("origin_server_ts"), "txn": (event.get("unsigned") or {}).get("transaction_id")})  # fmt: skip
        read = getattr(self, "_" + kind.replace(".", "_").replace("-", "_"), None) if kind else None
        return read(event, content, relation, base) if read else []

    def _m_room_message(self, event, content, relation, base):
        if not content:
            return []  # it was redacted
        body, kind = content.get("body", ""), content.get("msgtype")
        base["more"] |= {"msgtype": kind, "html": content.get("formatted_body"), "url": content.get("url"), "info": content.get("info"),
                         "mentions": (content.get("m.mentions") or {}).get("user_ids", []), "file": content.get("file"),
                         "thread": relation.get("event_id") if relation.get("rel_type") == "m.thread" else None}  # fmt: skip
        if relation.get("rel_type") == "m.replace":
            new = content.get("m.new_content") or {}
            return [Seen("edit", text=_shown(new.get("body", ""), new.get("msgtype")), to=relation.get("event_id"), **base)]
        to = (relation.get("m.in_reply_to") or {}).get("event_id")
        if relation.get("is_falling_back"):
            to = None
        return [Seen("notice" if kind == "m.notice" else "message", text=_shown(body, kind), to=to, **base)]

    def _m_sticker(self, event, content, relation, base):
        base["more"] |= {"url": content.get("url")}
        return [Seen("sticker", text=content.get("body", ""), **base)]

    def _m_room_encrypted(self, event, content, relation, base):
        return [Seen("unreadable", text=content.get("algorithm", ""), **base)] if content else []

    def _m_reaction(self, event, content, relation, base):
        return [Seen("reaction", text=relation.get("key", ""), to=relation.get("event_id"), **base)] if relation else []

    def _m_room_redaction(self, event, content, relation, base):
        target = content.get("redacts") or event.get("redacts")
        before = self.said.get(target) or {}
        if before.get("type") == "m.reaction":
            relation = (before.get("content") or {}).get("m.relates_to") or {}
            return [Seen("reaction", text="", to=relation.get("event_id"), **base)]
        base["more"] |= {"reason": content.get("reason")}
        return [Seen("retraction", to=target, **base)]

    def _m_room_topic(self, event, content, relation, base):
        return [Seen("topic", text=content.get("topic", ""), **base)]

    def _m_room_name(self, event, content, relation, base):
        return [Seen("name", text=content.get("name", ""), **base)]

    def _m_room_avatar(self, event, content, relation, base):
        return [Seen("picture", text=content.get("url", ""), **base)]

    def _m_room_encryption(self, event, content, relation, base):
        return [Seen("encryption", text=content.get("algorithm", ""), **base)]

    def _m_room_member(self, event, content, relation, base):
        before = (event.get("unsigned") or {}).get("prev_content") or event.get("prev_content") or {}
        was, now = before.get("membership", "leave"), content.get("membership")
        by, whom = base["who"], self.who(event.get("state_key", ""))
        base["who"] = whom
        base["more"] |= {"by": by, "displayname": content.get("displayname"), "avatar_url": content.get("avatar_url")}
        reason = content.get("reason", "")
        if now == "join":
            return [Seen("nick" if was == "join" else "join", text=content.get("displayname") or "", **base)]
        if now == "invite":
            base["who"] = by
            return [Seen("invite", text=whom, **base)]
        if now == "ban":
            return [Seen("ban", text=reason, **base)]
        if now == "knock":
            return [Seen("knock", text=reason, **base)]
        if was == "ban":
            return [Seen("unban", **base)]
        return [Seen("part" if by == whom else "kick", text=reason, **base)]

    def ephemeral(self, event: dict, where: str) -> list[Seen]:
        content = event.get("content") or {}
        if event.get("type") == "m.typing":
            now, before = set(content.get("user_ids", [])), self.typing.get(where, set())
            self.typing[where] = now
            changes = [(u, "typing") for u in now - before] + [(u, "stopped") for u in before - now]
            return [Seen("typing", self.who(u), where, text, raw=event) for u, text in changes if u != self.me]
        found = []
        for ident, kinds in content.items() if event.get("type") == "m.receipt" else ():
            for kind in ("m.read", "m.read.private"):
                for user, more in (kinds.get(kind) or {}).items():
                    found.append(Seen("read", self.who(user), where, to=ident, more={"private": kind != "m.read", **more}, raw=event))
        return found

    def presence(self, event: dict) -> Seen:
        content = event.get("content") or {}
        kind = {"online": "back", "unavailable": "away", "offline": "offline"}[content["presence"]]
        return Seen(kind, self.who(event["sender"]), text=content.get("status_msg") or "", raw=event)


def _shown(body: str, kind: str | None) -> str:
    return f"/me {body}" if kind == "m.emote" else body

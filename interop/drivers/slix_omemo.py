"""slixmpp with slixmpp-omemo 2: a person who reads and writes OMEMO (eu.siacs.conversations.axolotl)."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from omemo.storage import Just, Maybe, Nothing, Storage
from slixmpp import JID
from slixmpp.plugins import register_plugin
from slixmpp_omemo import XEP_0384, TrustLevel

from .loop import loop, run
from .person import PATIENCE, Seen
from .slix import Refused, Slixmpp


class Keys(Storage):
    """Keys of one device, in memory and in a file if there is one (so that a device can come back)."""

    def __init__(self, path: Path | None = None):
        super().__init__()
        self.path = path
        self.data: dict[str, Any] = json.loads(path.read_text()) if path and path.exists() else {}

    async def _load(self, key: str) -> Maybe:
        return Just(self.data[key]) if key in self.data else Nothing()

    async def _store(self, key: str, value) -> None:
        self.data[key] = value
        self._write()

    async def _delete(self, key: str) -> None:
        self.data.pop(key, None)
        self._write()

    def _write(self) -> None:
        if self.path:
            self.path.write_text(json.dumps(self.data))


class Plugin(XEP_0384):
    """Trusts every device that it meets, as plays do."""

    default_config = {"fallback_message": "This message is OMEMO encrypted.", "keys": None}

    @property
    def storage(self) -> Storage:
        return self.keys

    @property
    def _btbv_enabled(self) -> bool:
        return True

    async def _prompt_manual_trust(self, manually_trusted, identifier) -> None:
        manager = await self.get_session_manager()
        for device in manually_trusted:
            await manager.set_trust(device.bare_jid, device.identity_key, TrustLevel.TRUSTED.value)


register_plugin(Plugin)


class SlixmppOmemo(Slixmpp):
    """Like Slixmpp, and `whispers` says encrypted. What was decrypted is seen as a message with more["encrypted"]."""

    program = "slixmpp with OMEMO"

    def __init__(self, place, name: str, device: str = "omemo", *, keys: Path | None = None, **more):
        self._keys = Keys(keys)
        super().__init__(place, name, device, **more)

        async def ready():
            manager = await self.client.plugin["xep_0384"].get_session_manager()
            return (await manager.get_own_device_information())[0].device_id

        self.device_id = run(ready(), 90)

    def _adds_plugins(self, client) -> None:
        client.register_plugin("xep_0280")
        client.register_plugin("xep_0380")
        client.register_plugin("xep_0384", {"keys": self._keys}, module=__import__(__name__, fromlist=["Plugin"]))

    def _reads_message(self, xml: ET.Element) -> list[Seen]:
        out = super()._reads_message(xml)
        for seen in out:
            if seen.kind == "message" and seen.more.get("encrypted"):
                seen.kind = "encrypted"  # until it is read
                loop().create_task(self._decrypts(seen))
        return out

    async def _decrypts(self, seen: Seen) -> None:
        plugin = self.client.plugin["xep_0384"]
        stanza = self.client._build_stanza(seen.raw)
        try:
            plain, device = await plugin.decrypt_message(stanza)
        except Exception as why:
            self.note(f"== could not decrypt: {why!r}")
            self.saw(Seen("undecryptable", seen.who, seen.where, repr(why), seen.id, seen.archive_id))
            return
        more = {**seen.more, "device": device.device_id}
        self.saw(Seen("message", seen.who, seen.where, plain["body"], seen.id, seen.archive_id, live=seen.live, copy=seen.copy,
                      more=more, raw=seen.raw))  # fmt: skip

    def whispers(self, where: str, text: str) -> Seen:
        """Say it encrypted to every device of the other side (in a room: of everybody who belongs to it) and the own ones."""
        room = where.startswith("#")
        to = JID(self.place.jid(where))

        async def go():
            stanza = self.client.make_message(mto=to, mtype="groupchat" if room else "chat")
            stanza["body"] = text
            people = await self._belong(where) if room else {to}
            encrypted, errors = await self.client.plugin["xep_0384"].encrypt_message(stanza, people)
            for error in errors:
                self.note(f"== {error}")
            assert encrypted is not None
            encrypted.xml.append(ET.fromstring("<encryption xmlns='urn:xmpp:eme:0' name='OMEMO' namespace='eu.siacs.conversations.axolotl'/>"))
            encrypted.send()
            return encrypted["id"]

        ident = run(go(), 90)
        if room:
            return self.waits("the room's reflection", lambda: self.find(None, id=ident, where=where), PATIENCE)[0]
        return Seen("message", self.name, where, text, ident, more={"encrypted": True})

    async def _belong(self, room: str) -> set[JID]:
        jids = set()
        for affiliation in ("owner", "admin", "member"):
            answer = await self.client.plugin["xep_0045"].get_affiliation_list(JID(self.place.jid(room)), affiliation)
            jids |= {JID(JID(one).bare) for one in answer}
        jids.discard(JID(self.place.jid(self.name)))
        return jids

    def device_list(self, who: str) -> set[int]:
        """The devices that an account announces."""
        try:
            found = self.items("eu.siacs.conversations.axolotl.devicelist", who)
        except Refused as why:
            if why.condition != "item-not-found":
                raise
            return set()
        return {int(d.get("id")) for payload in found.values() for d in (payload if payload is not None else [])}



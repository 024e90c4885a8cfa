"""matrix-nio as a child of the plays: JSON lines in (verbs), JSON lines out (what it understood). See drivers/matrix.py."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import json
import logging
import ssl
import sys

import nio
from nio import AsyncClient, AsyncClientConfig

OPTIONS = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
logging.basicConfig(stream=sys.stderr, level=logging.INFO)


def out(event: str, **what) -> None:
    sys.stdout.write(json.dumps({"event": event, **what}) + "\n")
    sys.stdout.flush()


class Refused(Exception):
    """The server said no."""


class Client(AsyncClient):
    """Keeps what the server answered to the last sync, word for word."""

    raw: dict = {}

    async def parse_body(self, transport_response):
        body = await super().parse_body(transport_response)
        if transport_response.url.path.endswith("/sync"):
            self.raw = copy.deepcopy(body)  # nio takes parts out of what it parses
        return body


def good(answer):
    if isinstance(answer, nio.ErrorResponse):
        raise Refused(f"{answer.status_code or ''} {answer.message}")
    return answer


class Child:
    def __init__(self):
        config = AsyncClientConfig(store_sync_tokens=True, encryption_enabled=True, max_limit_exceeded=5, max_timeouts=60,
                                   max_timeout_retry_wait_time=1, request_timeout=40)  # fmt: skip
        trust = ssl.create_default_context(cafile=OPTIONS["ca"])
        self.client = Client(OPTIONS["url"], OPTIONS["user"], store_path=OPTIONS["store"], config=config, ssl=trust)
        self.unread: list = []
        self.stop = asyncio.Event()

    async def begins(self) -> None:
        self.client.device_id = OPTIONS.get("device_id")
        answer = good(await self.client.login(OPTIONS["password"], OPTIONS["device"]))
        out("in", user=answer.user_id, device=answer.device_id, token=answer.access_token)
        if OPTIONS.get("listens", True):
            asyncio.get_running_loop().create_task(self.syncs())
        else:
            out("ready")

    # What comes.
    async def syncs(self) -> None:
        first = True
        while not self.stop.is_set():
            try:
                answer = await self.client.sync(timeout=0 if first else 10_000, full_state=first, set_presence="online")
            except Exception as why:  # the server may be gone for a while
                out("trouble", text=repr(why))
                await asyncio.sleep(0.3)
                continue
            if isinstance(answer, nio.ErrorResponse):
                out("trouble", text=str(answer))
                if answer.status_code in ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"):
                    return
                await asyncio.sleep(0.3)
                continue
            self.tells(answer, first)
            await self.keeps_house(answer)
            if first:
                out("ready")
            first = False

    def tells(self, answer, first: bool) -> None:
        raw = self.client.raw
        for event in raw.get("account_data", {}).get("events", []):
            out("account_data", data=event)
        for event in raw.get("presence", {}).get("events", []):
            out("presence", data=event)
        rooms = raw.get("rooms", {})
        for room, info in rooms.get("invite", {}).items():
            for event in info.get("invite_state", {}).get("events", []):
                out("state", room=room, data=event)
            out("membership", room=room, membership="invite")
        for kind in ("join", "leave"):
            for room, info in rooms.get(kind, {}).items():
                known = answer.rooms.join if kind == "join" else answer.rooms.leave
                for event in info.get("state", {}).get("events", []):
                    out("state", room=room, data=event)
                out("membership", room=room, membership=kind)
                for event, sent in zip(known[room].timeline.events, info.get("timeline", {}).get("events", []), strict=True):
                    self.tells_event(room, event, sent, not first)
                for event in info.get("ephemeral", {}).get("events", []):
                    out("ephemeral", room=room, data=event)
                for event in info.get("account_data", {}).get("events", []):
                    out("account_data", room=room, data=event)

    def tells_event(self, room: str, event, sent: dict, live: bool) -> None:
        if isinstance(event, nio.MegolmEvent):
            self.unread.append((room, event, live))
        clear = bool(getattr(event, "decrypted", False))
        out("timeline", room=room, data=event.source if clear else sent, live=live, encrypted=clear)

    async def keeps_house(self, answer) -> None:
        client = self.client
        if client.should_upload_keys:
            await client.keys_upload()
        if client.should_query_keys:
            await client.keys_query()
        if client.should_claim_keys:
            await client.keys_claim(client.get_users_for_key_claiming())
        await client.send_to_device_messages()
        again, self.unread = self.unread, []
        for room, event, live in again:
            try:
                clear = client.decrypt_event(event)
            except nio.EncryptionError:
                self.unread.append((room, event, live))
                continue
            out("timeline", room=room, data=clear.source, live=live, encrypted=True)

    # What is to be done.
    async def answers(self, command: dict) -> None:
        try:
            data = await getattr(self, f"do_{command.pop('verb')}")(**{k: v for k, v in command.items() if k != "id"})
            out("answer", id=command["id"], data=data)
        except Exception as why:
            out("answer", id=command["id"], error=str(why) or repr(why))

    async def do_send(self, room, type, content, txn=None):
        return good(await self.client.room_send(room, type, content, tx_id=txn, ignore_unverified_devices=True)).event_id

    async def do_state(self, room, type, content, key=""):
        return good(await self.client.room_put_state(room, type, content, key)).event_id

    async def do_redact(self, room, event, reason=None):
        return good(await self.client.room_redact(room, event, reason)).event_id

    async def do_create(self, alias=None, name=None, invite=(), direct=False, encrypted=False, public=False):
        state = [nio.EnableEncryptionBuilder().as_dict()] if encrypted else []
        made = await self.client.room_create(
            visibility=nio.RoomVisibility.public if public else nio.RoomVisibility.private, alias=alias, name=name, invite=list(invite),
            is_direct=direct, initial_state=state,
            preset=nio.RoomPreset.public_chat if public else nio.RoomPreset.trusted_private_chat if direct else nio.RoomPreset.private_chat,
        )  # fmt: skip
        return good(made).room_id

    async def do_join(self, room):
        return good(await self.client.join(room)).room_id

    async def do_leave(self, room):
        good(await self.client.room_leave(room))

    async def do_invite(self, room, user):
        good(await self.client.room_invite(room, user))

    async def do_kick(self, room, user, reason=None):
        good(await self.client.room_kick(room, user, reason))

    async def do_ban(self, room, user, reason=None):
        good(await self.client.room_ban(room, user, reason))

    async def do_unban(self, room, user):
        good(await self.client.room_unban(room, user))

    async def do_typing(self, room, on=True):
        good(await self.client.room_typing(room, on, 30_000))

    async def do_read(self, room, event):
        good(await self.client.room_read_markers(room, event, event))

    async def do_presence(self, presence, status=None):
        good(await self.client.set_presence(presence, status))

    async def do_upload(self, name, type, data):
        import io

        content = base64.b64decode(data)
        answer, _ = await self.client.upload(io.BytesIO(content), type, name, filesize=len(content))
        return good(answer).content_uri

    async def do_download(self, mxc):
        return base64.b64encode(good(await self.client.download(mxc)).body).decode()

    async def do_thumbnail(self, mxc, width, height):
        server, media = mxc.removeprefix("mxc://").split("/")
        return base64.b64encode(good(await self.client.thumbnail(server, media, width, height)).body).decode()

    async def do_set_name(self, name):
        good(await self.client.set_displayname(name))

    async def do_set_picture(self, mxc):
        good(await self.client.set_avatar(mxc))

    async def do_profile(self, user):
        found = good(await self.client.get_profile(user))
        return {"displayname": found.displayname, "avatar_url": found.avatar_url}

    async def do_messages(self, room, page=10):
        """The whole history, oldest first."""
        events, start = [], None
        while True:
            got = good(await self.client.room_messages(room, start, limit=page))
            for event in got.chunk:
                if isinstance(event, nio.MegolmEvent):
                    with contextlib.suppress(nio.EncryptionError):
                        event = self.client.decrypt_event(event)
                events.append(event.source)
            if not got.end or not got.chunk and got.end == start:
                return events[::-1]
            start = got.end

    async def do_logout(self):
        good(await self.client.logout())
        self.stop.set()

    async def do_stop(self):
        self.stop.set()
        await self.client.close()
        asyncio.get_running_loop().call_later(0.05, sys.exit)


async def main() -> None:
    child = Child()
    try:
        await child.begins()
    except Exception as why:
        out("failed", text=str(why) or repr(why))
        await child.client.close()
        return
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks = set()
    while line := await reader.readline():
        task = asyncio.create_task(child.answers(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await child.client.close()


if __name__ == "__main__":
    asyncio.run(main())

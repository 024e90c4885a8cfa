"""A full disk is each protocol's temporary error, and passes without a restart. A failed fsync ends the node before it can lie."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
import uuid
from pathlib import Path

import aiohttp
import pytest

from faults.lines import Irc
from faults.stanzas import CLIENT, PATIENCE, Gone, Refused, Xmpp
from faults.town import Town, check

pytestmark = [pytest.mark.sammen, pytest.mark.timeout(300)]
MiB = 1 << 20


class Pair:
    """alice on XMPP and bob on IRC, both in the room."""

    def __init__(self, town: Town):
        self.town = town

    async def __aenter__(self) -> "Pair":
        self.alice, self.bob = Xmpp(self.town, "alice"), Irc(self.town, "bob")
        await self.alice.signs_in()
        self.alice.sends("<presence/>")
        await self.alice.joins("#town")
        await self.bob.signs_in()
        await self.bob.joins("#town")
        return self

    async def __aexit__(self, *why) -> None:
        await self.alice.leaves()
        await self.bob.leaves()

    async def alice_says(self, text: str, payload: str = "", patience: float = PATIENCE) -> str:
        """The id that the room gave it, or Refused."""
        id = uuid.uuid4().hex
        answer = self.alice.expected(lambda e: e.tag == f"{CLIENT}message" and e.get("id") == id)
        self.alice.sends(f"<message to='{self.town.jid('#town')}' type='groupchat' id='{id}'><body>{text}</body>{payload}</message>")
        came = await asyncio.wait_for(answer, patience)
        if came.get("type") == "error":
            raise Refused(came)
        return next(s.get("id") for s in came.iter("{urn:xmpp:sid:0}stanza-id") if s.get("by") == self.town.jid("#town"))

    async def bob_says(self, text: str) -> str:
        """The msgid of the echo, or an error line."""
        for line in await self.bob.asks(f"PRIVMSG #town :{text}"):
            if line.command == "PRIVMSG" and line.params[-1] == text:
                return line.tags["msgid"]
            if line.command in ("FAIL", "404", "400"):
                raise AssertionError(" ".join((line.command, *line.params)))
        raise AssertionError("neither an echo nor an error")

    async def both_say(self, text: str) -> None:
        await self.alice_says(f"{text} from alice")
        await self.bob_says(f"{text} from bob")


async def fills(pair: Pair, tell: str) -> Refused:
    """alice writes until there is no room. Every message is either acknowledged or refused."""
    for number in range(4000):
        try:
            await pair.alice_says(f"{tell} {number}", f"<ballast xmlns='urn:example:ballast'>{uuid.uuid4().hex * 1000}</ballast>")
        except Refused as why:
            return why
    raise AssertionError("the disk never was full")


async def play(town: Town, begins, ends) -> None:
    async with Pair(town) as pair:
        pid = town.program.process.pid
        await pair.both_say("before")
        slot = await asks_slot(pair, 3 * MiB)
        begins()
        why = await fills(pair, "more")
        assert (why.condition, why.kind) == ("resource-constraint", "wait"), f"XMPP says {why}"
        # The last pages may still hold a small message: bob writes long ones.
        for number in range(200):
            try:
                await pair.bob_says(f"more {number} " + "y" * 350)
            except AssertionError as error:
                assert re.search(r"TEMPORARILY_UNAVAILABLE|full|try later", str(error)), f"IRC says {error}"
                break
        else:
            raise AssertionError("IRC wrote on although XMPP was refused")
        status = await put(town, slot, 3 * MiB)
        assert status in (503, 507), f"HTTP says {status}"
        # Reading goes on, on both protocols.
        history = await pair.alice.history("#town")
        assert {"before from alice", "before from bob"} <= {text for _, _, text in history}
        assert [id for id, _, _ in history] == [id for id, _, _ in await pair.bob.history("#town")]
        ends()
        # Writing resumes on the same connections, without a restart.
        await pair.both_say("after")
        assert await put(town, slot, 3 * MiB) == 201
        assert town.program.alive and town.program.process.pid == pid
        after = await pair.alice.history("#town")
        assert [text for _, _, text in after if text and text.startswith("after")] == ["after from alice", "after from bob"]
        ids = [id for id, _, _ in after]
        assert len(set(ids)) == len(ids)


async def takes_back(pair: Pair, mine: str, theirs: str) -> None:
    gone = pair.alice.expected(
        lambda e: e.tag == f"{CLIENT}message" and (e.get("type") == "error" or any(r.get("id") == mine for r in e.iter("{urn:xmpp:message-retract:1}retract")))
    )
    pair.alice.sends(
        f"<message to='{pair.town.jid('#town')}' type='groupchat' id='{uuid.uuid4().hex}'><retract xmlns='urn:xmpp:message-retract:1' id='{mine}'/>"
        "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/><body>taken back</body><store xmlns='urn:xmpp:hints'/></message>"
    )
    came = await asyncio.wait_for(gone, PATIENCE)
    assert came.get("type") != "error", f"nothing can be deleted while the disk is full: {Refused(came)}"
    got = await pair.bob.asks(f"REDACT #town {theirs} :sorry")
    assert not [x for x in got if x.command in ("FAIL", "404")], f"nothing can be redacted while the disk is full: {got}"


async def asks_slot(pair: Pair, size: int):
    return await pair.alice.asks(
        "get",
        f"<request xmlns='urn:xmpp:http:upload:0' filename='f.bin' size='{size}' content-type='application/octet-stream'/>",
        f"upload.{pair.town.domain}",
    )


async def put(town: Town, slot, size: int) -> int:
    there = slot.find(".//{urn:xmpp:http:upload:0}put")
    headers = {h.get("name"): h.text for h in there} | {"content-type": "application/octet-stream"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=town.tls())) as web:
        try:
            async with web.put(there.get("url"), data=bytes(size), headers=headers) as answer:
                return answer.status
        except aiohttp.ClientOSError:
            return 503  # the connection was closed before all of it was taken: told as plainly as HTTP/1.1 can


@pytest.mark.parametrize("trouble", ["disk_is_full", "quota_is_reached"])
def test_a_full_disk(town, layer, trouble):
    node = town(layer)
    asyncio.run(play(node, getattr(node.faults, trouble), node.faults.are_over))
    node.program.stop()
    assert check(node.data) == []


def test_deleting_goes_on_while_the_disk_is_full(town, layer):
    node = town(layer)
    asyncio.run(deletes(node))


async def deletes(node: Town) -> None:
    await deletes_while(node, node.faults.disk_is_full, node.faults.are_over)


async def deletes_while(node: Town, begins, ends) -> None:
    async with Pair(node) as pair:
        spoken = [(await pair.alice_says(f"to be taken back {n}"), await pair.bob_says(f"to be redacted {n}")) for n in range(20)]
        begins()
        await fills(pair, "more")
        for mine, theirs in spoken:
            await takes_back(pair, mine, theirs)
            # What erasing needs is not there for anything else.
            with pytest.raises(Refused):
                await pair.alice_says("no room for this")
        left = {text for _, _, text in await pair.alice.history("#town") if text}
        assert not [text for text in left if text.startswith("to be")]
        assert "no room for this" not in left
        ends()
        await pair.both_say("after")
    node.program.stop()
    assert check(node.data) == []


def test_deleting_goes_on_on_a_small_disk(town):
    """A real one, which somebody else filled to the last byte."""
    node = town(small=24 * MiB)
    filler = node.data / "tmp" / "somebody-elses-file"
    asyncio.run(deletes_while(node, lambda: fills_up(filler), filler.unlink))


def test_who_comes_while_the_disk_is_full_can_read(town, layer):
    """A new session needs nothing of the disk: the device that it comes from can be written down later."""
    node = town(layer)
    asyncio.run(comes_to_read(node))


async def comes_to_read(node: Town) -> None:
    async with Pair(node) as pair:
        await pair.both_say("before")
        node.faults.disk_is_full()
        await fills(pair, "more")
        async with Irc(node, "alice") as on_irc:
            assert {"before from alice", "before from bob"} <= {text for _, _, text in await on_irc.history("#town")}
        async with Xmpp(node, "bob") as on_xmpp:
            assert {"before from alice", "before from bob"} <= {text for _, _, text in await on_xmpp.history("#town")}


def fills_up(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_small_disk(town):
    """A real one, in memory; where the system lets us mount."""
    node = town(small=24 * MiB)
    filler = node.data / "tmp" / "somebody-elses-file"
    asyncio.run(play(node, lambda: fills_up(filler), filler.unlink))
    node.program.stop()
    assert check(node.data) == []


@pytest.mark.parametrize("trouble", ["fsync_fails", "fsync_fails_once"])
def test_a_failed_fsync_stops_the_node(town, layer, trouble):
    node = town(layer)
    asyncio.run(until_it_stops(node, getattr(node.faults, trouble)))
    node.program.process.wait(30)
    assert node.program.process.returncode not in (0, None), "the node ended as if all were well"
    assert re.search(r"fsync|disk|I/O|stor", node.logs(), re.I), f"no clear line: {node.logs()}"
    node.faults.are_over()
    node.start_again()
    asyncio.run(afterwards(node))
    node.program.stop()
    assert check(node.data) == []


async def until_it_stops(node: Town, begins) -> None:
    pair = await Pair(node).__aenter__()
    await pair.both_say("before")
    begins()
    with pytest.raises((Gone, asyncio.TimeoutError, Refused)):
        await pair.alice_says("never acknowledged", patience=30)
    began = time.monotonic()
    while node.program.alive:
        assert time.monotonic() - began < 30, f"the node goes on after a failed fsync: {node.logs()}"
        await asyncio.sleep(0.05)
    await pair.alice.drops()
    await pair.bob.drops()


async def afterwards(node: Town) -> None:
    async with Pair(node) as pair:
        texts = [text for _, _, text in await pair.alice.history("#town")]
        assert texts.count("before from alice") == texts.count("before from bob") == 1
        assert texts.count("never acknowledged") <= 1
        await pair.both_say("after")

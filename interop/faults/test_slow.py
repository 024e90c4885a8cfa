"""A client that reads nothing at full load: the node's memory stays bounded, others are served, nothing is lost to the slow one."""

from __future__ import annotations

import asyncio
import time

import pytest

from faults.crowd import Ear, OnIrc, OnXmpp, Sender, judge
from faults.lines import Irc
from faults.stanzas import Gone, Xmpp
from faults.town import SOAK, Town

pytestmark = [pytest.mark.sammen, pytest.mark.timeout(900)]
MiB = 1 << 20
PILE = (200 if SOAK else 24) * MiB
"""What would have piled up before each of those who don't read."""
BOUND = 48 * MiB
"""What the node may need beyond that of the same load without slow clients: caches, queues, and the allocator's slack."""
BALLAST = 8000


class Silent:
    """Signs in, enters the room and reads no more. Its socket holds as little as the system allows."""

    def __init__(self, town: Town, name: str, kind):
        self.client, self.kind = kind(town, name, buffer=4096), kind

    async def comes(self) -> None:
        await self.client.signs_in()
        if self.kind is Xmpp:
            self.client.sends("<presence/>")
        await self.client.joins("#town")
        self.client.writer.transport.pause_reading()


def test_who_reads_nothing(town, request):
    node = town()
    node.people("slowx", "slowi", "nina", *(f"xena{n}" for n in range(4)), *(f"iris{n}" for n in range(2)))
    asyncio.run(play(node))


async def play(node: Town) -> None:
    # The partner makes them speak directly too; here everything goes to the room.
    senders: list[Sender] = [OnXmpp(node, f"xena{n}", "", length=300, ballast=BALLAST) for n in range(4)]
    senders += [OnIrc(node, f"iris{n}", "", length=300) for n in range(2)]
    for sender in senders:
        await sender.comes()
    # The same load without them first, so that what it costs by itself (caches, search) does not count.
    await talk(senders, PILE)
    before = node.memory()
    slow = [Silent(node, "slowx", Xmpp), Silent(node, "slowi", Irc)]
    for one in slow:
        await one.comes()
    began = spoken(senders)
    peak, waits = before, []
    nina = Xmpp(node, "nina")
    await nina.signs_in()
    stop = asyncio.Event()
    talks = [asyncio.create_task(s.talks(stop)) for s in senders]
    end = time.monotonic() + 600
    while spoken(senders) - began < PILE:
        assert time.monotonic() < end and not any(s.client.gone.is_set() for s in senders), "the load does not go on"
        asked = time.monotonic()
        await nina.asks("get", "<ping xmlns='urn:xmpp:ping'/>", patience=20)
        waits.append(time.monotonic() - asked)
        peak = max(peak, node.memory())
        await asyncio.sleep(0.1)
    stop.set()
    await asyncio.gather(*talks)
    await asyncio.gather(*(s.settles() for s in senders))
    peak = max(peak, node.memory())
    print(f"{(spoken(senders) - began) / MiB:.0f} MiB in {sum(len(s.said) for s in senders)} messages; memory {before / MiB:.0f} -> {peak / MiB:.0f} MiB; longest ping {max(waits):.2f} s")
    assert peak - before < BOUND, f"memory grew by {(peak - before) / MiB:.0f} MiB for two who read nothing"
    assert not any(s.refused for s in senders), [s.refused[:3] for s in senders if s.refused]
    await nina.leaves()
    # They read again: from the connection if it is still there, and else from the history. Each message once.
    for one in slow:
        await one.client.drops()
        again = one.kind(node, one.client.name)
        await again.signs_in()
        if one.kind is Xmpp:
            again.sends("<presence/>")
        await again.joins("#town")
        history = await again.history("#town", page=50)
        judge(senders, "#town", history)
        assert sum(1 for m in history if m[1] in {s.name for s in senders}) == sum(len(s.said) for s in senders)
        await again.leaves()
    for sender in senders:
        await sender.client.leaves()


def spoken(senders: list[Sender]) -> int:
    """Bytes, roughly."""
    return sum(len(s.said) * (150 + s.ballast) for s in senders)


async def talk(senders: list[Sender], until: int) -> None:
    stop = asyncio.Event()
    talks = [asyncio.create_task(s.talks(stop)) for s in senders]
    while spoken(senders) < until and not any(t.done() for t in talks):
        await asyncio.sleep(0.05)
    stop.set()
    await asyncio.gather(*talks)
    await asyncio.gather(*(s.settles() for s in senders))


def test_who_reads_slowly_gets_everything_in_order(town):
    """Not silent, only slow: what comes through the connection and the history together is each message once."""
    node = town()
    node.people("slowx", "xena0", "iris0")
    asyncio.run(slowly(node))


async def slowly(node: Town) -> None:
    ear = Ear(node, "slowx", Xmpp)
    await ear.comes()
    senders: list[Sender] = [OnXmpp(node, "xena0", "", length=300, ballast=BALLAST), OnIrc(node, "iris0", "", length=300)]
    for sender in senders:
        await sender.comes()
    ear.client.writer.transport.pause_reading()
    await talk(senders, 8 * MiB)
    ear.client.writer.transport.resume_reading()
    said = sum(len(s.said) for s in senders)
    try:
        async with asyncio.timeout(60):
            while len(ear.ids) < said:
                if ear.client.gone.is_set():
                    raise Gone
                await asyncio.sleep(0.05)
    except Gone:
        await ear.comes()  # it was shown out; the history has the rest
    history = await senders[0].client.history("#town")
    judge(senders, "#town", history)
    assert ear.ids == [id for id, _, _ in history][-len(ear.ids) :]
    assert len(ear.ids) == said
    for one in (ear, *senders):
        await one.client.leaves()

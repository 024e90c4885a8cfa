"""A steady load on both protocols while people come and go: nothing is lost, and the node does not grow with the hours.

SOAK=1 goes on for an hour instead of 20 seconds.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from faults.crowd import Ear, OnIrc, OnXmpp, Sender, judge
from faults.lines import Irc
from faults.stanzas import Xmpp
from faults.town import SOAK, Town

pytestmark = [pytest.mark.sammen, pytest.mark.timeout(3 * 3600 if SOAK else 300)]
MiB = 1 << 20
SECONDS = float(os.environ.get("LOAD_SECONDS") or (3600 if SOAK else 20))
PAIRS = 10
EACH = 5.0
"""Messages a second of each sender."""
GROWTH = 32 * MiB
"""What the second half may add to the highest memory of the first: caches that fill, and the allocator's slack."""


def cpu(node: Town) -> float:
    """Seconds of processor time that the node used."""
    fields = Path(f"/proc/{node.program.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_hours(town, request):
    node = town()
    names = [(f"xena{n}", f"iris{n}") for n in range(PAIRS)]
    node.people(*(name for pair in names for name in pair), "carla", "carlo")
    asyncio.run(play(node, names))


async def play(node: Town, names: list[tuple[str, str]]) -> None:
    senders: list[Sender] = []
    for on_xmpp, on_irc in names:
        senders += [OnXmpp(node, on_xmpp, on_irc), OnIrc(node, on_irc, on_xmpp)]
    ears = [Ear(node, "carla", Xmpp), Ear(node, "carlo", Irc)]
    for one in (*senders, *ears):
        await one.comes()
    stop, begun = asyncio.Event(), time.monotonic()
    talks = [asyncio.create_task(paced(s, stop)) for s in senders]
    passing = asyncio.create_task(pass_by(node, ears, stop))
    memory: list[int] = []
    used = cpu(node)
    while (gone := time.monotonic() - begun) < SECONDS:
        await asyncio.sleep(min(1, SECONDS - gone))
        memory.append(node.memory())
        over = [t for t in (*talks, passing) if t.done()]
        assert not over, f"the load does not go on: {over[0].exception()}"
    stop.set()
    await asyncio.gather(*talks, passing)
    await asyncio.gather(*(s.settles() for s in senders))
    used, said = cpu(node) - used, sum(len(s.said) for s in senders)
    half = len(memory) // 2
    first, second = max(memory[:half]), max(memory[half:])
    print(f"{said} messages in {SECONDS:.0f} s, {used / said * 1e6:.0f} µs of CPU each; memory at most {first / MiB:.0f} MiB in the first half, {second / MiB:.0f} in the second")
    refused = {str(s): s.refused[:3] for s in senders if s.refused}
    assert not refused, f"refused: {refused}"
    assert second - first < GROWTH, f"memory grew from {first / MiB:.0f} to {second / MiB:.0f} MiB"

    for ear in ears:
        await ear.client.drops()
        await ear.comes()  # what it missed at the very end
    by_mam, by_chathistory = await ears[0].client.history("#town"), await ears[1].client.history("#town")
    judge(senders, "#town", by_mam)
    assert by_mam == by_chathistory, "the two protocols tell two histories"
    ids = [id for id, _, _ in by_mam]
    for ear in ears:
        assert ear.ids == ids[ids.index(ear.ids[0]) :], f"{ear.name} on {ear.kind.__name__} did not get each message once, in order"
    for one in (*senders, *ears):
        await one.client.leaves()


async def paced(sender: Sender, stop: asyncio.Event) -> None:
    """One message at a time, at a person's irregular pace, and now and then a connection that is cut and taken up again."""
    chance = random.Random(sender.name)
    while not stop.is_set():
        sender.speaks(sender.next())
        await sender.client.writer.drain()
        if chance.random() < 0.002:
            await sender.client.drops()
            await sender.comes_back()
        await asyncio.sleep(chance.expovariate(EACH))


async def pass_by(node: Town, ears: list[Ear], stop: asyncio.Event) -> None:
    """Listeners that drop out and read what they missed, by turns."""
    turn = 0
    while not stop.is_set():
        ear = ears[turn % len(ears)]
        await ear.client.drops()
        await asyncio.sleep(1)
        await ear.comes()
        turn += 1
        await asyncio.sleep(2)

"""A steady load on both protocols while people come and go: nothing is lost, and the node does not grow with the hours.

SOAK=1 goes on for an hour instead of 20 seconds, at less than half of the rate, so that other work can go on beside it.
LOAD_SECONDS and LOAD_RATE (messages a second, of all together) say otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
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
RATE = float(os.environ.get("LOAD_RATE") or (40 if SOAK else 100))
"""Messages a second of all senders together."""
GROWTH = 32 * MiB
"""What the second half may add to the highest memory of the first: caches that fill, and the allocator's slack."""


FILES = 2 * PAIRS + 16
"""What the second half may add to the most open files of the first: everybody connected twice for a moment, and the database's."""


def cpu(node: Town) -> float:
    """Seconds of processor time that the node used."""
    fields = Path(f"/proc/{node.program.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def files(node: Town) -> int:
    """Files and sockets that the node has open."""
    return len(os.listdir(f"/proc/{node.program.process.pid}/fd"))


def size(node: Town) -> int:
    """Bytes of the data folder. A file may go while they are counted."""
    total = 0
    for path in node.data.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


class Course:
    """A figure over time."""

    def __init__(self) -> None:
        self.values: list[int] = []

    def halves(self) -> tuple[int, int]:
        """The highest of the first half and of the second."""
        half = len(self.values) // 2
        return max(self.values[:half]), max(self.values[half:])

    def told(self, unit: int = 1) -> str:
        """For people."""
        values = [self.values[0], *self.halves(), self.values[-1]]
        return "first {}, most {} in the first half and {} in the second, last {}".format(*(f"{v / unit:.{int(unit > 1)}f}" for v in values))


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
    memory, opened, folder = Course(), Course(), Course()
    used, ours = cpu(node), time.process_time()
    while (gone := time.monotonic() - begun) < SECONDS:
        await asyncio.sleep(min(1, SECONDS - gone))
        memory.values.append(node.memory())
        opened.values.append(files(node))
        folder.values.append(size(node))
        over = [t for t in (*talks, passing) if t.done()]
        assert not over, f"the load does not go on: {over[0].exception()}"
    stop.set()
    await asyncio.gather(*talks, passing)
    await asyncio.gather(*(s.settles() for s in senders))
    used, said = cpu(node) - used, sum(len(s.said) for s in senders)
    ours = time.process_time() - ours
    print(f"{said} messages in {SECONDS:.0f} s; the node used {used:.0f} s of CPU, {used / said * 1e6:.0f} µs a message; the crowd {ours:.0f} s")
    print(f"resident memory, MiB: {memory.told(MiB)}")
    print(f"open files: {opened.told()}")
    print(f"data folder, MiB: {folder.told(MiB)}; {(folder.values[-1] - folder.values[0]) / said:.0f} bytes a message")
    refused = {str(s): s.refused[:3] for s in senders if s.refused}
    assert not refused, f"refused: {refused}"
    for course, most, what in ((memory, GROWTH, "resident memory"), (opened, FILES, "open files")):
        first, second = course.halves()
        assert second - first < most, f"{what} grew from {first} to {second}"

    for ear in ears:
        await ear.client.drops()
        await ear.comes()  # what it missed at the very end
    by_mam, by_chathistory = await ears[0].client.history("#town"), await ears[1].client.history("#town")
    judge(senders, "#town", by_mam)
    assert by_mam == by_chathistory, "the two protocols tell two histories"
    ids = [id for id, _, _ in by_mam]
    for ear in ears:
        assert ear.ids == ids[ids.index(ear.ids[0]) :], f"{ear.name} on {ear.kind.__name__} did not get each message once, in order"
    print(f"the room's {len(by_mam)} messages are in both archives once and in order")
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
        await asyncio.sleep(chance.expovariate(RATE / (2 * PAIRS)))


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

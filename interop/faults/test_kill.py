"""`kill -9` at a random moment under 50 senders on both protocols: what was acknowledged is there once, in order, for everybody.

SEED=n chooses the moments; SOAK=1 kills twenty times instead of three.
"""

from __future__ import annotations

import asyncio
import os
import random
import time

import pytest

from faults.crowd import Ear, OnIrc, OnXmpp, Sender, judge
from faults.lines import Irc
from faults.stanzas import Xmpp
from faults.town import SOAK, Town

pytestmark = [pytest.mark.sammen, pytest.mark.timeout(900)]
SEED = int(os.environ.get("SEED") or random.randrange(1 << 30))
PAIRS = 25


@pytest.fixture(scope="module")
def crowd():
    """A node of 25 pairs: one on XMPP, one on IRC, who also talk to each other directly. Each kill goes on with what is there."""
    node = Town()
    people = [(f"xena{n}", f"iris{n}") for n in range(PAIRS)]
    node.people(*(name for pair in people for name in pair))
    senders: list[Sender] = []
    for on_xmpp, on_irc in people:
        senders += [OnXmpp(node, on_xmpp, on_irc), OnIrc(node, on_irc, on_xmpp)]
    with asyncio.Runner() as runner:
        yield node, senders, runner
    node.stop()


async def together(work, at_once: int = 10) -> None:
    """All of it, some at a time: a whole crowd at the door is another play."""
    gate = asyncio.Semaphore(at_once)

    async def one(item):
        async with gate:
            await item

    async with asyncio.TaskGroup() as group:
        for item in work:
            group.create_task(one(item))


@pytest.mark.parametrize("number", range(20 if SOAK else 3))
def test_what_was_acknowledged_survives(crowd, number, request):
    node, senders, runner = crowd
    request.node.people = [node]
    chance = random.Random(SEED + number)
    moment = chance.uniform(0.3, 4)
    print(f"SEED={SEED}: kill {number} after {moment:.2f} s of talk")
    runner.run(play(node, senders, moment, chance))


async def play(node: Town, senders: list[Sender], moment: float, chance: random.Random) -> None:
    ears = [Ear(node, "alice", Xmpp), Ear(node, "bob", Irc), Ear(node, "alice", Irc), Ear(node, "bob", Xmpp)]
    await together(s.comes() for s in senders)
    await together(e.comes() for e in ears)
    stop = asyncio.Event()
    talks = [asyncio.create_task(s.talks(stop)) for s in senders]
    # From a thread of its own, so that it falls into the middle of what the clients do.
    await asyncio.to_thread(lambda: (time.sleep(moment), node.kill9()))
    stop.set()
    await asyncio.gather(*talks)
    under_way = sum(len(s.open) for s in senders)
    safe = sum(one.safe_at is not None for s in senders for one in s.said)
    print(f"{safe} messages acknowledged, {under_way} under way")
    assert safe, "nobody was heard before the kill"
    await together(e.client.drops() for e in ears)
    await together(s.client.drops() for s in senders)

    await asyncio.to_thread(node.start_again)
    # Half of those on XMPP believe the counter that the node kept, half only what they were told.
    await together(s.comes_back(resume=chance.random() < 0.5) for s in senders)
    await together((s.settles() for s in senders), at_once=100)
    again = asyncio.Event()
    await together((s.talks(again, most=3) for s in senders), at_once=100)
    await together((s.settles() for s in senders), at_once=100)
    await together(e.comes() for e in ears)
    refused = {str(s): s.refused for s in senders if s.refused}
    assert not refused, f"refused: {refused}"

    by_mam, by_chathistory = await ears[0].client.history("#town"), await ears[1].client.history("#town")
    judge(senders, "#town", by_mam)
    assert by_mam == by_chathistory, "the two protocols tell two histories"
    ids = [id for id, _, _ in by_mam]
    for ear in ears:
        assert ear.ids == ids[ids.index(ear.ids[0]) :], f"{ear.name} on {ear.kind.__name__} did not get each message once, in order"
    for on_xmpp, on_irc in zip(senders[::2], senders[1::2], strict=True):
        mine, theirs = await on_xmpp.client.history(on_irc.name), await on_irc.client.history(on_xmpp.name)
        assert mine == theirs, f"{on_xmpp} and {on_irc} have two histories"
        judge([on_xmpp], on_irc.name, [m for m in mine if m[1] == on_xmpp.name])
        judge([on_irc], on_xmpp.name, [m for m in mine if m[1] == on_irc.name])
    await together(e.client.leaves() for e in ears)
    await together(s.client.leaves() for s in senders)

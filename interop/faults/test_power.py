"""The power fails at random points: whatever was not synced is gone (or some of it, torn). What was acknowledged is there.

The node runs over a layer that records its disk. Afterwards the folder is made again as it would be after a cut at a
point of the record, and the real binary opens it. SEED=n chooses the points; SOAK=1 takes 200 of them instead of 20.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from faults import recorder
from faults.crowd import OnIrc, OnXmpp, Sender, judge
from faults.lines import Irc
from faults.stanzas import Xmpp
from faults.town import SOAK, Town, check, scratch

pytestmark = [pytest.mark.sammen, pytest.mark.timeout(3600 if SOAK else 600)]
SEED = int(os.environ.get("SEED") or random.randrange(1 << 30))
POINTS = 200 if SOAK else 20
MESSAGES = 3000
"""At least; each cut reads them all."""
BUDGET = 3000 if SOAK else 240
"""Seconds after which no further point is begun (and the play says how many there were)."""


@dataclass
class File:
    """An upload that was answered with 201."""

    url: str
    digest: str
    safe_at: int


@dataclass
class Night:
    """What was recorded, and what was acknowledged when."""

    town: Town
    senders: list[Sender]
    files: list[File]
    accounts_at: int
    began_at: int
    ended_at: int


@pytest.fixture(scope="module")
def night(layer):
    town = Town(layer, record=True)
    ready = town.at()
    names = [f"{kind}{n}" for n in range(8) for kind in ("xena", "iris")]
    town.people(*names)
    accounts_at = town.at()
    senders: list[Sender] = []
    for n in range(8):
        senders.append(OnXmpp(town, f"xena{n}", f"iris{n}", mark=town.at, length=400))
        senders.append(OnIrc(town, f"iris{n}", f"xena{n}", mark=town.at, length=300))
    files: list[File] = []
    asyncio.run(busy(town, senders, files))
    town.kill9()
    yield Night(town, senders, files, accounts_at, ready, town.at())
    town.stop()


async def busy(town: Town, senders: list[Sender], files: list[File]) -> None:
    for sender in senders:
        await sender.comes()
    stop = asyncio.Event()
    talks = [asyncio.create_task(s.talks(stop)) for s in senders]
    async with Xmpp(town, "alice") as alice, aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=town.tls())) as web:
        chance = random.Random(SEED)
        while len(files) < 12 or sum(len(s.said) for s in senders) < MESSAGES:
            await uploads(town, alice, web, chance.randbytes(chance.choice([10, 5000, 100_000])), files)
    stop.set()
    await asyncio.gather(*talks)
    await asyncio.gather(*(s.settles() for s in senders))


async def uploads(town: Town, alice: Xmpp, web: aiohttp.ClientSession, data: bytes, files: list[File]) -> None:
    """XEP-0363: a slot, and the file into it."""
    slot = await alice.asks(
        "get",
        f"<request xmlns='urn:xmpp:http:upload:0' filename='f.bin' size='{len(data)}' content-type='application/octet-stream'/>",
        f"upload.{town.domain}",
    )
    put = slot.find(".//{urn:xmpp:http:upload:0}put")
    headers = {h.get("name"): h.text for h in put}
    async with web.put(put.get("url"), data=data, headers={**headers, "content-type": "application/octet-stream"}) as answer:
        assert answer.status == 201, f"{answer.status} {await answer.text()}"
        files.append(File(slot.find(".//{urn:xmpp:http:upload:0}get").get("url"), hashlib.sha256(data).hexdigest(), town.at()))


def points(night: Night) -> list[int]:
    """A few while the node starts for the first time, the rest under load, always between two records."""
    chance = random.Random(SEED)
    ends = [end for end, _ in recorder.records(night.town.log) if end <= night.ended_at]
    early, late = [e for e in ends if e <= night.began_at], [e for e in ends if e > night.began_at]
    some = chance.sample(early, min(POINTS // 10, len(early))) + chance.sample(late, min(POINTS - POINTS // 10, len(late)))
    return sorted(some)


def test_the_record_is_complete(night):
    """The node writes nothing past the layer: else the plays below would prove little."""
    ((_, disk),) = recorder.replay(night.town.log, night.town.data, [night.ended_at])
    to = scratch()
    try:
        assert recorder.same(disk, night.town.data, to / "live") == []
    finally:
        shutil.rmtree(to)


@pytest.mark.parametrize("torn", [False, True], ids=["nothing unsynced is left", "some unsynced is left, torn"])
def test_after_a_power_cut(night, torn, request):
    said = sum(len(s.said) for s in night.senders)
    print(f"SEED={SEED}: {said} messages, {len(night.files)} files, a record of {night.ended_at >> 10} KiB")
    began, tried = time.monotonic(), 0
    for number, (point, disk) in enumerate(recorder.replay(night.town.log, night.town.data, points(night))):
        if time.monotonic() - began > BUDGET:
            break
        to = scratch()
        try:
            disk.writes(to / "data", random.Random(SEED + number) if torn else None)
            after_the_cut(night, to / "data", point, request)
        except BaseException:
            print(f"the cut was at {point} of {night.ended_at}; {to} holds what the node made of it")
            raise
        shutil.rmtree(to)
        tried += 1
    print(f"{tried} power cuts in {time.monotonic() - began:.0f} s")
    assert tried >= min(POINTS, 10), "too slow to say anything"


def after_the_cut(night: Night, data: Path, point: int, request) -> None:
    if (data / "log.sqlite").exists() and point > night.began_at:
        faults = check(data)
        assert faults == [], f"sammen check: {faults}"
    again = Town(data=data)
    request.node.people = [again]
    try:
        if point >= night.accounts_at:
            again.accounts.update({name: secret for name, secret in night.town.accounts.items() if name not in again.accounts})
            asyncio.run(reads(night, again, point))
        if point > night.began_at:
            assert again.accounts["alice"] == night.town.accounts["alice"], "alice has another password"
    finally:
        again.program.kill9()
        again.stop()
    assert check(data) == []


async def reads(night: Night, again: Town, point: int) -> None:
    def acknowledged(one) -> bool:
        return one.safe_at <= point

    async with Xmpp(again, "alice") as alice, Irc(again, "bob") as bob:
        alice.sends("<presence/>")
        await alice.joins("#town")
        await bob.joins("#town")
        by_mam = await alice.history("#town")
        judge(night.senders, "#town", by_mam, all_of=acknowledged)
        assert by_mam == await bob.history("#town")
    for on_xmpp, on_irc in zip(night.senders[::2], night.senders[1::2], strict=True):
        async with Xmpp(again, on_xmpp.name) as one:
            history = await one.history(on_irc.name)
        judge([on_xmpp], on_irc.name, [m for m in history if m[1] == on_xmpp.name], all_of=acknowledged)
        judge([on_irc], on_xmpp.name, [m for m in history if m[1] == on_irc.name], all_of=acknowledged)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=again.tls())) as web:
        for file in night.files:
            if file.safe_at > point:
                continue
            # The other node has other ports.
            url = f"{again.http}/{file.url.partition('://')[2].partition('/')[2]}"
            async with web.get(url) as answer:
                assert answer.status == 200, f"an acknowledged file is gone: {answer.status} {file}"
                assert hashlib.sha256(await answer.read()).hexdigest() == file.digest, f"an acknowledged file is not whole: {file}"

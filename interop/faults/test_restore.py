"""A backup, a thousand events more, and the backup comes back elsewhere: whatever clients hold of what is lost, they converge."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import uuid
from pathlib import Path

import pytest

from drivers.node import binary
from faults.lines import Irc
from faults.stanzas import Refused, Xmpp
from faults.town import Town, check

pytestmark = [pytest.mark.sammen, pytest.mark.timeout(300)]
MORE = 1000
"""Events after the backup."""
ROSTER = "jabber:iq:roster"


async def says(one: Xmpp, text: str) -> None:
    """To the room, without waiting for each."""
    one.sends(one.message("#town", text, uuid.uuid4().hex))


async def adds(one: Xmpp, contact: str) -> None:
    await one.asks("set", f"<query xmlns='{ROSTER}'><item jid='{contact}'/></query>")


async def roster(one: Xmpp, version: str, known: set[str]) -> tuple[str, set[str]]:
    """RFC 6121 §2.6, as a client that remembers its list: the version and the list after asking with the version that it has."""
    pushed: list = []
    before, one.heard = one.heard, lambda e: pushed.extend(e.iter(f"{{{ROSTER}}}query"))
    answer = await one.asks("get", f"<query xmlns='{ROSTER}' ver='{version}'/>")
    await one.asks("get", "<ping xmlns='urn:xmpp:ping'/>", one.place.domain)
    one.heard = before
    whole = answer.find(f"{{{ROSTER}}}query")
    items = lambda q: [(i.get("jid"), i.get("subscription")) for i in q.iter(f"{{{ROSTER}}}item")]  # noqa: E731
    if whole is not None:
        return whole.get("ver"), {jid for jid, _ in items(whole)}
    for query in pushed:
        version = query.get("ver") or version
        for jid, state in items(query):
            known = known - {jid} if state == "remove" else known | {jid}
    return version, known


async def everything(alice: Xmpp, bob: Irc, after: str | None = None) -> list[tuple[str, str, str]]:
    """The room's history by both protocols, which is the same. A place that is no more: from the beginning."""
    try:
        mam = await alice.history("#town", after=after)
    except Refused as why:
        assert after and why.condition == "item-not-found", f"an archive after {after}: {why}"
        mam = await alice.history("#town")
    said = [line for line in mam if line[2]]
    assert [id for id, _, _ in said] == [id for id, _, _ in await bob.history("#town")]
    return said


class Before:
    """What clients hold when the node is lost."""

    def __init__(self):
        self.kept: list[str] = []
        self.lost: list[str] = []
        self.previd = ""
        self.inbound = 0
        self.version, self.contacts = "", set()


async def life(node: Town, backup: Path) -> Before:
    held = Before()
    alice, bob = Xmpp(node, "alice"), Irc(node, "bob")
    await alice.signs_in()
    alice.sends("<presence/>")
    await alice.joins("#town")
    await adds(alice, "kept@localhost")
    async with bob:
        await bob.joins("#town")
        for number in range(20):
            await says(alice, f"kept {number}")
            await bob.asks(f"PRIVMSG #town :kept {number} too")
        await everything(alice, bob)
    # A stream that an orderly restart wrote down, so that the backup has it.
    held.previd = alice.previd
    await alice.drops()
    await asyncio.to_thread(node.restart)
    node.runs("backup", str(backup), "--stdin", stdin="a passphrase for this backup\n")
    alice.previd = held.previd
    await alice.connects()
    await alice.authenticates()
    resumed, _ = await alice.resumes()
    assert resumed, "what the backup holds could not be resumed before it was lost either"
    held.inbound = alice.inbound
    async with Irc(node, "bob") as bob:
        held.kept = [id for id, _, _ in await everything(alice, bob)]
        for number in range(MORE):
            await says(alice, f"lost {number}")
        await adds(alice, "lost@localhost")
        held.version, held.contacts = await roster(alice, "", set())
        assert {"kept@localhost", "lost@localhost"} <= held.contacts
        all_ids = [id for id, _, _ in await everything(alice, bob)]
    held.lost = all_ids[len(held.kept) :]
    assert len(held.lost) == MORE and all_ids[: len(held.kept)] == held.kept
    await alice.drops()
    return held


async def afterwards(node: Town, held: Before) -> None:
    """Clients come back with what they hold."""
    alice = Xmpp(node, "alice")
    alice.previd, alice.inbound = held.previd, held.inbound
    await alice.connects()
    await alice.authenticates()
    resumed, _ = await alice.resumes()
    assert not resumed, "a stream of before the restoration was resumed: its counters belong to another history"
    await alice.binds()
    alice.sends("<presence/>")
    await alice.joins("#town")
    async with Irc(node, "bob") as bob:
        await bob.joins("#town")
        # The new history grows past every number that the lost one had given out.
        await adds(alice, "new@localhost")
        for number in range(MORE + 200):
            await says(alice, f"new {number}")
        version, contacts = await roster(alice, held.version, held.contacts)
        assert contacts == held.contacts - {"lost@localhost"} | {"new@localhost"}, "the version of a lost list was taken for one of this history"
        assert version != held.version
        now = [id for id, _, _ in await everything(alice, bob, after=held.lost[-1])]
        assert now[: len(held.kept)] == held.kept
        assert len(now) == len(held.kept) + MORE + 200
        assert not set(now) & set(held.lost), "an id that clients know of the lost history means something else now"
        # What is still there goes on from where they were.
        tail = await alice.history("#town", after=held.kept[-1])
        assert [id for id, _, text in tail if text] == now[len(held.kept) :]
        late = await bob.asks(f"CHATHISTORY AFTER #town msgid={held.lost[-1]} 10")
        assert not [x for x in late if x.command == "PRIVMSG" and x.tags.get("msgid") in held.lost]
    with contextlib.suppress(OSError):
        await alice.leaves()


def test_a_backup_that_comes_back_elsewhere_converges(town, tmp_path):
    first = town()
    backup, data = tmp_path / "node.backup", tmp_path / "restored"
    held = asyncio.run(life(first, backup))
    first.program.stop()
    done = subprocess.run(
        [str(binary()), "restore", "--json", "--data", str(data), str(backup)],
        input="a passphrase for this backup\n", capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    second = town(data=data)
    asyncio.run(afterwards(second, held))
    second.program.stop()
    assert check(second.data) == []

"""The works: which generator command with which numbers, on which servers, and which accounts it needs."""

import json
import signal
import subprocess

from . import process
from .servers import BENCH, PASSWORD

LOAD = BENCH / "target" / "release" / "load"


class Sizes:
    """How much of everything. `scale` multiplies counts of messages and logins; `quick` is a try-out of seconds."""

    def __init__(self, scale=1.0, quick=False, idle=None, people=None, profile=None):
        self.profile = profile
        self.pairs = 20 if quick else 100
        self.direct = max(20, int((50 if quick else 2000) * scale))
        self.open_seconds = 2 if quick else 20
        self.people = people or (50 if quick else 500)
        self.room = max(20, int((40 if quick else 1000) * scale))
        self.accounts = 20 if quick else 200
        self.logins = max(20, int((100 if quick else 3000) * scale))
        self.idle = idle or (100 if quick else 5000)
        self.hold = 1 if quick else 10
        self.irc = max(100, int((1000 if quick else 20_000) * scale))
        self.paced_seconds = 2 if quick else 20
        self.matrix = max(100, int((200 if quick else 20_000) * scale))
        self.first_rooms, self.first = (10, 200) if quick else (500, max(1000, int(200_000 * scale)))
        self.patience = 60 if quick else 900


def load(server, work, sizes, **flags):
    """Runs the generator on its core; answers its results. With a profile folder, `perf` looks on from the same core."""
    perf = None
    if sizes.profile and work not in ("archive", "memory"):
        sizes.profile.mkdir(parents=True, exist_ok=True)
        taken = sizes.profile / f"{server.name}-{work}-{flags['prefix']}".replace(" ", "").lower()
        perf = process.start(
            ["perf", "record", "-q", "-g", "-F", "499", "-o", taken.with_suffix(".data"), "-p", ",".join(map(str, server.pids))],
            subprocess.DEVNULL, core=process.LOAD_CORE)
    try:
        return run(server, work, sizes, flags)
    finally:
        if perf:
            process.stop(perf, signal.SIGINT)
            with open(taken.with_suffix(".txt"), "w") as text:
                subprocess.run(["perf", "report", "--stdio", "--no-children", "-g", "none", "--percent-limit", "0.5",
                                "-i", taken.with_suffix(".data")], stdout=text, stderr=subprocess.DEVNULL)


def run(server, work, sizes, flags):
    """One call of the generator."""
    flags = {"at": f"127.0.0.1:{getattr(server, needs(work))}", "rooms": server.rooms, "password": PASSWORD,
             "pids": ",".join(map(str, server.pids)), "patience": sizes.patience, **flags}
    command = ["taskset", "-c", process.LOAD_CORE, LOAD, work]
    for name, value in flags.items():
        value = str(value).lower() if isinstance(value, bool) else str(value)
        command += [f"--{name}", value]
    done = subprocess.run(command, capture_output=True, text=True, timeout=sizes.patience * 4 + 600)
    if done.stderr:
        print(done.stderr.rstrip()[:2000], flush=True)
    if done.returncode:
        raise RuntimeError(f"load {work} failed: {done.stderr.strip()[:500]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def direct(server, sizes, payload="light"):
    """Closed window, then an open loop at half of what the closed window reached."""
    for prefix in ("d", "o"):
        server.register(f"{prefix}{n}" for n in range(sizes.pairs * 2))
    same = dict(pairs=sizes.pairs, payload=payload, archive=server.archives)
    results = load(server, "direct", sizes, prefix="d", count=sizes.direct, window=20, **same)
    rate = results[0]["per_second"] / 2
    count = max(2, int(rate * sizes.open_seconds / sizes.pairs))
    return results + load(server, "direct", sizes, prefix="o", count=count, rate=f"{rate:.1f}", **same)


def room(server, sizes):
    """Everybody enters, then one person writes."""
    server.register(f"r{n}" for n in range(sizes.people))
    return load(server, "room", sizes, prefix="r", people=sizes.people, count=sizes.room, window=20, archive=server.archives)


def login(server, sizes):
    """SCRAM-SHA-1, plain and with STARTTLS."""
    server.register(f"l{n}" for n in range(sizes.accounts))
    results = []
    for starttls in (False, True):
        results += load(server, "login", sizes, prefix="l", accounts=sizes.accounts, count=sizes.logins, starttls=starttls)
    return results


def idle(server, sizes):
    """Connections that do nothing."""
    server.register(f"i{n}" for n in range(sizes.idle))
    return load(server, "idle", sizes, prefix="i", count=sizes.idle, hold=sizes.hold)


def irc(server, sizes):
    """A channel, batched and paced at 100 a second; on a node that archives, its archive is read over XMPP."""
    results = []
    for prefix, count, rate in (("c", sizes.irc, 0), ("p", 100 * sizes.paced_seconds, 100)):
        server.register(f"{prefix}{n}" for n in range(sizes.people + 1))
        name = f"bench-{prefix}"
        (result,) = load(server, "irc", sizes, prefix=prefix, people=sizes.people, count=count, rate=rate, window=256,
                         channel=f"#{name}", password=server.irc_password)
        if server.archives and server.xmpp:
            (archive,) = load(server, "archive", sizes, name=f"{prefix}0", of=f"{name}@{server.rooms}", distinct=count)
            result["archive"] = {"expected": count, **archive}
        results.append(result)
    return results


def matrix(server, sizes):
    """Ten rooms of ten who all sync, one in each writes; then on a schedule at half the rate that was reached."""
    results, rate = [], 0
    for prefix in ("m", "n"):
        server.register(f"{prefix}{n}" for n in range(100))
        count = int(rate * sizes.open_seconds) if rate else sizes.matrix
        results += load(server, "matrix", sizes, prefix=prefix, rooms=10, people=10, count=count, rate=f"{rate:.1f}", window=20)
        rate = results[0]["per_second"] / 2
    return results


def matrix_first(server, sizes):
    """Five first syncs of an account with many rooms."""
    server.register(["f0"])
    return load(server, "matrix-first", sizes, prefix="f", rooms=sizes.first_rooms, count=sizes.first)


ALL = {"direct": direct, "room": room, "login": login, "idle": idle, "irc": irc, "matrix": matrix, "matrix-first": matrix_first}


def needs(work):
    """Which of a server's ports a work talks to."""
    return "irc" if work == "irc" else "http" if work.startswith("matrix") else "xmpp"

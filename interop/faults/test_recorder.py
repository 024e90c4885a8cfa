"""The layer below the power cuts is itself put to the test: it must find the careless and let the careful pass."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys

import pytest

from faults import recorder

pytestmark = pytest.mark.sammen

KEEPER = """
import os, sqlite3, sys
folder, log, mode, out = sys.argv[1:]
db = sqlite3.connect(folder + "/keep.sqlite", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute(f"PRAGMA synchronous={mode}")
db.execute("CREATE TABLE kept (n INTEGER PRIMARY KEY, text)")
fd = os.open(folder, os.O_RDONLY); os.fsync(fd); os.close(fd)
told = open(out, "w")
for n in range(400):
    db.execute("INSERT INTO kept VALUES (?, ?)", (n, f"number {n} " * 20))
    if n % 150 == 149:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    print(n, os.stat(log).st_size, file=told)
told.flush()
os._exit(0)
"""


def keeps(layer, tmp_path, mode):
    """A program that keeps numbers in SQLite and says when each is safe; returns the record's end at each."""
    data, log, out = tmp_path / "data", tmp_path / "log", tmp_path / "out"
    data.mkdir()
    env = {**os.environ, **recorder.environment(layer, data, log)}
    subprocess.run([sys.executable, "-c", KEEPER, data, log, mode, out], env=env, check=True)
    return data, log, {int(n): int(at) for n, at in (line.split() for line in out.read_text().splitlines())}


def lost(tmp_path, data, log, safe, chance):
    """Over many power cuts: what was said to be safe and isn't there."""
    last = max(safe.values())
    points = [random.Random(7).randint(min(safe.values()), last) for _ in range(60)] + [last]
    missing = 0
    for number, (point, disk) in enumerate(recorder.replay(log, data, points)):
        to = tmp_path / f"after{number}"
        disk.writes(to, chance)
        db = sqlite3.connect(to / "keep.sqlite")
        try:
            there = {n for (n,) in db.execute("SELECT n FROM kept")}
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        except sqlite3.DatabaseError:
            there = set()
        db.close()
        missing += len({n for n, at in safe.items() if at <= point} - there)
    return missing


@pytest.mark.parametrize("chance", [None, random.Random(1)], ids=["nothing unsynced", "some unsynced, torn"])
def test_the_careful_lose_nothing(layer, tmp_path, chance):
    assert lost(tmp_path, *keeps(layer, tmp_path, "FULL"), chance) == 0


def test_the_careless_are_found(layer, tmp_path):
    assert lost(tmp_path, *keeps(layer, tmp_path, "NORMAL"), None) > 0


def test_the_record_is_complete(layer, tmp_path):
    data, log, _ = keeps(layer, tmp_path, "FULL")
    end = log.stat().st_size
    ((_, disk),) = recorder.replay(log, data, [end])
    assert recorder.same(disk, data, tmp_path / "live") == []


def test_a_name_needs_its_folder(layer, tmp_path):
    """A file that was synced and renamed is under its new name only once the folder was synced."""
    data, log = tmp_path / "data", tmp_path / "log"
    data.mkdir()
    program = (
        "import os, sys; os.chdir(sys.argv[1]); os.mkdir('in'); f = open('in/new', 'wb'); f.write(b'whole'); f.flush();"
        "os.fsync(f.fileno()); os.rename('in/new', 'kept'); size = os.stat(sys.argv[2]).st_size;"
        "d = os.open('.', os.O_RDONLY); os.fsync(d); print(size)"
    )
    env = {**os.environ, **recorder.environment(layer, data, log)}
    ran = subprocess.run([sys.executable, "-c", program, data, log], env=env, check=True, capture_output=True, text=True)
    seen = []
    for number, (_, disk) in enumerate(recorder.replay(log, data, [int(ran.stdout), log.stat().st_size])):
        disk.writes(tmp_path / str(number))
        seen.append(sorted(str(p.relative_to(tmp_path / str(number))) for p in (tmp_path / str(number)).rglob("*")))
    assert seen == [[], ["in", "kept"]]
    assert (tmp_path / "1" / "kept").read_bytes() == b"whole"


@pytest.mark.parametrize("trouble", ["disk_is_full", "quota_is_reached", "fsync_fails"])
def test_faults_come_and_go(layer, tmp_path, trouble):
    data = tmp_path / "data"
    data.mkdir()
    faults = recorder.Faults(tmp_path / "faults")
    program = (
        "import os, sys\n"
        "f = os.open(sys.argv[1] + '/f', os.O_CREAT | os.O_WRONLY)\n"
        "for line in sys.stdin:\n"
        "    try: os.write(f, b'x' * 100); os.fsync(f); print('ok', flush=True)\n"
        "    except OSError as e: print(e.errno, flush=True)\n"
    )
    env = {**os.environ, **recorder.environment(layer, data, None, faults.path)}
    run = subprocess.Popen([sys.executable, "-c", program, data], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tries():
        run.stdin.write("\n")
        run.stdin.flush()
        return run.stdout.readline().strip()

    told = [tries()]
    getattr(faults, trouble)()
    told.append(tries())
    faults.are_over()
    told.append(tries())
    run.communicate()
    assert told == ["ok", {"disk_is_full": "28", "quota_is_reached": "122", "fsync_fails": "5"}[trouble], "ok"]


def test_time_can_be_let_pass(layer, tmp_path):
    faults = recorder.Faults(tmp_path / "faults")
    env = {**os.environ, **recorder.environment(layer, tmp_path, None, faults.path)}
    program = "import sys, time\nfor line in sys.stdin: print(time.time(), time.monotonic(), flush=True)"
    run = subprocess.Popen([sys.executable, "-c", program], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    seen = []
    for _ in range(2):
        run.stdin.write("\n")
        run.stdin.flush()
        seen.append([float(x) for x in run.stdout.readline().split()])
        faults.lets_pass(86400)
    run.communicate()
    assert all(86400 <= after - before < 87000 for before, after in zip(*seen, strict=True))

"""What a disk holds after a power cut: a record of a program's writes (record.c), replayed up to a point.

The model is as strict as POSIX: what a file holds is durable as of its last fsync, a name as of the last fsync of its
folder, and a folder's own name as of its parent's. A careful file system keeps more; none keeps less.
"""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from drivers.programs import need

HEAD = struct.Struct("=IIQQQIIII")
MAGIC = 0x53414D31
SECTOR = 512


def build(folder: Path) -> Path:
    """The layer as a shared object."""
    to = folder / "record.so"
    subprocess.run(
        [need("cc", "gcc"), "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", to,
         Path(__file__).with_name("record.c"), "-ldl", "-lpthread"],
        check=True,
    )  # fmt: skip
    return to


class Faults:
    """What the disk does wrong from now on, changed while the program runs."""

    def __init__(self, path: Path):
        self.path, self.ahead = path, 0
        path.write_bytes(b"n" + bytes(15))

    def _set(self, what: bytes) -> None:
        with self.path.open("r+b") as file:
            file.write(what)

    def disk_is_full(self) -> None:
        self._set(b"f")

    def quota_is_reached(self) -> None:
        self._set(b"q")

    def fsync_fails(self) -> None:
        self._set(b"e")

    def fsync_fails_once(self) -> None:
        """As Linux does: the error is told once, the pages are gone, the next fsync says that all is well."""
        self._set(b"s")

    def are_over(self) -> None:
        self._set(b"n")

    def lets_pass(self, seconds: int) -> None:
        """All clocks of the program jump ahead."""
        self.ahead += seconds
        with self.path.open("r+b") as file:
            file.seek(8)
            file.write(struct.pack("=q", self.ahead))


def environment(layer: Path, data: Path, log: Path | None = None, faults: Path | None = None) -> dict[str, str]:
    """What a program must be started with."""
    env = {"LD_PRELOAD": str(layer), "RECORD_FOLDER": str(data.resolve())}
    if log:
        env["RECORD_LOG"] = str(log)
    if faults:
        env["RECORD_FAULTS"] = str(faults)
    return env


@dataclass
class File:
    live: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, data) written, or (length, None) cut."""

    def does(self, offset: int, data: bytes | None, synchronous: bool = False) -> None:
        change(self.live, offset, data)
        self.pending.append((offset, data))
        if synchronous:
            self.sync()

    def sync(self) -> None:
        for offset, data in self.pending:
            change(self.durable, offset, data)
        self.pending.clear()

    def after_the_cut(self, chance: random.Random | None) -> bytes:
        """What is durable; with chance also some of what is not, torn between sectors."""
        held = bytearray(self.durable)
        if chance:
            for offset, data in self.pending:
                if chance.random() < 0.5:
                    continue
                if data is None or chance.random() < 0.5:
                    change(held, offset, data)
                    continue
                for start, piece in sectors(offset, data):
                    if chance.random() < 0.5:
                        change(held, start, piece)
        return bytes(held)


def change(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
    else:
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data


def sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        step = SECTOR - (offset + at) % SECTOR
        yield offset + at, data[at : at + step]
        at += step


@dataclass
class Folder:
    live: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    pending: list[tuple[dict[str, Node], set[str]]] = field(default_factory=list)
    """Names that came and names that went, each entry whole or not at all."""

    def does(self, came: dict[str, Node], went: set[str] = frozenset()) -> None:
        entries(self.live, came, went)
        self.pending.append((came, set(went)))

    def sync(self) -> None:
        self.durable = dict(self.live)
        self.pending.clear()

    def after_the_cut(self, chance: random.Random | None) -> dict[str, Node]:
        """What is durable; with chance also the first of what is not (a journal keeps the order of names)."""
        held = dict(self.durable)
        if chance and self.pending:
            for came, went in self.pending[: chance.randint(0, len(self.pending))]:
                entries(held, came, went)
        return held


def entries(names: dict[str, Node], came: dict[str, Node], went: set[str]) -> None:
    for name in went:
        names.pop(name, None)
    names.update(came)


Node = File | Folder


class Disk:
    """The folder as the program sees it, and as the disk would hold it."""

    def __init__(self, root: Path, before: Path | None = None):
        """`root` is the folder's path in the record; `before` a copy of what it held when the record began (or empty)."""
        self.root, self.top, self.by_ino = root, Folder(), {}
        assert before is None or not any(before.iterdir()), "a record begins with an empty folder"

    def find(self, path: str) -> tuple[Folder, str]:
        """The folder that a path is in, and its name there."""
        at = self.top
        *way, name = Path(path).relative_to(self.root).parts
        for step in way:
            at = at.live[step]
        return at, name

    def plays(self, kind: str, ino: int, offset: int, path: str, path2: str, flags: int, data: bytes) -> None:
        match kind:
            case "c" | "m":
                folder, name = self.find(path)
                node = File() if kind == "c" else Folder()
                self.by_ino[ino] = node
                folder.does({name: node})
            case "w":
                self.by_ino[ino].does(offset, data, bool(flags))
            case "t":
                self.by_ino[ino].does(offset, None)
            case "s":
                self.by_ino.get(ino, self.top).sync()  # only the folder itself was there before
            case "u" | "d":
                folder, name = self.find(path)
                folder.does({}, {name})
            case "r":
                assert path and path2 and not flags, f"a rename across the border of the record: {path} {path2} {flags}"
                (old, name), (new, name2) = self.find(path), self.find(path2)
                node = old.live[name]
                if old is new:
                    old.does({name2: node}, {name})
                else:
                    new.does({name2: node})
                    old.does({}, {name})
            case "l":
                (old, name), (new, name2) = self.find(path), self.find(path2)
                new.does({name2: old.live[name]})
            case _:
                raise AssertionError(f"an unknown record {kind}")

    def writes(self, to: Path, chance: random.Random | None = None, *, live: bool = False) -> None:
        """Makes the folder as it is after a power cut now (or, `live`, as the program sees it)."""

        def write(folder: Folder, to: Path) -> None:
            to.mkdir(parents=True)
            to.chmod(0o700)
            for name, node in (folder.live if live else folder.after_the_cut(chance)).items():
                if isinstance(node, Folder):
                    write(node, to / name)
                elif name.endswith("-shm") and not live:
                    (to / name).write_bytes(b"")  # shared memory: nobody may rely on what a disk holds of it
                else:
                    content = bytes(node.live) if live else node.after_the_cut(chance)
                    (to / name).write_bytes(content)
                    (to / name).chmod(0o600)

        write(self.top, to)


def records(log: Path) -> Iterator[tuple[int, tuple]]:
    """Each whole record: the offset of its end, and what `Disk.plays` takes."""
    with log.open("rb") as file:
        end = 0
        while len(head := file.read(HEAD.size)) == HEAD.size:
            magic, kind, ino, offset, length, path, path2, flags, _ = HEAD.unpack(head)
            assert magic == MAGIC, f"the record is damaged at {end}"
            length = length if chr(kind) == "w" else 0
            body = file.read(path + path2 + length)
            if len(body) < path + path2 + length:
                return
            end += HEAD.size + len(body)
            names = body[:path].decode(), body[path : path + path2].decode()
            yield end, (chr(kind), ino, offset, *names, flags, body[path + path2 :])


def replay(log: Path, root: Path, points: list[int]) -> Iterator[tuple[int, Disk]]:
    """The disk at each of these offsets of the record (in order): after the last record that ends there or before."""
    disk, wanted = Disk(root), sorted(points)
    for end, record in records(log):
        while wanted and wanted[0] < end:
            yield wanted.pop(0), disk
        if not wanted:
            return
        disk.plays(*record)
    for point in wanted:
        yield point, disk


def same(disk: Disk, folder: Path, scratch: Path) -> list[str]:
    """How the record's view differs from the real folder: what the program wrote past the layer."""
    disk.writes(scratch, live=True)
    here, there = ({p.relative_to(top): p for p in top.rglob("*") if not p.is_socket()} for top in (scratch, folder))
    wrong = [f"only in the record: {p}" for p in here.keys() - there.keys()]
    wrong += [f"not in the record: {p}" for p in there.keys() - here.keys()]
    for name in here.keys() & there.keys():
        if name.name.endswith("-shm") or here[name].is_dir():
            continue
        if here[name].read_bytes() != there[name].read_bytes():
            wrong.append(f"other content: {name}")
    return wrong

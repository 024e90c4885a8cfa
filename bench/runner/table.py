"""The Markdown that comes out: one table a work, and what machine it was."""

import datetime
import os
import platform
import subprocess
import tempfile
import time

TITLES = {
    "direct": "Direct messages, {pairs} pairs, window 20",
    "direct-open": "Direct messages on a fixed schedule, at half the rate above",
    "join": "{people} people enter a room at once",
    "room": "Room of {people}, one sender, window 20",
    "login": "SCRAM-SHA-1 login, plain TCP",
    "login-tls": "SCRAM-SHA-1 login, STARTTLS",
    "idle": "{idle} idle connections, TLS, roster + carbons + stream management",
    "irc": "IRC channel of {people}, batched, window 256",
    "irc-paced": "IRC channel of {people}, 100 messages a second",
    "matrix": "Matrix, ten rooms of ten who sync, one in each writes",
    "matrix-paced": "The same on a fixed schedule, at half the rate above",
    "matrix-first": "First sync of a Matrix account with {first_rooms} rooms and {first} messages",
}


def number(value, digits=1):
    return f"{value:,.{digits}f}" if value < 100 else f"{value:,.0f}"


def once(result):
    """Whether everything arrived, and was archived, exactly once."""
    if "exactly_once" not in result:
        return "–"
    if result["exactly_once"]:
        arrived = "yes"
    elif "arrivals" in result:
        arrived = "NO: " + ", ".join(f"{n} {what}" for what, n in result["arrivals"].items() if n)
    else:
        arrived = f"NO: {result['missing']} unseen"
    archive = result.get("archive")
    if not archive:
        return arrived
    whole = archive["found"] == archive["expected"] and archive["pages_exactly_once"]
    return f"{arrived} / " + ("yes" if whole else f"NO: {archive['found']:,} of {archive['expected']:,}")


UNITS = {"login": "logins", "matrix": "messages"}
COLUMNS = {
    "cpu": ("CPU-s per million", lambda r: number(r["cpu_s_per_million"], 2)),
    "total": ("with work behind", lambda r: number(r["cpu_total_s_per_million"], 2)),
    "ms": ("CPU ms each", lambda r: number(r["cpu_total_s_per_million"] / 1000, 2)),
    "rate": ("per second", lambda r: number(r["per_second"], 0)),
    "seconds": ("seconds", lambda r: number(r["seconds"], 2)),
    "cpus": ("CPU-s", lambda r: number(r["cpu_total_s"], 2)),
    "p50": ("p50 ms", lambda r: number(r["p50_ms"], 2)),
    "p99": ("p99 ms", lambda r: number(r["p99_ms"], 2)),
    "memory": ("resident MiB", lambda r: number(r["memory_kib"] / 1024, 0)),
    "kib": ("KiB each", lambda r: number(r["kib_per_connection"], 1)),
    "alive": ("alive after", lambda r: f"{r['alive']:,} of {r['connections']:,}"),
    "once": ("arrived once / archived once", once),
    "busy": ("generator busy", lambda r: f"{100 * r['generator_cpu_s'] / max(r['seconds'], 0.001):.0f} %"),
}
SHOWN = {
    "direct": "cpu total rate p50 p99 memory once busy",
    "direct-open": "rate p50 p99 cpu once",
    "join": "seconds cpus memory once busy",
    "room": "cpu total rate p50 p99 memory once busy",
    "login": "ms rate p50 p99 busy",
    "login-tls": "ms rate p50 p99 busy",
    "idle": "kib memory alive",
    "irc": "cpu total rate memory once busy",
    "irc-paced": "cpu total rate p50 p99 once",
    "matrix": "ms rate p50 p99 memory once busy",
    "matrix-paced": "ms rate p50 p99 memory once busy",
    "matrix-first": "ms p50 memory busy",
}


def machine():
    """One line on the machine."""
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    cores = sum(line.startswith("processor") for line in open("/proc/cpuinfo"))
    memory = int(next(line for line in open("/proc/meminfo") if line.startswith("MemTotal")).split()[1]) >> 20
    return f"{cores} cores ({model}), {memory} GiB, Linux {platform.release()}, {fsync()}"


def fsync():
    """How long the disk that the servers write to takes to keep 4 KiB."""
    with tempfile.NamedTemporaryFile() as file:
        times = []
        for _ in range(200):
            file.write(b"x" * 4096)
            file.flush()
            before = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - before)
    times.sort()
    return f"fdatasync of 4 KiB: median {times[100] * 1000:.2f} ms, p99 {times[197] * 1000:.2f} ms"


def versions():
    """What is compared."""
    packages = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", "prosody", "ejabberd", "inspircd", "postgresql-15"],
                              capture_output=True, text=True)
    return ", ".join(packages.stdout.split("\n")).rstrip(", ")


def render(results, sizes, command):
    """Everything as Markdown. `results` is a list of (server's name, result)."""
    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    lines = [f"Measured {when} on {machine()}.", f"Peers: {versions()}.", f"Command: `{command}`.", ""]
    words = {"pairs": sizes.pairs, "people": sizes.people, "idle": f"{sizes.idle:,}",
             "first_rooms": sizes.first_rooms, "first": f"{sizes.first:,}"}
    for work, title in TITLES.items():
        rows = [(name, result) for name, result in results if result["work"] == work]
        if not rows:
            continue
        columns = [COLUMNS[key] for key in SHOWN[work].split()]
        units = rows[0][1]["units"]
        lines += [f"### {title.format(**words)}", ""]
        if work not in ("idle", "join", "matrix-first"):
            what = UNITS.get(work.split("-")[0], "deliveries")
            lines += [f"{units:,} {what}.", ""]
        lines += ["| server | " + " | ".join(head for head, _ in columns) + " |", "| --- |" + " ---: |" * len(columns)]
        lines += [f"| {name} | " + " | ".join(show(result) for _, show in columns) + " |" for name, result in rows]
        lines.append("")
    return "\n".join(lines)

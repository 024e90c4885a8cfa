#!/usr/bin/env python3
"""What a message of a Matrix app costs the node: CPU per message that is signed, durable, and delivered to ten who sync.

    bench/matrix_cost.py target/release/sammen [--messages 300] [--readers 10]

The node runs with an empty folder on loopback. One sends, each message after the answer to the one before; the others wait with
`/sync` (the first answer after a message, then the next wait at once). TLS and HTTP of all requests are part of the figure.
"""

import argparse
import http.client
import json
import os
import pathlib
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse

TICK = os.sysconf("SC_CLK_TCK")


class App:
    """An app with one connection."""

    def __init__(self, card, name, password):
        self.url, self.tls = urllib.parse.urlsplit(card["listeners"]["http"]["url"]), ssl.create_default_context(cafile=card["ca"])
        self.open()
        who = {"type": "m.id.user", "user": name}
        body = {"type": "m.login.password", "identifier": who, "password": password}
        self.token = ""
        self.token = self.asks("POST", "login", body)["access_token"]

    def open(self):
        self.line = http.client.HTTPSConnection(self.url.hostname, self.url.port, context=self.tls, timeout=60)

    def asks(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        data = None if body is None else json.dumps(body)
        self.line.request(method, f"/_matrix/client/v3/{path}", data, headers)
        answer = self.line.getresponse()
        text = answer.read()
        if answer.status == 429:
            time.sleep(json.loads(text).get("retry_after_ms", 1000) / 1000)
            return self.asks(method, path, body)
        assert answer.status == 200, (answer.status, text)
        return json.loads(text)


class Reader(threading.Thread):
    """Syncs until it has seen the last message."""

    def __init__(self, app, last):
        super().__init__(daemon=True)
        self.app, self.last, self.seen, self.polls = app, last, 0, 0
        self.since = app.asks("GET", "sync")["next_batch"]

    def run(self):
        while True:
            self.polls += 1
            told = self.app.asks("GET", f"sync?timeout=30000&since={self.since}")
            self.since = told["next_batch"]
            for room in told.get("rooms", {}).get("join", {}).values():
                for event in room.get("timeline", {}).get("events", []):
                    if event["type"] == "m.room.message":
                        self.seen += 1
                        if event["content"]["body"] == self.last:
                            return


def cpu(pid):
    """User and system time of a process, in seconds."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--readers", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data"
        node = subprocess.Popen([args.binary, "try", "--json", "--data", data], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            card = json.loads(node.stdout.readline())
            measure(args, node.pid, card, data)
        finally:
            node.terminate()
            node.wait()


def measure(args, pid, card, data):
    def account(name):
        made = subprocess.run([args.binary, "account", "add", name, "--json", "--data", data], stdout=subprocess.PIPE, check=True)
        return json.loads(made.stdout)["password"]

    speaker = App(card, "speaker", account("speaker"))
    room = speaker.asks("POST", "createRoom", {"preset": "public_chat"})["room_id"]
    apps = [App(card, f"reader{n}", account(f"reader{n}")) for n in range(args.readers)]
    for app in apps:
        app.asks("POST", f"join/{room}", {})
    path = f"rooms/{room}/send/m.room.message"
    for stage, count in (("warm", 30), ("measured", args.messages)):
        last = f"{stage} {count - 1}"
        readers = [Reader(app, last) for app in apps]
        for reader in readers:
            reader.start()
        before, began = cpu(pid), time.monotonic()
        for n in range(count):
            speaker.asks("PUT", f"{path}/{stage}{n}", {"msgtype": "m.text", "body": f"{stage} {n}"})
        for reader in readers:
            reader.join()
        spent, took = cpu(pid) - before, time.monotonic() - began
        assert all(reader.seen == count for reader in readers), [reader.seen for reader in readers]
    polls = sum(reader.polls for reader in readers)
    print(f"{args.binary}: {1000 * spent / count:.2f} ms CPU a message ({count} messages, {args.readers} readers, "
          f"{polls / count:.1f} syncs a message, {took:.1f} s)")  # fmt: skip


if __name__ == "__main__":
    main()

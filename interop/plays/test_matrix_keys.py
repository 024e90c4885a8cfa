"""Keys and messages for Matrix devices at the node, by plain requests: what has to hold over `kill -9`, for many at once."""

import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from drivers.person import until

pytestmark = pytest.mark.sammen


class Device:
    """A device that asks by hand, and asks again while the node is down."""

    def __init__(self, place, name: str, device: str):
        self.place, self.context = place, place.tls()
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": name},
            "password": place.accounts[name],
            "device_id": device,
        }
        self.token = ""
        self.token = self.asks("POST", "login", body)["access_token"]

    def asks(self, method: str, path: str, body=None, once: bool = False) -> dict:
        url = f"{self.place.http.rstrip('/')}/_matrix/client/v3/{path}"
        data = None if body is None else json.dumps(body).encode()
        while True:
            head = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
            request = urllib.request.Request(url, data, head, method=method)
            try:
                with urllib.request.urlopen(request, context=self.context, timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as why:
                if why.code < 500 or once:
                    raise AssertionError(f"{method} {path}: {why.code} {why.read()}") from why
            except OSError:
                # The node is down: again, as a client does.
                threading.Event().wait(0.05)


def test_messages_for_a_device_come_once_and_in_order_over_kills(node):
    node, count = node, 300
    alice, bob = Device(node, "alice", "APHONE"), Device(node, "bob", "BPHONE")
    user = "@bob:" + node.domain
    got: list[int] = []

    def send():
        for n in range(count):
            alice.asks("PUT", f"sendToDevice/m.test/{n}", {"messages": {user: {"BPHONE": {"n": n}}}})

    def receive():
        since = ""
        while len(got) < count:
            path = "sync?timeout=1000" + (f"&since={urllib.parse.quote(since)}" if since else "")
            answer = bob.asks("GET", path)
            if len(got) % 5 == 0:
                # The answer was lost on its way: the same token again gives the same, and perhaps more.
                lost = [e["content"]["n"] for e in answer.get("to_device", {}).get("events", [])]
                answer = bob.asks("GET", path)
                again = [e["content"]["n"] for e in answer.get("to_device", {}).get("events", [])]
                assert again[: len(lost)] == lost
            got.extend(e["content"]["n"] for e in answer.get("to_device", {}).get("events", []))
            since = answer["next_batch"]
        # What was received is not told again.
        answer = bob.asks("GET", f"sync?timeout=0&since={urllib.parse.quote(since)}")
        assert not answer.get("to_device", {}).get("events")

    with ThreadPoolExecutor(2) as both:
        jobs = [both.submit(send), both.submit(receive)]
        for reached in (40, 120, 200):
            until(f"{reached} messages", lambda reached=reached: len(got) >= reached or any(j.done() for j in jobs))
            node.kill9()
            node.restart()
        for job in jobs:
            job.result(timeout=120)
    assert got == list(range(count))


def test_a_hundred_who_claim_at_once_get_a_hundred_keys(node):
    node = node
    alice, bob = Device(node, "alice", "APHONE"), Device(node, "bob", "BPHONE")
    user = "@bob:" + node.domain
    keys = {f"signed_curve25519:{n:03}": {"key": f"key{n}", "signatures": {}} for n in range(100)}
    counts = bob.asks("POST", "keys/upload", {"one_time_keys": keys})["one_time_key_counts"]
    assert counts["signed_curve25519"] == 100
    wish = {"one_time_keys": {user: {"BPHONE": "signed_curve25519"}}}

    def claim(_):
        keys = alice.asks("POST", "keys/claim", wish, once=True)["one_time_keys"].get(user, {}).get("BPHONE", {})
        return next(iter(keys), None)

    with ThreadPoolExecutor(20) as many:
        got = [key for key in many.map(claim, range(110)) if key]
    assert sorted(got) == sorted(keys)
    # Nor after a crash.
    node.kill9()
    node.restart()
    assert claim(None) is None

"""A push gateway on loopback: it writes down what it is told, and answers as the play says."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .person import until

PATH = "/_matrix/push/v1/notify"


class Gateway:
    def __init__(self):
        self.heard: list[dict] = []
        self.answers: list[tuple[int, dict]] = []
        """What the next requests get; 200 and nothing rejected where there is none left."""
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.path == PATH, self.path
                gateway.heard.append(body["notification"])
                status, answer = gateway.answers.pop(0) if gateway.answers else (200, {"rejected": []})
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}{PATH}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def pusher(self, key: str = "phone", app: str = "org.example.app", **data) -> dict:
        """A pusher of this gateway, as an app sets it."""
        return {"kind": "http", "app_id": app, "pushkey": key, "app_display_name": "An app", "device_display_name": "A phone",
                "lang": "en", "data": {"url": self.url, **data}}  # fmt: skip

    def waits(self, what: str, is_it, after: int = 0) -> dict:
        """The first thing heard of which `is_it` says yes."""
        return until(what, lambda: next((n for n in self.heard[after:] if is_it(n)), None), transcript=lambda: json.dumps(self.heard, indent=1))

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

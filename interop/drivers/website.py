"""A web site on loopback that strangers' links lead to: it says what it was told to, and remembers who asked for what."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Website:
    """`pages` are paths with a media type and a body, or a function of the request that gives status, headers and body."""

    def __init__(self, pages: dict | None = None, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"):
        self.pages = pages or {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                site.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                page = site.pages.get(self.path)
                if callable(page):
                    status, headers, said = page(*site.asked[-1])
                elif page:
                    status, headers, said = 200, {"Content-Type": page[0]}, page[1]
                else:
                    status, headers, said = 404, {}, b""
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(said))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer((host, 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        self.url = f"http{'s' if tls else ''}://{host}:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.asked]

    def ends(self) -> None:
        self.server.shutdown()
        self.server.server_close()

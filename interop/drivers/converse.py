"""Converse.js in Debian's Chromium, driven by Playwright: signs in over WebSocket, as an app on a page of its own origin."""

from __future__ import annotations

import functools
import json
import os
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from .page import Browser
from .person import Person, Seen

DIST = Path(__file__).resolve().parents[1] / "node" / "node_modules" / "converse.js" / "dist"

PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8"><link rel="stylesheet" href="/converse.min.css"></head>
<body class="converse-fullscreen"><script type="module" src="/converse.min.js"></script><script type="module">
converse.plugins.add('play', {{ initialize() {{ window.api = this._converse.api; }} }});
converse.initialize({settings});
</script></body></html>"""

# What the views show: the app's own models of what it drew.
LINES = """async () => {
  const boxes = await window.api.chatboxes.get();
  return boxes.filter(box => box.messages).flatMap(box => box.messages.models.map(m => ({
    box: box.get('jid'), room: box.get('type') === 'chatroom', id: m.get('msgid'), archive: m.get(`stanza_id ${box.get('type') === 'chatroom' ? box.get('jid') : m.get('to')}`),
    who: box.get('type') === 'chatroom' ? m.get('nick') : m.get('from'), text: m.get('message') ?? '', kind: m.get('type'),
    link: m.get('oob_url'), edited: !!m.get('edited'), gone: !!(m.get('retracted') || m.get('moderated')), live: !m.get('is_delayed'),
    error: m.get('error_text') ?? m.get('error_condition') ?? null,
  })));
}"""


class _Dist(SimpleHTTPRequestHandler):
    """Converse's own files, and one page that starts it."""

    def __init__(self, *more, page: bytes, **options):
        self.page = page
        super().__init__(*more, directory=str(DIST), **options)

    def do_GET(self):
        if self.path.partition("?")[0] != "/":
            return super().do_GET()
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        return self.wfile.write(self.page)

    def log_message(self, *_):
        pass


class Converse(Person):
    """`settings` are Converse's own. What it sends and gets over the WebSocket stands in the transcript."""

    program = "converse.js"

    def __init__(self, place, name: str, device: str = "browser", *, browser: Browser, **settings):
        super().__init__(place, name, device)
        if not DIST.exists():
            why = "converse.js is missing: run `npm ci` in interop/node"
            pytest.fail(why, pytrace=False) if os.environ.get("CI") else pytest.skip(why)
        self.refused: set[str] = set()
        """The conditions of all errors that the node answered."""
        self._known: set = set()
        known = {
            "authentication": "login", "auto_login": True, "jid": f"{name}@{place.domain}", "password": self.password,
            "websocket_url": place.http.replace("http", "ws", 1).rstrip("/") + "/xmpp-websocket", "discover_connection_methods": False,
            "view_mode": "fullscreen", "assets_path": "/", "whitelisted_plugins": ["play"], "i18n": "en", "play_sounds": False,
            "muc_domain": place.rooms_domain, "loglevel": "warn", "allow_message_retraction": "all",
            "clear_cache_on_logout": True, **settings,
        }  # fmt: skip
        page = PAGE.format(settings=json.dumps(known)).encode()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Dist, page=page))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.context = browser.profile(locale="en-GB", viewport={"width": 1000, "height": 640})
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(30_000)
        self.tab.on("console", lambda line: self.note(f"console {line.type}: {line.text[:500]}"))
        self.tab.on("pageerror", lambda error: self.note(f"page error: {error}"))
        self.tab.on("websocket", self._listens)
        self.tab.goto(f"http://localhost:{self.server.server_address[1]}/")
        self._connected()

    def _listens(self, socket) -> None:
        socket.on("framesent", lambda text: self.note(f"> {text}"))
        socket.on("framereceived", self._hears_frame)

    def _hears_frame(self, text) -> None:
        self.note(f"< {text}")
        for condition in re.findall(r"type='error'.*?<error [^>]*><([a-z-]+)", str(text)):
            self.refused.add(condition)

    def _connected(self) -> None:
        self.tab.wait_for_function("() => window.api?.connection?.connected?.()")

    def opens(self, where: str) -> None:
        """The conversation comes to the foreground; a room that it is not in is entered."""
        jid = self.place.jid(where)
        open_it = "([jid, nick]) => window.api.rooms.open(jid, {nick, bring_to_foreground: true}, true).then(() => true)"
        if not where.startswith("#"):
            open_it = "([jid]) => window.api.chats.open(jid, {}, true).then(() => true)"
        self.tab.evaluate(open_it, [jid, self.name])

    def joins(self, room: str) -> None:
        self.opens(room)
        self.tab.wait_for_function("jid => window.api.rooms.get(jid).then(room => room?.session?.get('connection_status') === 5)", arg=self.place.jid(room))

    def says(self, where: str, text: str) -> Seen:
        self.opens(where)
        write = self.tab.locator("textarea.chat-textarea:visible").first
        write.fill(text)
        write.press("Enter")
        return Seen("message", who=self.name, where=where, text=text)

    def sends_file(self, where: str, path: Path) -> None:
        self.opens(where)
        self.tab.locator("converse-chat-toolbar input[type=file]").first.set_input_files(str(path))

    def shows(self, text: str) -> None:
        self.tab.locator(".chat-msg__text", has_text=text).first.wait_for()

    def lines(self, where: str) -> list[str]:
        """What stands in a conversation just now."""
        jid = self.place.jid(where)
        return [line["text"] for line in self.tab.evaluate(LINES) if line["box"] == jid]

    def reloads(self) -> None:
        self.tab.reload()
        self._connected()

    def look(self) -> None:
        if self.tab.is_closed():
            return
        for line in self.tab.evaluate(LINES):
            form = json.dumps(line)
            if form in self._known:
                continue
            self._known.add(form)
            where = self.place.where(line["box"])[0]
            who = line["who"] if line["room"] else self.place.where(line["who"] or "")[1]
            kind = "refused" if line["kind"] == "error" or line["error"] else "retraction" if line["gone"] else "edit" if line["edited"] else "message"
            self.saw(Seen(kind, who, where, line["text"] or line["error"] or "", line["id"], line["archive"], live=line["live"], more={"link": line["link"]}))

    def ends(self) -> None:
        if hasattr(self, "context"):
            self.context.close()
        if hasattr(self, "server"):
            self.server.shutdown()
            self.server.server_close()

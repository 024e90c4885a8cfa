"""The node's own page in Debian's Chromium, driven by Playwright: what a person in a browser sees and does."""

from __future__ import annotations

import os
import re
import shutil
import urllib.error
import urllib.request

import pytest

from .person import Person, Seen

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")

LINES = """() => [...document.querySelectorAll('.frame [data-line]')].map(line => ({
  id: line.dataset.line,
  who: line.getAttribute('aria-label').replace(/, [^,]*$/, ''),
  text: (line.querySelector('.said-text, .emote, .locked, .gone')?.innerText ?? '').trim(),
  files: [...line.querySelectorAll('.files a, .files img')].map(file => file.getAttribute('href') ?? file.getAttribute('src')),
  reactions: [...line.querySelectorAll('.reactions button')].map(one => one.innerText.trim().split(/\\s+/)[0]),
  edited: !!line.querySelector('.edited'),
  reply: line.querySelector('.quote .cut')?.innerText ?? null,
}))"""


class Browser:
    """One Chromium; each person gets a profile of their own in it."""

    def __init__(self):
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            missing("the playwright package is not installed")
        if not CHROMIUM:
            missing("no chromium")
        self.playwright = sync_playwright().start()
        self.program = self.playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--ignore-certificate-errors", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
        )

    def profile(self, **options):
        return self.program.new_context(ignore_https_errors=True, **options)

    def ends(self) -> None:
        self.program.close()
        self.playwright.stop()


def served(place) -> bool:
    """Does the node speak the page's API?"""
    try:
        with urllib.request.urlopen(f"{place.page}api/v1/node", context=place.tls(), timeout=20) as answer:
            return answer.status == 200
    except urllib.error.HTTPError:
        return False


def missing(why: str):
    if os.environ.get("CI"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


class Page(Person):
    """A person at the page. `where` is `#room`, or the other's name."""

    program = "the page"

    def __init__(self, place, name: str, device: str = "browser", *, browser: Browser, sign_in: bool = True, **options):
        super().__init__(place, name, device)
        if not served(place):
            pytest.skip("this node serves no page yet")
        self.where: str | None = None
        self.faults: list[str] = []
        options.setdefault("locale", "en-GB")
        self.context = browser.profile(**options)
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(30_000)
        self.tab.on("pageerror", lambda error: self._fault(f"error: {error}"))
        self.tab.on("console", lambda line: self._console(line))
        self.tab.goto(place.page)
        if sign_in:
            self.signs_in()

    def _console(self, line) -> None:
        self.note(f"console {line.type}: {line.text}")
        if line.type == "error" and re.search(r"Content.Security.Policy|Refused to|Uncaught", line.text):
            self._fault(line.text)

    def _fault(self, what: str) -> None:
        self.note(what)
        self.faults.append(what)

    # What one does.
    def signs_in(self) -> None:
        self.tab.fill("input[name=username]", self.name)
        self.tab.fill("input[name=password]", self.password)
        self.tab.click("button.lead")
        self.tab.wait_for_selector("#filter")

    def goes(self, path: str) -> None:
        """To a view of the page, `settings/devices`."""
        self.where = None
        self.tab.evaluate("path => { location.hash = '#/' + path }", path)

    def opens(self, where: str) -> None:
        """A conversation that is in the list."""
        if self.where == where:
            return
        name = where.removeprefix("#")
        self.tab.click(f'nav .list a[data-conversation="{name}" i], nav .list a[data-conversation="#{name}" i]')
        self.tab.wait_for_selector(".scroller[data-settled]")
        self.where = where

    def writes_to(self, name: str) -> None:
        """Begins a direct conversation by its address."""
        self.goes("new")
        self.tab.fill("form.find input", name)
        self.tab.click("form.find button")
        self.tab.click('[data-play="ways"] button')
        self.tab.wait_for_selector(".scroller[data-settled]")
        self.where = name

    def joins(self, room: str) -> None:
        if self.tab.query_selector(f'nav .list a[data-conversation="{room.removeprefix("#")}" i]'):
            return self.opens(room)
        self.goes("discover")
        self.tab.fill("form input[placeholder^='#']", room)
        self.tab.click("form:has(input[placeholder^='#']) button")
        self.tab.wait_for_selector(".scroller[data-settled]")
        self.where = room
        return None

    def types(self, text: str) -> None:
        self.tab.fill("#write", text)

    def says(self, where: str, text: str) -> Seen:
        self.opens(where)
        self.types(text)
        self.tab.press("#write", "Enter")
        return Seen("message", who=self.name, where=where, text=text)

    def line(self, text: str):
        """The line that says this, for a play to act upon."""
        return self.tab.locator(".frame [data-line]", has=self.tab.locator(".said-text", has_text=text)).last

    def tool(self, text: str, label: str) -> None:
        """A tool of the line that says this: `Reply`, `Edit`, …"""
        line = self.line(text)
        line.hover()
        line.get_by_role("button", name=label, exact=True).first.click()

    def reacts(self, text: str, emoji: str) -> None:
        self.tool(text, "React")
        self.tab.locator(".picker .grid.first button", has_text=emoji).first.click()

    def axe(self, source: str) -> list[dict]:
        """What axe-core finds serious in the view that is open."""
        self.tab.evaluate(source)
        found = self.tab.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [
            {"id": one["id"], "help": one["help"], "nodes": [n["html"][:200] + " — " + n["failureSummary"][:300] for n in one["nodes"][:3]]}
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    # What one sees.
    def look(self) -> None:
        if self.tab.is_closed() or self.where is None:
            return
        for line in self.tab.evaluate(LINES):
            form = (line["id"], line["text"], tuple(line["reactions"]), line["edited"])
            if form in self._forms:
                continue
            self._forms.add(form)
            self.saw(
                Seen(
                    "message",
                    who=line["who"].lower(),
                    where=self.where,
                    text=line["text"],
                    archive_id=line["id"],
                    more={"files": line["files"], "reactions": line["reactions"], "edited": line["edited"], "reply": line["reply"]},
                )
            )

    @property
    def _forms(self) -> set:
        return self.__dict__.setdefault("_known_forms", set())

    def shows(self, text: str) -> None:
        """The view shows this, wherever."""
        self.tab.get_by_text(text, exact=False).first.wait_for()

    def lines(self) -> list[str]:
        return [line["text"] for line in self.tab.evaluate(LINES)]

    def unread(self, where: str) -> str:
        """What the list says is unread there."""
        badge = self.tab.query_selector(f'nav .list a[data-conversation="{where.removeprefix("#")}" i] .badge:not(.mention)')
        return badge.inner_text().split()[0] if badge else ""

    def ends(self) -> None:
        self.context.close()

"""A component (XEP-0114) by slixmpp: a bot that repeats what it hears and lets everybody see it."""

from __future__ import annotations

import slixmpp

from .loop import loop, run
from .person import until


class Component:
    """`bot@DOMAIN` at a place with a door for components."""

    def __init__(self, place, domain: str, secret: str, waits: bool = True):
        self.domain, self.states, self.heard = domain, [], []
        self.client = run(self._build(place, domain, secret))
        if waits:
            until("the component to be let in", lambda: "on" in self.states)

    async def _build(self, place, domain: str, secret: str) -> slixmpp.ComponentXMPP:
        client = slixmpp.ComponentXMPP(domain, secret, "127.0.0.1", place.components)
        client.loop = loop()
        client.register_plugin("xep_0199")
        for event, state in (("session_start", "on"), ("disconnected", "off"), ("connection_failed", "off")):
            client.add_event_handler(event, lambda data, state=state: self.states.append(state))
        client.add_event_handler("message", self._hears)
        client.add_event_handler("presence_subscribe", self._is_asked)
        client.connect()
        return client

    def _hears(self, message) -> None:
        self.heard.append(message)
        if message["type"] in ("chat", "normal") and message["body"]:
            self.client.send_message(message["from"].bare, f"you said {message['body']}", mtype="chat", mfrom=message["to"].bare)

    def _is_asked(self, presence) -> None:
        self.client.send_presence(pto=presence["from"].bare, pfrom=presence["to"].bare, ptype="subscribed")

    def sends(self, xml: str) -> None:
        loop().call_soon_threadsafe(self.client.send_raw, xml)

    def is_in(self, patience: float) -> bool:
        """Whether it was let in; waits for an answer."""
        until("an answer to the component", lambda: bool(self.states), patience)
        return "on" in self.states

    def is_sent_away(self) -> None:
        until("the component's stream to end", lambda: "off" in self.states)

    def ends(self) -> None:
        loop().call_soon_threadsafe(self.client.disconnect)

"""People come by invitation: slixmpp makes an account with a link, from an app's command or from the operator (XEP-0401, 0445, 0379)."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import slixmpp
from drivers.loop import loop, run
from drivers.person import until
from drivers.slix import Slixmpp
from slixmpp.exceptions import IqError

COMMANDS, FORMS = "http://jabber.org/protocol/commands", "jabber:x:data"


class Newcomer:
    """slixmpp without an account: shows a token before it registers, as apps do that open a link."""

    def __init__(self, place, name: str, password: str, token: str | None):
        self.place, self.token, self.state, self.refused = place, token, "new", None
        self.client = run(self._build(name, password))
        run(self._connects())

    async def _build(self, name, password):
        client = slixmpp.ClientXMPP(f"{name}@{self.place.domain}/new", password)
        client.loop = loop()
        client.ssl_context = self.place.tls()
        client.enable_direct_tls = client.enable_plaintext = False
        client.register_plugin("xep_0077")
        self._get, client["xep_0077"].get_registration = client["xep_0077"].get_registration, self._asks
        self.wire: list[str] = []
        client.add_filter("in", self._comes_in)
        client.add_event_handler("register", self._registers)
        client.add_event_handler("session_start", lambda _: self._becomes("on"))
        client.add_event_handler("failed_all_auth", lambda _: self._becomes("refused"))
        return client

    def _comes_in(self, stanza):
        self.wire.append(str(stanza)[:1000])
        if isinstance(stanza, slixmpp.Iq) and stanza["id"] == "preauth":
            self._shown.set_result(stanza)
            return None
        return stanza

    def _becomes(self, state):
        self.state = state

    async def _connects(self):
        self.client.connect("127.0.0.1", self.place.xmpp)

    async def _asks(self, *more, **options):
        """What the plugin asks before anything else; with a link, the token comes first (XEP-0445 §4)."""
        try:
            if self.token:
                # Raw, because slixmpp holds back other stanzas until somebody has signed in.
                self._shown = loop().create_future()
                preauth = f"<preauth xmlns='urn:xmpp:pars:0' token='{self.token}'/>"
                self.client.send_raw(f"<iq xmlns='jabber:client' type='set' id='preauth' to='{self.place.domain}'>{preauth}</iq>")
                answer = await self._shown
                if answer["type"] == "error":
                    raise IqError(answer)
            return await self._get(*more, **options)
        except IqError as why:
            self._is_refused(why)
            raise

    async def _registers(self, _form):
        try:
            wish = self.client.make_iq_set(ito=self.place.domain)
            wish["register"]["username"] = self.client.boundjid.user
            wish["register"]["password"] = self.client.password
            await wish.send()
            self.state = "registered"
        except IqError as why:
            self._is_refused(why)

    def _is_refused(self, why):
        self.refused, self.state = why.iq["error"]["condition"], "refused"
        self.client.abort()

    def comes(self, *states: str) -> str:
        until(f"one of {states}", lambda: self.state in states, transcript=lambda: "\n".join(self.wire))
        return self.state

    def leaves(self):
        async def go():
            self.client.abort()

        run(go())


def value(answer: ET.Element, var: str) -> str | None:
    for field in answer.iter(f"{{{FORMS}}}field"):
        if field.get("var") == var:
            return field.findtext(f"{{{FORMS}}}value")
    return None


def token(link: str) -> str:
    return link.split("preauth=")[1].split(";")[0]


def test_an_app_invites_and_an_app_comes(serves, cast):
    node = serves('[accounts]\ninvitations = "members"')
    alice = cast(Slixmpp, node, "alice")
    made = alice.asks("set", f"<command xmlns='{COMMANDS}' node='urn:xmpp:invite#invite' action='execute'/>", to=node.domain)
    link = value(made, "uri")
    assert link.startswith(f"xmpp:{node.jid('alice')}?roster;preauth=") and link.endswith(";ibr=y")
    assert value(made, "landing-url") == f"{node.http}/i/{token(link)}"

    stranger = Newcomer(node, "eve", "eve-knocks-in-vain", None)
    assert stranger.comes("refused", "on") == "refused"
    stranger.leaves()

    dora = Newcomer(node, "dora", "dora-knocks-thrice", token(link))
    assert dora.comes("on", "refused") == "on", dora.refused
    dora.leaves()
    alice.waits("dora as a contact", lambda: alice.roster().get("dora") == "both")
    node.accounts["dora"] = "dora-knocks-thrice"
    dora = cast(Slixmpp, node, "dora")
    assert dora.roster().get("alice") == "both"
    dora.says("alice", "thank you")
    alice.hears("thank you", who="dora")

    late = Newcomer(node, "frank", "frank-knocks-thrice", token(link))
    assert late.comes("refused", "on") == "refused"
    assert late.refused == "item-not-found"
    late.leaves()


def test_the_operator_promises_a_name_and_a_room(serves, cast):
    node = serves()
    node.runs("room", "create", "kitchen", "--owner", "alice", "listed=no")
    link = node.runs("invite", "--from", "alice", "--name", "juliet", "--room", "kitchen")["xmpp"]
    assert link.startswith("xmpp:juliet@localhost?register;preauth=")
    juliet = Newcomer(node, "juliet", "wherefore-art-thou", token(link))
    assert juliet.comes("on", "refused") == "on", juliet.refused
    juliet.leaves()
    node.accounts["juliet"] = "wherefore-art-thou"
    juliet = cast(Slixmpp, node, "juliet")
    rooms = juliet.asks("get", "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/></pubsub>")
    assert "kitchen@rooms.localhost" in [i.get("id") for i in rooms.iter("{http://jabber.org/protocol/pubsub}item")]


def test_administration_from_an_app(serves, cast):
    """XEP-0133, by slixmpp's own plugin."""
    node = serves(admins=("alice",))

    class Admin(Slixmpp):
        plugins = (*Slixmpp.plugins, "xep_0050", "xep_0133", "xep_0004")

    alice, bob = cast(Admin, node, "alice"), cast(Slixmpp, node, "bob")
    seen: list[str] = []

    def fills(values):
        async def go():
            def next_step(iq, session):
                form = iq["command"]["form"]
                answer = alice.client["xep_0004"].make_form(ftype="submit")
                for var in form.get_fields():
                    if var in values:
                        answer.add_field(var=var, value=values[var])
                session["payload"], session["next"] = answer, done
                alice.client["xep_0050"].complete_command(session)

            def done(iq, _session):
                seen.append(iq["command"]["status"])

            return {"next": next_step, "error": lambda iq, _s: seen.append(iq["error"]["condition"])}

        return run(go())

    async def start(command, session):
        getattr(alice.client["xep_0133"], command)(jid=node.domain, session=session)

    run(start("add_user", fills({"accountjid": "dora@localhost", "password": "dora-knocks-thrice", "password-verify": "dora-knocks-thrice"})))
    until("the account", lambda: seen == ["completed"], transcript=alice.transcript)
    node.accounts["dora"] = "dora-knocks-thrice"
    cast(Slixmpp, node, "dora")
    run(start("announce", fills({"announcement": "soup at seven"})))
    bob.hears("soup at seven")
    run(start("delete_user", fills({"accountjids": ["dora@localhost"]})))
    until("the end of dora", lambda: seen == ["completed"] * 3, transcript=alice.transcript)
    assert "dora" not in [a["name"] for a in node.runs("account", "list")]

"""What apps need for calls: the node's credentials open Debian's coturn, and nobody else's do (XEP-0215)."""

from __future__ import annotations

import subprocess

from drivers.person import until
from drivers.programs import Program, folder, free_ports, need
from drivers.slix import Slixmpp

EXTDISCO = "urn:xmpp:extdisco:2"


def relays(port: int, user: str, password: str) -> str:
    """Two clients of coturn's own send to each other through the relay; what they print."""
    done = subprocess.run(
        [need("turnutils_uclient", "coturn"), "-y", "-n", "3", "-m", "1", "-c", "-u", user, "-w", password, "-p", str(port), "127.0.0.1"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_coturn_lets_in_who_asked_the_node(serves, cast):
    (port,) = free_ports(1)
    place = folder("coturn")
    coturn = Program(
        [need("turnserver", "coturn"), "-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={port}",
         "--use-auth-secret", "--static-auth-secret=north-by-northwest", "--realm=localhost", "--allow-loopback-peers",
         "--no-cli", "--no-tls", "--no-dtls", "--no-rfc5780", "--log-file=stdout", "--simple-log", "-v",
         f"--pidfile={place}/pid", f"--userdb={place}/db"],
        place, "coturn",
    )  # fmt: skip
    try:
        coturn.waits_for_port(port)
        (place / "secret").write_text("north-by-northwest\n")
        node = serves(
            '[calls]\nservers = [{ type = "stun", host = "127.0.0.1", port = %d, transport = "udp" },'
            ' { type = "turn", host = "127.0.0.1", port = %d, transport = "udp" }]\nsecret_file = "%s/secret"\n'
            "credential_hours = 1" % (port, port, place)
        )
        alice = cast(Slixmpp, node, "alice")
        info = alice.asks("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>", to=node.domain)
        assert EXTDISCO in [f.get("var") for f in info.iter("{http://jabber.org/protocol/disco#info}feature")]
        told = alice.asks("get", f"<services xmlns='{EXTDISCO}'/>", to=node.domain)
        by_type = {s.get("type"): s for s in told.iter(f"{{{EXTDISCO}}}service")}
        assert by_type["stun"].get("password") is None
        turn = by_type["turn"]
        assert turn.get("restricted") == "1" and turn.get("expires")

        user, password = turn.get("username"), turn.get("password")
        out = relays(port, user, password)
        assert "Total lost packets 0" in out, out
        assert "error 401" not in out, out

        wrong = relays(port, user, password[::-1])
        assert "401" in wrong or "Cannot complete Allocation" in wrong or "Unauthorized" in wrong, wrong
        late = "1000000000:" + user.split(":")[1]
        assert "Total lost packets 0" not in relays(port, late, password)
        until("coturn's log of who came", lambda: user in coturn.output(100_000), transcript=coturn.output)

        one = alice.asks("get", f"<credentials xmlns='{EXTDISCO}'><service host='127.0.0.1' type='turn'/></credentials>", to=node.domain)
        assert one.find(f".//{{{EXTDISCO}}}service").get("password")
    finally:
        coturn.stop()

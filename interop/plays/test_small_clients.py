"""Other IRC clients with the node: catgirl (TLS and SASL only), ii (no capability at all), and a bouncer."""

import re

import pytest

from drivers.catgirl import Catgirl
from drivers.ii import Ii
from drivers.person import words
from drivers.rawirc import RawIrc
from drivers.slix import Slixmpp
from drivers.znc import Znc


@pytest.mark.parametrize("driver", [Catgirl, Ii], ids=lambda d: d.program)
def test_it_signs_in_joins_speaks_and_sees_what_it_missed(node, cast, driver):
    alice, bob = cast(RawIrc, node, "alice"), cast(driver, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
    alice.says("#town", text := words())
    bob.hears(text, where="#town", who="alice")
    bob.says("#town", text := words("hi"))
    alice.hears(text, where="#town", who="bob")
    alice.says("bob", text := words("psst"))
    bob.hears(text, where="alice", who="alice")
    bob.says("alice", text := words("what"))
    alice.hears(text, where="bob", who="bob")
    bob.ends()
    alice.says("#town", missed := words("you were away"))
    alice.hears(missed, where="#town")
    # Without CHATHISTORY what was missed comes by itself, in the room that nobody had to join again.
    again = cast(driver, node, "bob")
    again.hears(re.compile(re.escape(missed)), where="#town", who="alice")


def test_a_bouncer_stands_between(node, cast):
    """ZNC signs in by TLS and SASL, joins, keeps what is said while its user is away, and passes everything on."""
    alice, bob = cast(Slixmpp, node, "alice"), cast(Znc, node, "bob")
    alice.joins("#town")
    bob.waits("ZNC in the room", lambda: any(x.command == "366" for x in bob.lines))
    alice.says("#town", text := words())
    bob.hears(text, where="#town", who="alice")
    bob.says("#town", text := words("hi"))
    alice.hears(text, where="#town", who="bob")
    alice.says("bob", text := words("psst"))
    bob.hears(text, where="alice", who="alice")
    bob.loses_connection()
    alice.says("#town", missed := words("you were away"))
    alice.hears(missed, where="#town")
    bob.comes_again()
    bob.waits("what was missed", lambda: any(missed in x.params[-1] for x in bob.lines if x.command == "PRIVMSG"))
    assert sum(missed in x.params[-1] for x in bob.lines if x.command == "PRIVMSG") == 1

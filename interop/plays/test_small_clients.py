"""Small IRC clients with the node: catgirl (TLS and SASL only) and ii (no capability at all)."""

import re

import pytest

from drivers.catgirl import Catgirl
from drivers.ii import Ii
from drivers.person import words
from drivers.rawirc import RawIrc


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

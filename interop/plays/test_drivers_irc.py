"""The IRC drivers at InspIRCd, ngircd and the node: what they say is heard, what they do is seen."""

import pytest

from drivers.irssi import Irssi
from drivers.ircframework import IrcFramework
from drivers.person import words
from drivers.rawirc import RawIrc
from drivers.weechat import Weechat


@pytest.mark.parametrize("driver", [RawIrc, Weechat, Irssi, IrcFramework])
def test_a_real_client_and_a_socket(irc, cast, driver):
    alice, bob = cast(RawIrc, irc, "alice"), cast(driver, irc, "bob")
    alice.joins("#garden")
    bob.joins("#garden")
    alice.says("#garden", text := words())
    bob.hears(text, where="#garden", who="alice")
    bob.says("#garden", text := words("/me waves"))
    alice.hears(text, where="#garden", who="bob")
    alice.says("bob", text := words("psst"))
    bob.hears(text, where="alice", who="alice")
    bob.says("alice", text := words("what"))
    alice.hears(text, where="bob", who="bob")
    alice.sets_topic("#garden", "roses")
    bob.sees("topic", text="roses", where="#garden", who="alice")
    alice.asks("MODE #garden +m")  # where nobody needs a voice the node gives none
    alice.voices("#garden", "bob")
    bob.sees("voice", who="bob", where="#garden")
    alice.ops("#garden", "bob")
    bob.sees("op", who="bob", where="#garden")
    bob.sets_topic("#garden", "tulips")
    alice.sees("topic", text="tulips", who="bob")
    alice.joins("#pond")
    alice.invites("#pond", "bob")
    bob.sees("invite", who="alice", where="#pond")
    bob.bans("#garden", "eve")
    alice.sees("ban", who="eve", where="#garden")
    alice.kicks("#garden", "bob", "enough")
    bob.sees("kick", who="bob", text="enough")


@pytest.mark.parametrize("driver", [Weechat, Irssi])
def test_without_tls(irc, cast, driver):
    alice, bob = cast(RawIrc, irc, "alice", tls=False), cast(driver, irc, "bob", tls=False)
    alice.says("bob", text := words())
    bob.hears(text, where="alice")


def test_weechat_lists_rooms(irc, cast):
    alice, bob = cast(RawIrc, irc, "alice"), cast(Weechat, irc, "bob")
    alice.joins("#garden")
    alice.sets_topic("#garden", "roses")
    alice.sees("topic", text="roses")
    alice.asks("MODE #garden -s")  # a new room is not listed, on the node
    assert "roses" in bob.rooms()["#garden"]
    assert "roses" in alice.rooms()["#garden"]

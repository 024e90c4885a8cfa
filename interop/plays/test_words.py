"""The translation table, what is said: each row from XMPP to IRC and back, in a room and directly."""

import re
import urllib.error
import urllib.request

import pytest

from drivers.irssi import Irssi
from drivers.person import words
from drivers.rawirc import RawIrc
from drivers.slix import Slixmpp
from drivers.weechat import Weechat


def test_message_has_one_id(talk):
    mine, theirs = talk.said(words())
    assert mine.archive_id and mine.archive_id == theirs.archive_id


def test_action(talk):
    talk.speaker.says(talk.to, text := words("/me waves"))
    talk.hears(text)


def test_formatting(talk):
    """Message styling (XEP-0393) and mIRC codes."""
    token = words("bold")
    if talk.from_xmpp:
        talk.speaker.says(talk.to, f"a *{token}* word and _slanted_")
        heard = talk.listener.hears(re.compile(re.escape(token)), where=talk.at)
        assert f"\x02{token}\x02" in heard.text and "\x1dslanted\x1d" in heard.text
    else:
        talk.speaker.says(talk.to, f"a \x02{token}\x02 word and \x1dslanted\x1d, \x0304red\x03")
        heard = talk.listener.hears(re.compile(re.escape(token)), where=talk.at)
        assert f"*{token}*" in heard.text and "_slanted_" in heard.text
        assert not re.search(r"[\x02\x03\x1d]", heard.text), "XMPP gets no control characters"


def test_long_text(talk):
    """Longer than an IRC line: nothing is lost, and XMPP sees one message."""
    long = words("long") + " " + " ".join(f"word{n}" for n in range(200)) + " end"
    if talk.from_xmpp:
        talk.speaker.says(talk.to, long)
        talk.hears(long)  # as one, by draft/multiline with concat
    else:
        talk.speaker.says(talk.to, near := long[:380])  # near the limit of a line
        talk.hears(near)


@pytest.mark.parametrize("driver", [Weechat, Irssi], ids=lambda d: d.program)
def test_a_very_long_message_leads_to_its_whole_text(node, cast, driver):
    """3,000 lines are no flood on IRC, and nothing of them is lost, until they are taken back."""
    alice, bob = cast(Slixmpp, node, "alice"), cast(driver, node, "bob")
    for one in (alice, bob):
        one.joins("#town")
    poem = "\n".join([words("poem"), *(f"verse {n}" for n in range(2, 3001))])
    alice.says("#town", poem)
    told = bob.hears(re.compile("2750 more lines, for anyone with this link"), where="#town", who="alice")
    url = re.search(r"https://\S+", told.text)[0]
    with urllib.request.urlopen(url, context=node.tls(), timeout=20) as page:
        assert page.read().decode() == poem
    alice.retracts(alice.hears(poem, where="#town"))

    def is_gone() -> bool:
        try:
            urllib.request.urlopen(url, context=node.tls(), timeout=20).close()
        except urllib.error.HTTPError as why:
            return why.code == 410
        return False

    bob.waits("the text to be gone", is_gone)


def test_several_lines(talk):
    text = words("one") + "\ntwo\n\nfour"
    talk.speaker.says(talk.to, text)
    talk.hears(text)


def test_reply(talk):
    mine, theirs = talk.said(words("question"))
    talk.listener.replies(theirs, answer := words("answer"))
    heard = talk.back.hears(answer)
    in_xmpp_direct = talk.from_xmpp and not talk.in_room
    assert heard.to == (mine.id if in_xmpp_direct else mine.archive_id)


def test_edit(talk):
    """From XMPP a correction line that refers to what it corrects. IRC has no edit."""
    if not talk.from_xmpp:
        return _the_edit_of_an_irc_line_is_refused(talk)
    mine, theirs = talk.said(words("teh"))
    talk.speaker.edits(mine, better := words("the"))
    shown = talk.listener.sees("message", text=re.compile(re.escape(better)), where=talk.at, to=theirs.archive_id)
    assert shown.who == talk.speaker.name and shown.archive_id != theirs.archive_id


def _the_edit_of_an_irc_line_is_refused(talk):
    """Nobody corrects what another person said."""
    mine, theirs = talk.said(words("mine"))
    talk.listener.edits(theirs, forged := words("forged"))
    talk.listener.says(talk.at, fence := words("fence"))
    talk.speaker.hears(re.compile(re.escape(fence)))
    assert not talk.speaker.find("message", text=re.compile(re.escape(forged)), to=mine.archive_id)


def test_retraction(talk):
    mine, theirs = talk.said(words("oops"))
    talk.speaker.retracts(mine)
    in_xmpp_direct = not talk.from_xmpp and not talk.in_room
    talk.listener.sees("retraction", to=theirs.id if in_xmpp_direct else theirs.archive_id)


def test_reaction_and_its_end(talk):
    mine, theirs = talk.said(words("nice"))
    talk.listener.reacts(theirs, "👍")
    to = mine.id if talk.from_xmpp and not talk.in_room else mine.archive_id
    talk.speaker.sees("reaction", to=to, text="👍", who=talk.listener.name)
    if talk.from_xmpp:
        talk.listener.unreacts(theirs, "👍")
        talk.speaker.sees("reaction", to=to, text="", who=talk.listener.name)
    else:
        talk.listener.reacts(theirs)
        talk.speaker.sees("unreaction", to=to, text="👍", who=talk.listener.name)


def test_typing(talk):
    """Once something was said (XEP-0085 §5.1)."""
    talk.said(words())
    for state in ("typing", "paused", "stopped"):
        mark = talk.listener.now()
        talk.speaker.types(talk.to, state)
        talk.listener.sees("typing", mark, text=state, who=talk.speaker.name, where=talk.at)


def test_read_position_is_the_accounts(talk, cast, node):
    """What is read on one protocol is read on the account's device of the other: MARKREAD ↔ XEP-0490."""
    mine, theirs = talk.said(words("read me"))
    if talk.from_xmpp:  # bob reads on IRC; his XMPP device knows
        phone = cast(Slixmpp, node, "bob", "phone")
        talk.listener.marks_read(theirs)
        where = node.jid("#town" if talk.in_room else "alice")

        def known():
            found = phone.items("urn:xmpp:mds:displayed:0").get(where)
            return found is not None and found[0].get("id") == theirs.archive_id

        phone.waits("the read position", known)
    else:  # alice reads on XMPP; her IRC device knows
        phone = cast(RawIrc, node, "alice", "phone")
        talk.listener.marks_read(theirs)
        phone.waits("the read marker", lambda: phone.read_marker("#town" if talk.in_room else "bob") not in ("*", ""))
        assert phone.read_marker("#town" if talk.in_room else "bob") == mine.more["time"]


def test_read_reaches_the_sender(talk):
    """MARKREAD is an XEP-0333 marker towards XMPP; IRC has no receipts for the sender to see."""
    if not talk.from_xmpp or talk.in_room:
        return _irc_senders_see_no_receipts(talk)
    asked = talk.speaker.asks_receipt(talk.to, words("sign here"))
    heard = talk.hears(asked.text)
    talk.listener.marks_read(heard)
    talk.speaker.sees("read", to=asked.id, who=talk.listener.name)


def _irc_senders_see_no_receipts(talk):
    """…and what machines say to each other never becomes a line of text."""
    mine, theirs = talk.said(words("no receipt"))
    talk.listener.marks_read(theirs)
    talk.listener.says(talk.at, fence := words("fence"))
    talk.back.hears(fence)
    lines = [s.text for s in talk.speaker.find("message", who=talk.listener.name)]
    assert lines == [fence], f"receipts became text: {lines}"


def test_file(talk):
    """A file from XMPP is a link that IRC can open; a link from IRC is a link."""
    if talk.from_xmpp:
        said = talk.speaker.shares(talk.to, "note.txt", b"what was written")
        heard = talk.listener.hears(re.compile(r"https://\S+note\.txt"), where=talk.at)
        url = re.search(r"https://\S+", heard.text)[0]
        assert url == said.text
    else:
        talk.speaker.says(talk.to, text := words("https://localhost/") + "/x.txt")
        url = None
        talk.hears(text)
    if url:
        assert talk.alice.http("GET", url) == (200, b"what was written")


def test_history_is_one(talk):
    """MAM and CHATHISTORY: the same messages, order and ids, by small pages too."""
    for n in range(4):
        talk.said(words(f"there {n}"))
        talk.back.said(words(f"back {n}"))
    alice, bob = talk.alice, talk.bob
    on_xmpp, on_irc = (talk.to, talk.at) if talk.from_xmpp else (talk.at, talk.to)
    mam = [(s.archive_id, s.who, s.text) for s in alice.history(on_xmpp, page=3) if s.kind == "message"]
    chathistory = [(s.archive_id, s.who, s.text) for s in bob.history(on_irc, page=3) if s.kind == "message"]
    assert len(mam) >= 8 and mam == chathistory
    assert [s.text for s in alice.page(on_xmpp, max=2, before="").seen] == [text for _, _, text in mam[-2:]]


def test_private_message_in_a_room(node, cast, direction):
    alice, bob = cast(Slixmpp, node, "alice"), cast(RawIrc, node, "bob")
    alice.joins("#town")
    bob.joins("#town")
    if direction == "xmpp to irc":
        alice.says("#town/bob", text := words("psst"))
        heard = bob.hears(text, who="alice")
        assert heard.where != "#town"
    else:
        bob.says("alice", text := words("psst"))
        alice.hears(text, who="bob")
    bob.says("#town", fence := words("fence"))
    alice.hears(fence, where="#town")
    # Only the two of them ever find it: the room's history for others has it not.
    spoken = [x.text for x in alice.find("message", where="#town")] + [x.text for x in bob.find("message", where="#town")]
    assert text not in spoken

"""draft/FILEHOST: a file uploaded with curl, its link said in an IRC client, shown as a file on XMPP."""

import re
import subprocess

import pytest

from drivers.irssi import Irssi
from drivers.person import words
from drivers.programs import need
from drivers.rawirc import RawIrc
from drivers.slix import Slixmpp
from drivers.weechat import Weechat


def post(place, url: str, who: str, *more: str) -> tuple[int, str]:
    """curl's POST with the account's password: the status, and where the file is."""
    done = subprocess.run(
        [need("curl"), "--silent", "--show-error", "--cacert", str(place.ca), "--user", who, "--output", "/dev/null",
         "--write-out", "%{http_code} %header{location}", *more, url],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    status, _, location = done.stdout.partition(" ")
    return int(status), location


@pytest.mark.parametrize("on_irc", [Weechat, Irssi], ids=lambda d: d.program)
def test_what_bob_uploads_is_a_file_to_alice(node, cast, tmp_path, on_irc):
    alice, bob, phone = cast(Slixmpp, node, "alice"), cast(on_irc, node, "bob"), cast(RawIrc, node, "bob", "phone")
    alice.joins("#town")
    bob.joins("#town")
    filehost = phone.isupport["draft/FILEHOST"]
    assert filehost.startswith("https://") and phone.isupport["soju.im/FILEHOST"] == filehost
    (tmp_path / "Grüße.txt").write_text(text := words("inside"))
    sends = ["--data-binary", f"@{tmp_path / 'Grüße.txt'}", "--header", "Content-Type: text/plain"]
    named = ["--header", "Content-Disposition: attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe.txt"]
    assert post(node, filehost, "bob:wrong", *sends)[0] == 401
    status, location = post(node, filehost, f"bob:{node.password('bob')}", *sends, *named)
    assert status == 201 and location.endswith("/Gr%C3%BC%C3%9Fe.txt")
    bob.says("#town", location)
    heard = alice.hears(location, where="#town", who="bob")
    assert heard.raw.findtext("{jabber:x:oob}x/{jabber:x:oob}url") == location, "it is marked as a file"
    assert alice.http("GET", location) == (200, text.encode())
    # A file from XMPP is a link in the same place.
    said = alice.shares("#town", "note.txt", b"what was written")
    bob.hears(re.compile(re.escape(said.text)), where="#town", who="alice")

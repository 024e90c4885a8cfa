"""Other people's servers to check the drivers against: Prosody for XMPP, InspIRCd and ngircd for IRC."""

from __future__ import annotations

import os
import shutil
import subprocess

from .place import Place, certificate
from .programs import Program, folder, free_ports, need

ACCOUNTS = {"alice": "alice-secret-1", "bob": "bob-secret-2"}

PROSODY = """
run_as_root = true
pidfile = "{dir}/prosody.pid"
data_path = "{dir}/data"
plugin_paths = {{}}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
c2s_direct_tls_ports = {{ {tls} }}
s2s_ports = {{}}
s2s_direct_tls_ports = {{}}
http_ports = {{ {http} }}
https_ports = {{ {https} }}
http_interfaces = {{ "127.0.0.1" }}
https_interfaces = {{ "127.0.0.1" }}
ssl = {{ certificate = "{cert}", key = "{key}" }}
https_ssl = {{ certificate = "{cert}", key = "{key}" }}
http_external_url = "https://localhost:{https}/"
authentication = "internal_hashed"
storage = "internal"
archive_expires_after = "1w"
default_archive_policy = true
allow_registration = false
c2s_require_encryption = true
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "carbons", "pep", "private", "blocklist", "bookmarks", "vcard4",
  "vcard_legacy", "version", "uptime", "time", "ping", "mam", "smacks", "csi", "csi_simple", "lastactivity", "offline" }}
modules_disabled = {{ "s2s" }}
limits = {{}}
log = {{ debug = "{dir}/prosody.log" }}

VirtualHost "localhost"
  disco_items = {{ {{ "rooms.localhost", "rooms" }}, {{ "upload.localhost", "upload" }} }}

Component "rooms.localhost" "muc"
  modules_enabled = {{ "muc_mam" }}
  muc_log_by_default = true
  muc_room_locking = false
  muc_room_default_public = true
  muc_room_default_persistent = true

Component "upload.localhost" "http_file_share"
  http_host = "localhost"
  http_file_share_size_limit = 10485760
"""

INSPIRCD = """
<config format="xml">
<server name="irc.localhost" description="peer" network="Peer">
<admin name="a" nick="a" email="a@localhost">
<bind address="127.0.0.1" port="{plain}" type="clients">
<bind address="127.0.0.1" port="{tls}" type="clients" sslprofile="clients">
<module name="ssl_gnutls">
<sslprofile name="clients" provider="gnutls" cafile="" certfile="{cert}" keyfile="{key}" requestclientcert="no">
<connect name="main" allow="*" timeout="60" pingfreq="600" hardsendq="4M" softsendq="64K" recvq="64K" threshold="5000"
 commandrate="1000000" fakelag="no" localmax="5000" globalmax="5000" resolvehostnames="no" useident="no" modes="+i">
<module name="cap"><module name="ircv3"><module name="ircv3_batch"><module name="ircv3_ctctags"><module name="ircv3_echomessage">
<module name="ircv3_labeledresponse"><module name="ircv3_msgid"><module name="ircv3_servertime"><module name="ircv3_invitenotify">
<module name="ircv3_capnotify"><module name="ircv3_chghost"><module name="monitor"><module name="namesx"><module name="uhnames">
<module name="setname"><module name="services_account"><module name="chanhistory"><module name="silence">
<log method="file" type="*" level="default" target="{dir}/inspircd.log">
<pid file="{dir}/inspircd.pid">
<files motd="{dir}/motd">
<options defaultmodes="not">
"""

NGIRCD = """
[Global]
Name = irc.localhost
Info = peer
Listen = 127.0.0.1
Ports = {plain}
ServerUID = {uid}
ServerGID = {uid}
MotdPhrase = hello
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxPenaltyTime = 0
PingTimeout = 600
[Options]
DNS = no
Ident = no
PAM = no
SyslogFacility = daemon
[SSL]
CertFile = {cert}
KeyFile = {key}
Ports = {tls}
"""


class Peer(Place):
    """A server of others: accounts made, listening, and ended by pid."""

    program: Program

    def stop(self) -> None:
        self.program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Prosody(Peer):
    """Debian's Prosody with archive, carbons, stream management, PEP, bookmarks, upload, and rooms."""

    def __init__(self):
        super().__init__(name="prosody", accounts=dict(ACCOUNTS))
        prosody, ctl = need("prosody"), need("prosodyctl", "prosody")
        self.folder = folder("prosody")
        self.ca, key = certificate(self.folder)
        self.xmpp, self.xmpp_tls, http, https = free_ports(4)
        self.http = f"https://localhost:{https}"
        config = self.folder / "prosody.cfg.lua"
        config.write_text(PROSODY.format(dir=self.folder, c2s=self.xmpp, tls=self.xmpp_tls, http=http, https=https, cert=self.ca, key=key))
        for name, secret in self.accounts.items():
            subprocess.run([ctl, "--root", "--config", str(config), "register", name, self.domain, secret], check=True, capture_output=True)
        self.program = Program([prosody, "--root", "--config", config, "-F"], self.folder, "prosody")
        self.program.waits_for_port(self.xmpp)
        self.program.waits_for_port(https)

    def logs(self) -> str:
        return (self.folder / "prosody.log").read_text(errors="replace")[-8000:]


class InspIrcd(Peer):
    """Debian's InspIRCd with what it has of IRCv3. It has no accounts."""

    def __init__(self):
        super().__init__(name="inspircd", accounts=dict(ACCOUNTS), sasl=False)
        inspircd = need("inspircd")
        self.folder = folder("inspircd")
        self.ca, key = certificate(self.folder)
        self.irc, self.irc_tls = free_ports(2)
        (self.folder / "motd").write_text("hello\n")
        config = self.folder / "inspircd.conf"
        config.write_text(INSPIRCD.format(dir=self.folder, plain=self.irc, tls=self.irc_tls, cert=self.ca, key=key))
        self.program = Program([inspircd, "--nofork", "--runasroot", "--config", config], self.folder, "inspircd")
        self.program.waits_for_port(self.irc_tls)

    def logs(self) -> str:
        return self.program.output()


class Ngircd(Peer):
    """Debian's ngircd: plain RFC 2812, no capabilities to speak of. It has no accounts."""

    def __init__(self):
        super().__init__(name="ngircd", accounts=dict(ACCOUNTS), sasl=False)
        ngircd = need("ngircd")
        self.folder = folder("ngircd")
        self.ca, key = certificate(self.folder)
        self.irc, self.irc_tls = free_ports(2)
        config = self.folder / "ngircd.conf"
        config.write_text(NGIRCD.format(plain=self.irc, tls=self.irc_tls, cert=self.ca, key=key, uid=os.getuid()))
        self.program = Program([ngircd, "--nodaemon", "--config", config], self.folder, "ngircd")
        self.program.waits_for_port(self.irc)

    def logs(self) -> str:
        return self.program.output()

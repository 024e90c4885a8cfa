"""Synapse, to check the Matrix drivers against. SYNAPSE names the python of a venv that has it: it is not installed for tests."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from .peers import ACCOUNTS, Peer
from .place import certificate
from .programs import Program, folder, free_ports

CONFIG = """
server_name: localhost
pid_file: {dir}/synapse.pid
public_baseurl: {http}/
listeners:
  - {{port: {port}, type: http, tls: true, bind_addresses: ["127.0.0.1"], resources: [{{names: [client]}}]}}
tls_certificate_path: {cert}
tls_private_key_path: {key}
database: {{name: sqlite3, args: {{database: {dir}/db.sqlite}}}}
media_store_path: {dir}/media
signing_key_path: {dir}/signing.key
log_config: {dir}/log.yaml
report_stats: false
registration_shared_secret: peer
trusted_key_servers: []
suppress_key_server_warning: true
enable_authenticated_media: true
user_directory: {{enabled: true, search_all_users: true}}
rc_message: &much {{per_second: 1000, burst_count: 1000}}
rc_registration: *much
rc_login: {{address: *much, account: *much, failed_attempts: *much}}
rc_joins: {{local: *much, remote: *much}}
rc_invites: {{per_room: *much, per_user: *much, per_issuer: *much}}
"""

LOG = """
version: 1
handlers: {{file: {{class: logging.FileHandler, filename: {dir}/synapse.log}}}}
root: {{level: INFO, handlers: [file]}}
"""


class Synapse(Peer):
    """What the Matrix drivers must manage with, before a play may say that it is the node's fault."""

    def __init__(self):
        super().__init__(name="synapse", accounts=dict(ACCOUNTS))
        python = os.environ.get("SYNAPSE")
        if not python:
            pytest.skip("SYNAPSE does not name a python with matrix-synapse")
        self.folder = folder("synapse")
        self.ca, key = certificate(self.folder)
        (port,) = free_ports(1)
        self.http = f"https://127.0.0.1:{port}"
        config = self.folder / "homeserver.yaml"
        config.write_text(CONFIG.format(dir=self.folder, port=port, http=self.http, cert=self.ca, key=key))
        (self.folder / "log.yaml").write_text(LOG.format(dir=self.folder))
        argv = [python, "-m", "synapse.app.homeserver", "-c", str(config)]
        subprocess.run([*argv, "--generate-keys"], check=True, capture_output=True, cwd=self.folder)
        self.program = Program(argv, self.folder, "synapse")
        self.program.waits_for_port(port)
        for name, secret in self.accounts.items():
            subprocess.run(
                [python, "-m", "synapse._scripts.register_new_matrix_user", "-u", name, "-p", secret, "--no-admin", "-k", "peer", self.http],
                check=True, capture_output=True, env={**os.environ, "REQUESTS_CA_BUNDLE": str(self.ca)},
            )  # fmt: skip

    def logs(self) -> str:
        return (self.folder / "synapse.log").read_text(errors="replace")[-8000:]

"""Processes: started on one core, ended by their own id; free ports; certificates."""

import os
import shutil
import signal
import socket
import subprocess
import time

SERVER_CORE, LOAD_CORE = "0", "1"


def free_ports(many):
    """Ports on loopback that nobody listens on just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(many)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start(command, log, core=SERVER_CORE, **more):
    """Starts a program pinned to a core, in a process group of its own."""
    return subprocess.Popen(
        ["taskset", "-c", core, *command], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        start_new_session=True, **more)


def stop(process, how=signal.SIGTERM, patience=20):
    """Ends a process that `start` started, and what is left of its group."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_port(port, process, patience=60):
    """Waits until somebody listens on a port."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it listened")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"nobody listens on {port} after {patience} s")


def wait_for_line(line, log, process, patience=60):
    """Waits until a program has written something."""
    end = time.monotonic() + patience
    while time.monotonic() < end and process.poll() is None:
        if line in log.read_text(errors="replace"):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the server did not say {line!r}")


def fill(template, place, words):
    """Writes a configuration from its template in bench/peers."""
    text = template.read_text()
    for key, value in words.items():
        text = text.replace(f"@{key}@", str(value))
    place.write_text(text)


def certificate(folder):
    """One self-signed P-256 certificate for every peer: the kind of key that Sammen makes at its first start."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:rooms.localhost",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())


def found(program):
    """Where a program is, or None."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

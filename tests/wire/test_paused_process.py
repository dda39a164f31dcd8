"""A process that is stopped while a response is in its socket takes the response when it goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.tls import CLIENT, SERVER, serving
from tests.support.wires import GIVEN, OWN

ROOT = Path(__file__).parents[2]
RUNS = 20
TIMEOUT = 0.15

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system stops no processes")


def whole_request(connection: socket.socket) -> bool:
    heard = b""
    while not heard.endswith(b"\r\n\r\n{}"):
        some = connection.recv(65536)
        if not some:
            return False
        heard += some
    return True


@pytest.mark.parametrize(
    ("kind", "scheme", "size", "runs"),
    [
        *((kind, "http", 15, RUNS) for kind in OWN),
        *((kind, "http", 300_000, 3) for kind in OWN),
        *((kind, "https", 300_000, 3) for kind in OWN),
        *((kind, "http", 15, 3) for kind in GIVEN),
    ],
)
def test_no_response_is_lost_that_waits_in_the_socket(kind: str, scheme: str, size: int, runs: int) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b" " * size
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"{scheme}://localhost:{listening.getsockname()[1]}/"
        command = [sys.executable, "-m", "tests.support.paused", kind, url, str(runs), str(TIMEOUT)]
        environment = {**os.environ, "SSL_CERT_FILE": str(CLIENT)}
        client = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            listening.settimeout(30)
            connection, _ = listening.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * size + 65536)
            if scheme == "https":
                connection = serving(SERVER).wrap_socket(connection, server_side=True)
            with connection:
                for _ in range(runs):
                    assert whole_request(connection), client.communicate()[1]
                    os.kill(client.pid, signal.SIGSTOP)
                    connection.sendall(said)
                    time.sleep(TIMEOUT * 1.2)
                    os.kill(client.pid, signal.SIGCONT)
                told, problems = client.communicate(timeout=30)
        finally:
            client.kill()
            client.wait()
    assert problems == ""
    assert told.split() == [str(size)] * runs

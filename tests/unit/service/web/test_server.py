"""The server itself: connections that ask nothing, and what the service manager hears."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from eventresults.service.web.address import listen
from eventresults.service.web.limits import Limits
from eventresults.service.web.notify import Notifier
from eventresults.service.web.server import Server
from tests.support.views import until
from tests.unit.service.web.conftest import serving


@contextmanager
def running(limits: Limits, environ: dict[str, str] | None = None, **options) -> Iterator[tuple[Server, str]]:
    """A server in a thread, and its address."""
    with serving(limits=limits, **options) as web:
        server = Server(web.app, limits=limits, notifier=Notifier(environ or {}))
        listening = listen("127.0.0.1", 0)
        port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="test-server")
        thread.start()
        try:
            until(lambda: server.started)
            yield server, f"127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize("said", [b"", b"GET /livez HTTP/1.1\r\nHost:", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /li"])
def test_a_connection_that_asks_nothing_is_dropped(said: bytes):
    with running(Limits(stalled_seconds=0.1)) as (_, address):
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(said)
            while client.recv(4096):
                pass


def test_a_connection_that_asks_is_kept():
    with running(Limits(stalled_seconds=0.1)) as (server, address), httpx.Client(base_url=f"http://{address}") as client:
        assert client.get("/livez").status_code == 200
        with client.stream("GET", "/api/v1/events?ids=a") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry")
            ticks = iter(range(10_000))
            until(lambda: next(ticks) > 800)  # more than a second
            assert server.server_state.connections
        assert client.get("/livez").status_code == 200


def test_the_service_manager_is_told_of_readiness_only_once_it_is_there(tmp_path):
    # given
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(10)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "n")}

        # when: a lag of 0 records is too much for it
        with running(Limits(), environ, max_lag=-1):
            told = [manager.recv(4096).decode() for _ in range(3)]
        last = manager.recv(4096).decode()
        while "STOPPING" not in last:
            told.append(last)
            last = manager.recv(4096).decode()

    # then
    assert not any("READY" in one for one in told)
    assert all("STATUS=lag: 0 records" in one and "EXTEND_TIMEOUT_USEC=" in one for one in told)

"""What a client makes of whoever answers at a service's address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from eventresults.errors import ViewUnavailable
from eventresults.view.channel import Gone
from eventresults.view.websocket import WebSocketChannel


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does this with its one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                answer(connection)

        thread = threading.Thread(target=serve, name="answering", daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(5)


def test_a_connection_that_ends_within_the_handshake_is_gone_and_may_be_made_again():
    with answering(lambda connection: None) as url, pytest.raises(Gone):
        WebSocketChannel(url, timeout=5)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_service_that_is_not_there_behind_its_proxy_may_come_back(status: int):
    with (
        answering(lambda connection: connection.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)) as url,
        pytest.raises(Gone),
    ):
        WebSocketChannel(url, timeout=5)


def test_what_is_no_view_service_is_said():
    with (
        answering(lambda connection: connection.sendall(b"220 smtp ready\r\n")) as url,
        pytest.raises(ViewUnavailable, match="no view service"),
    ):
        WebSocketChannel(url, timeout=5)

"""A way to a view service: whole messages over a WebSocket, spoken by the sans-I/O half of `websockets` over a socket of our own.

The library's own client has a thread that reads for the thread that reads: one change of threads more for every answer.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections import deque
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from eventresults.errors import ConfigError, ViewUnavailable
from eventresults.view.channel import Gone, Silent
from eventresults.view.protocol import MAX_FRAME_BYTES, SILENCE_SECONDS

PATH: Final = "/api/v1/socket"
_READ_BYTES: Final = 256 * 1024


class WebSocketChannel:
    """A connection to the service at `url` (http://host:port or https://…); `token` is what it asks for, if it does.

    Certificates are judged by the system's authorities (or those of `SSL_CERT_FILE`). Raises `Gone` when it cannot be reached within
    `timeout` seconds, `ConfigError` when it refuses the token, `ViewUnavailable` when what answers there is no view service.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 10.0, silence: float = SILENCE_SECONDS) -> None:
        try:
            uri = parse_uri(f"ws{url.removeprefix('http').rstrip('/')}{PATH}")
        except (InvalidURI, ValueError) as error:
            raise ConfigError(f"view={url!r} is no address of a service: http://host:port.", setting="view") from error
        self._protocol = ClientProtocol(uri, max_size=MAX_FRAME_BYTES)
        self._framing = threading.Lock()
        self._sending = threading.Lock()
        self._messages: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._room = memoryview(bytearray(_READ_BYTES))
        self._ended = False
        try:
            self._socket = socket.create_connection((uri.host, uri.port), timeout=timeout)
        except OSError as error:
            raise Gone(str(error)) from None
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if uri.secure:
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=urlsplit(url).hostname)
            self._shake_hands(url, token)
            _wait_at_most(self._socket, silence)
        except BaseException as error:
            self._socket.close()
            if isinstance(error, OSError):
                raise Gone(str(error)) from None
            raise

    def send(self, *messages: bytes) -> None:
        """See `Channel.send`."""
        try:
            with self._sending:
                with self._framing:
                    for message in messages:
                        self._protocol.send_binary(message)
                    data = b"".join(self._protocol.data_to_send())
                self._socket.sendall(data)
        except (OSError, WebSocketException) as error:
            # Half a message may be out: nothing can follow it.
            self.end()
            if isinstance(error, BlockingIOError | TimeoutError):
                raise Silent from None
            raise Gone(str(error)) from None

    def receive(self) -> bytes:
        """See `Channel.receive`."""
        while not self._messages:
            if self._ended:
                raise Gone("the service ended the connection")
            try:
                size = self._socket.recv_into(self._room)
            except (BlockingIOError, TimeoutError):
                raise Silent from None
            except OSError as error:
                raise Gone(str(error)) from None
            if not size:
                raise Gone("closed by the other side")
            self._take(bytes(self._room[:size]))
        return self._messages.popleft()

    @property
    def pending(self) -> bool:
        """See `Channel.pending`."""
        return bool(self._messages)

    def end(self) -> None:
        """See `Channel.end`."""
        with suppress(OSError):  # it is not connected any more
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """See `Channel.close`."""
        self.end()
        with self._sending:  # or a sender might write to whatever has the number next
            self._socket.close()

    def leave_to_parent(self) -> None:
        """See `Channel.leave_to_parent`."""
        descriptor = self._socket.detach()
        if descriptor >= 0:
            os.close(descriptor)

    def _shake_hands(self, url: str, token: str | None) -> None:
        request = self._protocol.connect()
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        self._protocol.send_request(request)
        self._socket.sendall(b"".join(self._protocol.data_to_send()))
        answered = False
        while not answered:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise Gone("closed by the other side")
            self._protocol.receive_data(data)
            # What the service says first may come with its consent.
            for event in self._protocol.events_received():
                if isinstance(event, Response):
                    answered = True
                else:
                    self._keep(event)
            refused = self._protocol.handshake_exc
            if isinstance(refused, InvalidStatus):
                raise _refused(url, refused.response.status_code)
            if isinstance(refused, InvalidHandshake):
                raise ViewUnavailable(f"What answers at {url} is no view service ({refused}): see view=.", services=[url]) from refused
            if refused is not None:
                raise Gone(str(refused))

    def _take(self, data: bytes) -> None:
        with self._framing:
            self._protocol.receive_data(data)
            events = self._protocol.events_received()
            answers = b"".join(self._protocol.data_to_send())
        if answers:  # to a ping, or a goodbye
            try:
                with self._sending:
                    self._socket.sendall(answers)
            except OSError as error:
                raise Gone(str(error)) from None
        for event in events:
            self._keep(event)

    def _keep(self, event: object) -> None:
        if not isinstance(event, Frame):
            return
        if event.opcode is Opcode.CLOSE:
            self._ended = True
        if event.opcode not in (Opcode.BINARY, Opcode.CONT):
            return
        self._parts.append(bytes(event.data))
        if event.fin:
            self._messages.append(b"".join(self._parts))
            self._parts = []


def _wait_at_most(connected: socket.socket, seconds: float) -> None:
    """Let reading and writing end after so long without a byte: by the kernel, for a timeout of Python's makes every call two."""
    if isinstance(connected, ssl.SSLSocket):
        connected.settimeout(seconds)
        return
    connected.settimeout(None)
    wait = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)


def _refused(url: str, status: int) -> Exception:
    if status in (401, 403):
        message = f"The service at {url} does not accept this process's token ({status}): set token= or token_file=."
        return ConfigError(message, setting="token")
    if status in (429, 502, 503, 504):  # its own answer, or that of a proxy before it
        return Gone(f"the service is busy or not ready ({status})")
    return ViewUnavailable(f"What answers at {url} is no view service (status {status}): see view=.", services=[url])

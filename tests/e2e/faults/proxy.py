"""A network that can be frozen, cut and reset: a TCP proxy on this host between clients and a service."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from contextlib import suppress


class Proxy:
    """Relays what comes to `port` to `target`. Any thread may do harm; one thread of its own relays."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._frozen = threading.Event()
        self._refusing = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="faults-proxy", daemon=True)
        self._thread.start()

    def freeze(self) -> None:
        """Nothing gets through any more, and nobody is told."""
        self._frozen.set()

    def thaw(self) -> None:
        self._frozen.clear()

    def refuse(self, yes: bool) -> None:
        """New connections are ended at once."""
        self._refusing = yes

    def cut(self, *, reset: bool) -> None:
        """Every connection ends, in good order or by a reset."""
        with self._lock:
            for one in list(self._pairs):
                self._drop(one, reset=reset)

    def close(self) -> None:
        self._closed = True
        self._frozen.clear()
        self._thread.join(5)
        self.cut(reset=True)
        self._listening.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._closed:
            if self._frozen.is_set():
                time.sleep(0.01)
                continue
            for key, _ in self._selector.select(0.05):
                with self._lock:
                    if key.fileobj is self._listening:
                        self._accept()
                    elif key.fileobj in self._pairs:
                        self._relay(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        try:
            if self._refusing:
                raise ConnectionRefusedError
            service = socket.create_connection(("127.0.0.1", self._target), timeout=2)
        except OSError:
            client.close()
            return
        for one, other in ((client, service), (service, client)):
            one.settimeout(5)
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _relay(self, one: socket.socket) -> None:
        try:
            data = one.recv(65536)
            if data:
                self._pairs[one].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(one, reset=False)

    def _drop(self, one: socket.socket, *, reset: bool) -> None:
        for each in (one, self._pairs.get(one)):
            if each is not None and self._pairs.pop(each, None) is not None:
                self._selector.unregister(each)
                with suppress(OSError):
                    if reset:
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    each.close()

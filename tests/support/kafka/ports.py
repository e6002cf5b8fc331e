"""Ports of our own."""

from __future__ import annotations

import socket
import sys

HOST = "127.0.0.1"


class ReservedPorts:
    """Free TCP ports on 127.0.0.1 that stay ours until `release`, also while the broker that listens there is down.

    A bare "bind, look, close" loses its port now and then: to another test process, or to a client, whose
    outgoing connection is given that very port while the broker restarts. On Linux a bound socket that does not listen
    keeps everyone off, save a listener that sets SO_REUSEADDR, as Java does. Elsewhere the ports are let go at once.
    """

    def __init__(self, count: int) -> None:
        self._sockets = [socket.socket() for _ in range(count)]
        for each in self._sockets:
            each.bind((HOST, 0))
        self.numbers: tuple[int, ...] = tuple(each.getsockname()[1] for each in self._sockets)
        for each in self._sockets:
            # Only after the bind: set before it, we might be given a port that another reservation holds.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        """Give the ports back. May be called again."""
        for each in self._sockets:
            each.close()

"""Telling systemd how it goes: datagrams to the socket that it names in the environment (sd_notify)."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

logger = logging.getLogger(__name__)


class Notifier:
    """Tells the service manager. Without one it tells nobody; what cannot be told is logged once, and never fails."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._failed = False
        #: How often the manager wants to hear that we live, in seconds: half of its patience. None: it does not.
        self.watchdog: float | None = _watchdog(environ)

    def __bool__(self) -> bool:
        return self._address is not None

    def tell(self, **facts: str | int) -> None:
        """Send these, such as READY=1, STATUS="…"."""
        if self._address is None:
            return
        message = "\n".join(f"{name}={' '.join(str(value).split())}" for name, value in facts.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._failed:
                self._failed = True
                logger.warning("the service manager cannot be told (NOTIFY_SOCKET): %s", error)


def _address(named: str) -> bytes | None:
    """A path, or a name in the abstract namespace, which begins with "@"."""
    if named.startswith("@"):
        return b"\0" + named[1:].encode()
    return named.encode() if named.startswith("/") else None


def _watchdog(environ: Mapping[str, str]) -> float | None:
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1_000_000 / 2

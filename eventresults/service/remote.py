"""A view that services on other hosts serve: any of them that answers, and another one when it does no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic, sleep
from typing import Final

from eventresults.errors import Closed, ViewUnavailable
from eventresults.log.base import Log
from eventresults.log.own import OwnWrites
from eventresults.service.finder import Held
from eventresults.service.held import Joined
from eventresults.service.told import Told
from eventresults.view.channel import Gone, Silent
from eventresults.view.listeners import Listeners
from eventresults.view.websocket import WebSocketChannel

#: Between two rounds through all services.
PAUSE_SECONDS: Final = (0.02, 1.0)


class ServiceFinder:
    """Finds one of the services at these addresses (http://host:port), the first that answers. Never reads the log itself."""

    def __init__(self, services: Sequence[str], log: Log, own: OwnWrites, *, token: str | None, read_timeout: float) -> None:
        self._services = list(services)
        self._log = log
        self._own = own
        self._token = token
        self._read_timeout = read_timeout
        self._given_up = False

    @property
    def name(self) -> str:
        """See `Finder.name`."""
        return ", ".join(self._services)

    def find(
        self, listeners: Listeners, *, after: Told | None, lost: Held | None, deadline: float, on_lost: Callable[[Held], None]
    ) -> Joined:
        """See `Finder.find`. Raises `ViewUnavailable`, and `ConfigError` for a token that is not accepted."""
        del lost
        pause, longest = PAUSE_SECONDS
        said: dict[str, str] = {}
        while not self._given_up:
            for service in self._services:
                try:
                    channel = WebSocketChannel(service, token=self._token, timeout=max(deadline - monotonic(), 0.05))
                    return Joined(channel, listeners, self._log, self._own, after, on_lost, name=service, read_timeout=self._read_timeout)
                except Gone as gone:
                    said[service] = str(gone)
                except Silent:
                    said[service] = "it does not answer"
            if monotonic() + pause >= deadline:
                reasons = "; ".join(f"{service}: {why}" for service, why in said.items())
                raise ViewUnavailable(
                    f"No view service answers ({reasons}): start one with `eventresults serve`, or see view=.", services=self._services
                )
            sleep(pause)
            pause = min(pause * 2, longest)
        raise Closed("This tracker is closed: open a new one with eventresults.connect().", what="tracker")

    def give_up(self) -> None:
        """See `Finder.give_up`."""
        self._given_up = True

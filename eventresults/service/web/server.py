"""The server: uvicorn in the main thread until a signal, in good order afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from time import monotonic
from types import FrameType
from typing import Any

import uvicorn

from eventresults.service.web.app import App
from eventresults.service.web.limits import Limits
from eventresults.service.web.notify import Notifier

logger = logging.getLogger(__name__)

#: How long requests under way may take once the service ends.
GRACE_SECONDS = 5
SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: How often readiness is looked at for the service manager: until it is ready, and then.
LOOK_SECONDS = (0.2, 10.0)
#: How much more time the service manager is asked for, at each look, while the view catches up.
PATIENCE_SECONDS = 30


class Server(uvicorn.Server):
    """Serves an application on one listening socket.

    SIGTERM or SIGINT: takes no more connections, ends streams and sockets, finishes requests for at most 5 seconds, and returns. A second
    signal ends the process at once.
    """

    def __init__(self, app: App, *, limits: Limits, notifier: Notifier, tls_cert: str | None = None, tls_key: str | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="websockets-sansio",
                ws_max_size=limits.message,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                ssl_certfile=tls_cert,
                ssl_keyfile=tls_key,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._app = app
        self._stalled = limits.stalled_seconds
        #: Connections without a request, since when.
        self._idle: dict[Any, float] = {}
        self._notifier = notifier
        self._attending: asyncio.Task[None] | None = None

    @property
    def ending(self) -> bool:
        """Whether a signal has come."""
        return self.should_exit

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, and tell the service manager from then on."""
        await super().startup(sockets)
        if self._notifier:
            self._attending = asyncio.create_task(self._attend())

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second. Drops who connects and asks nothing: uvicorn only minds those who have asked something."""
        if counter % 10 == 0:
            self._drop_idle(monotonic())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in good order."""
        if self._attending is not None:
            self._attending.cancel()
        self._notifier.tell(STOPPING=1, STATUS="stopping")
        for server in self.servers:
            server.close()
        await self._app.stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The first signal ends the service in good order, and is not sent again: then the process is done, and exits with 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._signalled) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _drop_idle(self, now: float) -> None:
        idle = {}
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", connection)
            if cycle is None or getattr(cycle, "response_complete", False):
                since = idle[connection] = self._idle.get(connection, now)
                if now - since > self._stalled:
                    connection.transport.abort()
        self._idle = idle

    def _signalled(self, number: int, _: FrameType | None) -> None:
        if self.should_exit:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.should_exit = True

    async def _attend(self) -> None:
        """READY once the checks say so; then the status, and the watchdog's sign of life, which a loop that hangs does not give."""
        loop, notifier = asyncio.get_running_loop(), self._notifier
        ready = False
        watchdog = notifier.watchdog
        next_look = loop.time()
        while True:
            if watchdog is not None:
                notifier.tell(WATCHDOG=1)
            if loop.time() >= next_look:
                checks = await self._app.ready()
                bad = [f"{name}: {check.found}" for name, check in checks.items() if not check.ok]
                if not bad and not ready:
                    ready = True
                    notifier.tell(READY=1, STATUS="ready")
                elif ready:
                    notifier.tell(STATUS="; ".join(bad) or "ready")
                else:
                    notifier.tell(STATUS="; ".join(bad), EXTEND_TIMEOUT_USEC=PATIENCE_SECONDS * 1_000_000)
                next_look = loop.time() + LOOK_SECONDS[ready]
            pause = max(next_look - loop.time(), 0.01)
            await asyncio.sleep(pause if watchdog is None else min(pause, watchdog))

"""The owner's end of the Unix socket: an event loop in a thread of its own, and a session for each process that connects."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from eventresults.errors import ViewError
from eventresults.log.forked import leave_to_parent
from eventresults.service.feed import to_loop
from eventresults.service.session import Served, Session
from eventresults.view import protocol
from eventresults.view.channel import Gone, framed, take_frame

logger = logging.getLogger(__name__)

#: Questions that wait for something at the same time.
THREADS: Final = 32
BACKLOG: Final = 128
JOIN_SECONDS: Final = 3.0
#: The longest question: 10,000 ids of 1,024 bytes, and some.
MAX_QUESTION_BYTES: Final = 16 * 1024 * 1024


class Doorway:
    """Serves a view at `path` until `close`. `alive()` is asked before every heartbeat; False: say nothing more."""

    def __init__(self, path: Path, served: Served, *, alive: Callable[[], bool] = lambda: True) -> None:
        """Bind and listen, in place of whoever left a socket there. Raises `ViewError`."""
        self.path = path
        self._served = served
        self._alive = alive
        self._closed = False
        self._connections: set[_Connection] = set()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="eventresults-view-read")
        self._listening = _bind(path)
        self._inode = path.stat().st_ino
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="eventresults-view-server", daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many processes read here."""
        return len(self._connections)

    @property
    def watched(self) -> int:
        """How many ids they watch."""
        return sum(connection.session.watched for connection in list(self._connections))

    def close(self) -> None:
        """Say goodbye, drop everybody, remove the socket if it is still ours. Idempotent, quick."""
        if self._closed:
            return
        self._closed = True
        try:
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()
        except OSError:
            pass  # gone already: nobody is misled
        to_loop(self._loop, self._stop)
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def leave_to_parent(self) -> None:
        """In a forked child: close the inherited ends by number, or who connects to a dead parent would be heard by nobody."""
        leave_to_parent(self, self._loop, self._pool, self._listening, *self._connections)
        for number in [*self._numbers()]:
            try:
                os.close(number)
            except OSError:
                pass  # it was being closed

    def _numbers(self) -> list[int]:
        inherited = [self._listening.fileno(), *(connection.number for connection in self._connections)]
        selector = getattr(self._loop, "_selector", None)
        inherited += [] if selector is None else [selector.fileno()]
        for end in ("_ssock", "_csock"):
            pair = getattr(self._loop, end, None)
            inherited += [] if pair is None else [pair.fileno()]
        return [number for number in inherited if number >= 0]

    # The loop's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            logger.exception("the view at %s is no longer served to other processes", self.path)
        finally:
            self._listening.close()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self) -> None:
        server = await self._loop.create_unix_server(lambda: _Connection(self), sock=self._listening, backlog=BACKLOG)
        try:
            while not self._stopping.is_set():
                if self._alive():
                    for connection in list(self._connections):
                        connection.session.beat()
                try:
                    await asyncio.wait_for(self._stopping.wait(), protocol.BEAT_SECONDS)
                except TimeoutError:
                    pass
        finally:
            server.close()
            for connection in list(self._connections):
                connection.session.leave()
            await asyncio.sleep(0)

    def _stop(self) -> None:
        self._stopping.set()

    def session(self, connection: _Connection) -> Session:
        """What answers this one."""
        self._connections.add(connection)
        return Session(self._served, connection, pool=self._pool, loop=self._loop, pid=os.getpid())

    def forget(self, connection: _Connection) -> None:
        """It is gone."""
        self._connections.discard(connection)


class _Connection(asyncio.Protocol):
    """One process that reads here: bytes to messages and back."""

    session: Session

    def __init__(self, doorway: Doorway) -> None:
        self._doorway = doorway
        self._buffer = bytearray()
        self.number = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.number = transport.get_extra_info("socket").fileno()
        self.session = self._doorway.session(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            while (message := take_frame(self._buffer, MAX_QUESTION_BYTES)) is not None:
                self.session.received(message)
        except Gone as gone:
            logger.warning("a connection to the view is dropped: %s", gone)
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it is gone either way
        self.number = -1
        self.session.closed()
        self._doorway.forget(self)

    def send(self, message: bytes) -> None:
        """See `Outgoing.send`."""
        self._transport.write(framed(message))

    @property
    def buffered(self) -> int:
        """See `Outgoing.buffered`."""
        return self._transport.get_write_buffer_size()

    def close(self) -> None:
        """See `Outgoing.close`."""
        self._transport.close()


def _bind(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        listening.bind(str(path))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise ViewError(
            f"Cannot listen at {path} for other processes: {error}. Set XDG_RUNTIME_DIR to a short path.", path=str(path)
        ) from error
    return listening

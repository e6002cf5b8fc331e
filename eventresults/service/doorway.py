"""The owner's end of the Unix socket: an event loop in a thread of its own, and a session for each process that connects."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

from eventresults.errors import EventResultsError, ViewError
from eventresults.log.forked import leave_to_parent
from eventresults.service.feed import to_loop
from eventresults.service.pool import Pool
from eventresults.service.served import Served
from eventresults.service.session import Session
from eventresults.view import protocol
from eventresults.view.channel import Gone, framed, take_frame

logger = logging.getLogger(__name__)

#: Questions that wait for something at the same time.
THREADS: Final = 32
BACKLOG: Final = 128
#: Bytes that are read at once.
READ_BYTES: Final = 256 * 1024
JOIN_SECONDS: Final = 3.0
#: The longest question: 10,000 ids of 1,024 bytes, and some.
MAX_QUESTION_BYTES: Final = 16 * 1024 * 1024
#: What a reader may leave unread: so many seconds long, and so many bytes.
PATIENCE_SECONDS: Final = 30.0
MAX_UNREAD_BYTES: Final = 256 * 1024 * 1024
#: How long those who read here are given to take what is on its way to them when the owner goes.
GOODBYE_SECONDS: Final = 0.5


class Doorway:
    """Serves a view at `path` until `close`. `alive()` is asked before every heartbeat; False: say nothing more."""

    def __init__(self, path: Path, served: Served, *, alive: Callable[[], bool] = lambda: True) -> None:
        """Bind and listen, in place of whoever left a socket there. Raises `ViewError`."""
        self.path = path
        self._served = served
        self._alive = alive
        self._closed = False
        self._connections: set[_Connection] = set()
        self._pool = Pool(THREADS, "eventresults-view-read")
        self._listening = _bind(path)
        self._inode = path.stat().st_ino
        self._loop = asyncio.SelectorEventLoop()
        self._stopping = asyncio.Event()
        self._emptied = asyncio.Event()
        #: Where every connection reads, for no two do so at once: made anew for each question, it would take longer than the reading.
        self.room = memoryview(bytearray(READ_BYTES))
        self._thread = threading.Thread(target=self._run, name="eventresults-view-server", daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many processes read here."""
        return len(self._connections)

    @property
    def watched(self) -> int:
        """How many ids they watch."""
        return sum(connection.watched for connection in list(self._connections))

    def close(self) -> None:
        """Say goodbye, drop everybody, remove the socket if it is still ours. Idempotent, quick."""
        if self._closed:
            return
        self._closed = True
        with suppress(OSError):  # gone already: nobody is misled
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()
        to_loop(self._loop, self._stop)
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)
        self._pool.close()

    def leave_to_parent(self) -> None:
        """In a forked child: close the inherited ends by number, or who connects to a dead parent would be heard by nobody."""
        leave_to_parent(self, self._loop, self._pool, self._listening, *self._connections)
        for number in self._numbers():
            with suppress(OSError):  # it was being closed
                os.close(number)

    def _numbers(self) -> list[int]:
        """Those that are open: each forgets its number before that is closed, so none of them means another file by now."""
        numbers = {connection.number for connection in self._connections}
        numbers.update(_accepted_at(self.path))  # the loop may not have come to tell of it yet
        for end in (self._listening, *(getattr(self._loop, name, None) for name in ("_selector", "_ssock", "_csock"))):
            if end is not None:
                with suppress(ValueError):  # a closed selector has none
                    numbers.add(end.fileno())
        return [number for number in numbers if number >= 0]

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
        # Not `create_unix_server`: from Python 3.13 on it removes, when it closes, whoever's socket lay at the path when it began.
        server = await self._loop.create_server(lambda: _Connection(self), sock=self._listening, backlog=BACKLOG)
        try:
            while not self._stopping.is_set():
                if self._alive():
                    for connection in list(self._connections):
                        connection.beat()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), protocol.BEAT_SECONDS)
        finally:
            server.close()
            for connection in list(self._connections):
                connection.leave()
            if self._connections:
                self._emptied.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._emptied.wait(), GOODBYE_SECONDS)
            for connection in list(self._connections):
                connection.drop("it did not take the owner's goodbye")
            await asyncio.sleep(0)

    def _stop(self) -> None:
        self._stopping.set()

    def session(self, connection: _Connection) -> Session:
        """What answers this one. Raises `Closed` when the view is."""
        self._connections.add(connection)
        return Session(self._served, connection, pool=self._pool, loop=self._loop, pid=os.getpid())

    def forget(self, connection: _Connection) -> None:
        """It is gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()


class _Connection(asyncio.BufferedProtocol):
    """One process that reads here: bytes to messages and back."""

    def __init__(self, doorway: Doorway) -> None:
        self._doorway = doorway
        self._buffer = bytearray()
        self._session: Session | None = None
        #: What is to be written, in one go, once all that was read is answered.
        self._unwritten: list[bytes] = []
        self._reading = False
        #: Since when the other side reads too little, if it does.
        self._unread_since: float | None = None
        self.number = -1

    @property
    def watched(self) -> int:
        """How many ids it watches."""
        return 0 if self._session is None else self._session.watched

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.number = transport.get_extra_info("socket").fileno()
        try:
            self._session = self._doorway.session(self)
        except EventResultsError as error:
            self.drop(str(error))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - there is one for all
        return self._doorway.room

    def buffer_updated(self, nbytes: int) -> None:
        self._buffer += self._doorway.room[:nbytes]
        self._reading = True
        try:
            while self._session is not None and (message := take_frame(self._buffer, MAX_QUESTION_BYTES)) is not None:
                self._session.received(message)
        except Gone as gone:
            self.drop(str(gone))
        except Exception:
            logger.exception("a question to the view could not be taken")
            self.drop("it asked what could not be taken")
        finally:
            self._reading = False
            self._write()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it is gone either way
        self.number = -1
        self._end()
        self._doorway.forget(self)

    def pause_writing(self) -> None:
        self._unread_since = monotonic()

    def resume_writing(self) -> None:
        self._unread_since = None

    def beat(self) -> None:
        """Say that the owner lives, unless nobody hears it."""
        if self._session is None:
            return
        if self._unread_since is not None and monotonic() - self._unread_since > PATIENCE_SECONDS:
            self.drop(f"it has read next to nothing for {PATIENCE_SECONDS:g} s")
            return
        try:
            self._session.beat()
        except EventResultsError as error:
            self.drop(str(error))

    def leave(self) -> None:
        """Say that the owner goes."""
        if self._session is not None:
            self._session.leave()
        self.close()

    def drop(self, why: str) -> None:
        """End it now, whatever is on its way."""
        logger.warning("a connection to the view is dropped: %s", why)
        self._end()
        self._transport.abort()

    def _end(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.closed()

    def send(self, message: bytes) -> None:
        """See `Outgoing.send`."""
        if self.buffered > MAX_UNREAD_BYTES:
            self.drop(f"it has left {self.buffered:,} bytes unread")
        else:
            self._unwritten.append(framed(message))
            if not self._reading:
                self._write()

    def _write(self) -> None:
        if self._unwritten:
            unwritten, self._unwritten = self._unwritten, []
            self._transport.write(b"".join(unwritten))

    @property
    def buffered(self) -> int:
        """See `Outgoing.buffered`."""
        return self._transport.get_write_buffer_size()

    def close(self) -> None:
        """See `Outgoing.close`."""
        self._write()
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


def _accepted_at(path: Path) -> Iterator[int]:
    """The numbers of this process's sockets that were connected to at this path."""
    for entry in Path("/dev/fd").iterdir():
        number = int(entry.name)
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            end = socket.socket(fileno=number)
        except OSError:  # what the folder was listed by
            continue
        try:
            if end.family == socket.AF_UNIX and end.getsockname() == str(path):
                yield number
        finally:
            end.detach()

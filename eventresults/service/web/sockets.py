"""WebSockets for processes: whole binary frames between a client and its session, written by one task, within bounds."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from starlette.types import Receive, Scope, Send

from eventresults.errors import EventResultsError
from eventresults.service.feed import Outgoing
from eventresults.service.web.limits import Limits
from eventresults.service.web.problems import Refused, problem
from eventresults.service.web.questions import Questions
from eventresults.view.protocol import BEAT_SECONDS

logger = logging.getLogger(__name__)

#: WebSocket close codes: a text frame where only binary ones mean something; a client that does not keep up; the end of the service.
UNSUPPORTED = 1003
TRY_AGAIN_LATER = 1013
RESTARTING = 1012
NORMAL = 1000


class Session(Protocol):
    """One client's conversation. On the event loop; nothing here may block."""

    def received(self, message: bytes, /) -> None:
        """The client said this."""

    @property
    def watched(self) -> int:
        """How many ids it watches."""

    def beat(self) -> None:
        """Called every half second, for the client to hear that the service lives."""

    def leave(self) -> None:
        """The service goes: say goodbye."""

    def closed(self) -> None:
        """The client is gone; called once, last."""


#: Begins the conversation with a client that was let in.
MakeSession = Callable[[Outgoing, asyncio.AbstractEventLoop], Session]
#: Finds what conversations are about. May block, and raise any `EventResultsError`: then the client is refused.
OpenSessions = Callable[[], MakeSession]


class Sockets:
    """The endpoint, and the connections that are open."""

    def __init__(self, open_sessions: OpenSessions, questions: Questions, limits: Limits) -> None:
        self._open_sessions = open_sessions
        self._questions = questions
        self._limits = limits
        self._open: dict[Writer, Session] = {}

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._open)

    @property
    def watched(self) -> int:
        """How many ids they watch."""
        return sum(session.watched for session in self._open.values())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client until it leaves, is dropped, or the service stops. ASGI itself: every layer would cost each frame time."""
        try:
            make_session = await self._questions.ask(self._open_sessions)
        except (Refused, EventResultsError) as error:
            await problem(error)(scope, receive, send)
            return
        await receive()  # it wants to connect
        await send({"type": "websocket.accept"})
        writer = Writer(self._limits)
        session = self._open[writer] = make_session(writer, asyncio.get_running_loop())
        reading = asyncio.create_task(self._read(receive, session, writer))
        writing = asyncio.create_task(self._write(send, writer))
        beating = asyncio.create_task(self._beat(session, writer, writing))
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._open[writer]
            session.closed()
            writer.close()
            # What it was told last may still be on its way; what it says is of no interest any more.
            await asyncio.wait((writing,), timeout=self._limits.stalled_seconds)
            for task in (reading, writing, beating):
                task.cancel()
            await asyncio.wait((reading, writing))
        if not reading.cancelled():
            reading.result()

    def stop(self) -> None:
        """End them all: their clients connect again, to whoever serves then."""
        for writer, session in list(self._open.items()):
            session.leave()
            writer.end(RESTARTING)

    async def _beat(self, session: Session, writer: Writer, writing: asyncio.Task[None]) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            session.beat()
            if writer.stuck_for > self._limits.stalled_seconds:
                logger.warning("a client of /api/v1/socket took nothing for %g s and is dropped", writer.stuck_for)
                writer.leave()
                writing.cancel()
                return

    async def _read(self, receive: Receive, session: Session, writer: Writer) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                writer.leave()
                return
            frame = message.get("bytes")
            if frame is None:
                writer.end(UNSUPPORTED)
                continue
            session.received(frame)

    async def _write(self, send: Send, writer: Writer) -> None:
        try:
            while (frame := await writer.next()) is not None:
                await send({"type": "websocket.send", "bytes": frame})
            if writer.code is not None:
                await send({"type": "websocket.close", "code": writer.code, "reason": ""})
        except (RuntimeError, OSError):
            writer.leave()  # it is gone, and the reading side hears of it


class Writer:
    """Frames on their way to one client."""

    def __init__(self, limits: Limits) -> None:
        #: With which code to close; None: the client closed, or is to be left without a word.
        self.code: int | None = None
        self._limits = limits
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._ended = False
        self._news = asyncio.Event()
        self._since: float | None = None

    @property
    def stuck_for(self) -> float:
        """How long the client has been taking the frame that is being written, in seconds."""
        return 0.0 if self._since is None else monotonic() - self._since

    @property
    def buffered(self) -> int:
        """See `Outgoing.buffered`."""
        return self._bytes

    def send(self, frame: bytes) -> None:
        """See `Outgoing.send`."""
        if self._ended:
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        self._news.set()
        if self._bytes > self._limits.socket_bytes:
            self._frames.clear()
            self.end(TRY_AGAIN_LATER)

    def close(self) -> None:
        """See `Outgoing.close`."""
        self.end(NORMAL)

    def end(self, code: int) -> None:
        """Close with this code once what was handed over is written; a code that says more than `NORMAL` takes its place."""
        if not self._ended or self.code == NORMAL:
            self._ended, self.code = True, code
            self._news.set()

    def leave(self) -> None:
        """Nothing can be written any more."""
        self._ended, self.code = True, None
        self._frames.clear()
        self._news.set()

    async def next(self) -> bytes | None:
        """The next frame, to be written at once; None at the end."""
        while True:
            if self._frames:
                frame = self._frames.popleft()
                self._bytes -= len(frame)
                self._since = monotonic()
                return frame
            if self._ended:
                self._since = monotonic()
                return None
            self._since = None
            self._news.clear()
            await self._news.wait()

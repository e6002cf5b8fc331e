"""What stands in for threads, loops, sockets and clocks. All of it belongs to one `World`, and waits by letting others take steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

from eventresults.errors import Closed
from eventresults.view import protocol
from eventresults.view.channel import Gone
from eventresults.view.live import LiveView
from eventresults.view.memory import MemoryStore
from eventresults.view.remote import RemoteView


class Stepping(Protocol):
    """Whoever decides who goes next."""

    def pause(self) -> None:
        """Somebody else may go on now, for a while."""

    def wait_for(self, ready: Callable[[], bool]) -> bool:
        """Let others go on until it is so; False when nobody could bring it about."""

    def alone(self) -> AbstractContextManager[None]:
        """Nobody else goes on within."""


class Dead(BaseException):
    """The process that does this was killed: nothing of it happens any more."""


class SimStore(MemoryStore):
    """Memory that is shared with others: each look at it, and the instant after a commit, is one at which others may go on."""

    def __init__(self, world: Stepping, process: Process, rows: Mapping[bytes, bytes] | None = None) -> None:
        super().__init__()
        self._world, self._process = world, process
        self._rows = dict(rows or {})
        self._in_order = False

    @property
    def rows(self) -> dict[bytes, bytes]:
        return dict(self._opened())

    def _pause(self) -> None:
        self._world.pause()
        if self._process.dead:
            raise Dead

    def get(self, key: bytes) -> bytes | None:
        self._pause()
        return super().get(key)

    def get_many(self, keys: Any) -> list[bytes | None]:
        self._pause()
        return super().get_many(keys)

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Any:
        self._pause()
        return super().scan(start, stop, reverse=reverse)

    def commit(self, puts: Any, deletes: Any = ()) -> None:
        self._pause()
        super().commit(puts, deletes)
        self._pause()


class SimView(LiveView):
    """A live view of whose readers none waits in real time."""

    world: Stepping

    def publish(self, partition: int, position: int, changes: Any) -> None:
        with self.world.alone():  # who asks meanwhile how far it is waits until all is told
            super().publish(partition, position, changes)

    def wait(self, ends: Mapping[int, int], deadline: float) -> bool:
        if not self.world.wait_for(lambda: self._closed or self._reached(ends)):
            return False
        if self._closed:
            raise Closed("The view was closed while a read waited for it.", what="view")
        return True

    def wait_for_others(self, shards: Any, deadline: float) -> bool:
        return self.world.wait_for(lambda: self.shards is not shards)


class SimRoom:
    """In the place of a condition that a feed waits at."""

    world: Any

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def wait(self, timeout: float) -> None:
        self.world.wait_for(lambda: self.world.chance.random() < 0.3)
        if self.world.working[-1].dead:
            raise Dead

    def notify_all(self) -> None:
        pass


class Process:
    """One that serves: a loop and a pool whose work is done when the scheduler says so."""

    def __init__(self) -> None:
        self.dead = False
        self.calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self.later: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.work: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    # As an event loop

    def call_soon_threadsafe(self, act: Callable[..., None], *arguments: Any) -> None:
        if not self.dead:
            self.calls.append((act, arguments))

    def call_later(self, _seconds: float, act: Callable[..., None], *arguments: Any) -> None:
        if not self.dead:
            self.later.append((act, arguments))

    def is_closed(self) -> bool:
        return self.dead

    # As a pool

    def submit(self, work: Callable[..., None], /, *arguments: Any) -> None:
        if not self.dead:
            self.work.append((work, arguments))

    def kill(self) -> None:
        self.dead = True
        self.calls.clear()
        self.later.clear()
        self.work.clear()


class Wire:
    """Two ways between a client and a session: what was said and not yet heard. `cut` ends both."""

    def __init__(self) -> None:
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        #: No more comes from the server after what is in `down`.
        self.ending = False
        self.lost = False

    # As the server's `Outgoing`

    def send(self, message: bytes) -> None:
        if not (self.ending or self.lost):
            self.down.append(message)

    @property
    def buffered(self) -> int:
        return sum(map(len, self.down))

    def close(self) -> None:
        self.ending = True


class SimChannel:
    """The client's end of a wire. Nobody waits at it: what comes is handed to the view when the scheduler says so."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def send(self, *messages: bytes) -> None:
        if self.wire.lost:
            raise Gone("cut")
        self.wire.up.extend(messages)

    def receive(self) -> bytes:
        """The first word, which the view's constructor waits for."""
        if not self.wire.down:
            raise Gone("nobody answered")
        return self.wire.down.popleft()

    #: Each message is handed over by itself.
    pending = False

    def end(self) -> None:
        self.wire.lost = True

    def close(self) -> None:
        self.wire.lost = True

    def leave_to_parent(self) -> None:
        raise NotImplementedError


class SimRemoteView(RemoteView):
    """A remote view without a receiving thread."""

    def _start(self) -> None:
        pass

    def hand(self, message: bytes | None) -> None:
        """What that thread does with one message; None: the connection ended."""
        try:
            if message is None:
                raise Gone("cut")
            self._take(protocol.reply(message))
            self.asking.wake()
        except Gone as gone:
            self.asking.give_up(gone)
            self._lose()
            self._on_lost(self)

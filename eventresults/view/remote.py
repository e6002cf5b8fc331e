"""A view that another process holds, asked over one connection by all threads of this one.

A thread of its own receives: answers go to those who wait for them, changes to the listeners. When the connection is lost, everything
that waits raises `ViewUnavailable`, and `on_lost` is called: whoever made this may connect again and hand over `told`, the vector from
which the listeners are to be told on.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from eventresults.errors import EventResultsError, ViewStale, ViewUnavailable
from eventresults.view import protocol
from eventresults.view.channel import Channel, Gone, Silent
from eventresults.view.listeners import Listeners
from eventresults.view.protocol import Changes, Hello, Message, Unwatch, Watch, Watching, WatchRevokes

logger = logging.getLogger(__name__)

#: How much longer than a question may take its answer is waited for: the owner says itself that time is up.
GRACE_SECONDS: Final = 0.5
JOIN_SECONDS: Final = 2.0

A = TypeVar("A", bound=Message)


class RemoteView:
    """Questions to the owner at the other end of `channel`, and changes from there for `listeners`. Any thread.

    `after` is what an earlier connection told the listeners: (log id, vector). Making one waits for the owner's `Hello`; raises
    `Silent`, `Gone`, and `ViewUnavailable` for an owner of another version.
    """

    def __init__(
        self,
        channel: Channel,
        listeners: Listeners,
        *,
        name: str,
        after: tuple[str, Mapping[int, int]] | None = None,
        on_lost: Callable[[RemoteView], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.hello = _hello(channel, name)
        self.listeners = listeners
        #: Why the connection is no more; `silent` when the owner stopped answering.
        self.lost: str | None = None
        self.silent = False
        self._channel = channel
        self._on_lost = on_lost
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Slot] = {}
        self._sending = threading.Lock()
        self._unsent: deque[Message] = deque()
        known = after[1] if after is not None and after[0] == self.hello.log_id else None
        self._told: dict[int, int] = dict(self.hello.positions if known is None else known)
        #: Watches whose history is still being told, and how far those that were told reach.
        self._catching: dict[int, None] = {}
        self._caught: dict[int, int] = {}
        listeners.on_more = lambda subjects: self._unsent.extend(_watches(subjects))
        listeners.on_fewer = lambda subjects: self._unsent.append(Unwatch(list(subjects)))
        listeners.on_revokes = lambda: self._unsent.append(WatchRevokes())
        self._watch_all(known)
        self._thread = threading.Thread(target=self._receive, name="eventresults-view-remote", daemon=True)
        self._thread.start()

    @property
    def told(self) -> tuple[str, dict[int, int]]:
        """The log's id, and the offsets before which every change of what is listened to was told."""
        return self.hello.log_id, dict(self._told)

    def call(self, expected: type[A], question: Callable[..., Message], *arguments: Any, timeout: float) -> A:
        """Ask `question(number, *arguments, timeout)`, and return its answer. Raises what the owner raised, and `ViewUnavailable`."""
        slot = _Slot()
        number = next(self._numbers)
        self._waiting[number] = slot
        try:
            self._send(question(number, *arguments, timeout))
            if not slot.done.acquire(timeout=timeout + GRACE_SECONDS):
                raise ViewStale(
                    f"{self.name} did not answer within {timeout:g} s: wait longer (timeout, read_timeout).", reason="no answer in time"
                )
        finally:
            self._waiting.pop(number, None)
        answer = slot.answer
        if isinstance(answer, protocol.Failed):
            raise protocol.read_error(answer)
        if answer is None:
            raise self._unavailable()
        if not isinstance(answer, expected):
            raise ViewUnavailable(f"{self.name} answered {type(answer).__name__} to {question!r}: run the same version.", services=[])
        return answer

    def flush(self) -> None:
        """Send what is to be watched from now on. A lost connection is no error here: the next one will be told."""
        try:
            with self._sending:
                self._send_unsent()
        except Gone:
            pass  # the receiving thread sees it, and says so

    def close(self) -> None:
        """End the connection. Idempotent; what waits raises `ViewUnavailable`, and `on_lost` is not called."""
        self._on_lost = lambda _: None
        self._channel.close()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)

    def leave_to_parent(self) -> None:
        """In a forked child: the connection is the parent's."""
        self._channel.leave_to_parent()

    # Sending

    def _send(self, message: Message) -> None:
        if self.lost is not None:
            raise self._unavailable()
        try:
            with self._sending:
                if self._unsent:
                    self._send_unsent()
                self._channel.send(protocol.encode(message))
        except Gone as gone:
            self.lost = self.lost or str(gone)
            raise self._unavailable() from None

    def _send_unsent(self) -> None:
        while self._unsent:
            message = self._unsent.popleft()
            if isinstance(message, Watch):
                ids = message.ids
                while self._unsent and isinstance(more := self._unsent[0], Watch) and len(ids) + len(more.ids) <= protocol.MAX_IDS:
                    ids = ids + more.ids
                    self._unsent.popleft()
                message = Watch(0, ids, None)
            self._channel.send(protocol.encode(message))

    def _watch_all(self, after: Mapping[int, int] | None) -> None:
        """Watch everything that is listened to, telling first what history holds after this vector."""
        messages: list[Message] = []
        for watch in _watches(self.listeners.subjects()):
            if after is None:
                messages.append(watch)
            else:
                number = next(self._numbers)
                self._catching[number] = None
                messages.append(Watch(number, watch.ids, dict(after)))
        if self.listeners.of_revokes:
            messages.append(WatchRevokes())
        with self._sending:
            for message in messages:
                self._channel.send(protocol.encode(message))

    # Receiving

    def _receive(self) -> None:
        try:
            while True:
                self._take(protocol.reply(self._channel.receive()))
        except Silent:
            self.silent = True
            self._lose(f"it said nothing for {protocol.SILENCE_SECONDS:g} s")
        except Gone as gone:
            self._lose(str(gone))
        except EventResultsError as error:
            logger.warning("the connection to %s is given up: %s", self.name, error)
            self._lose(str(error))
        except Exception as error:
            logger.exception("the connection to %s is given up", self.name)
            self._lose(repr(error))
        self._on_lost(self)

    def _lose(self, why: str) -> None:
        self.lost = self.lost or why
        self._channel.close()
        for slot in list(self._waiting.values()):
            slot.settle(None)

    def _take(self, said: protocol.Reply) -> None:
        match said:
            case Changes():
                self._tell(said)
            case protocol.Beat():
                self._advance(said.positions)
                if self._unsent:
                    self.flush()
            case Watching():
                self._caught_up(said)
            case protocol.Lagged():
                logger.info("%s told faster than this process listens: asking again from where it is", self.name)
                self._catching.clear()
                self._watch_all(dict(self._told))
            case protocol.Leaving():
                raise Gone("the owner leaves")
            case Hello():
                raise ViewUnavailable(f"{self.name} said hello twice.", services=[])
            case _:
                slot = self._waiting.get(said.call)
                if slot is not None:
                    slot.settle(said)

    def _tell(self, said: Changes) -> None:
        listeners = self.listeners
        for wire in said.changes:
            subject, (partition, offset, _, _), *_ = wire
            if listeners.listens(subject, request=True):
                listeners.tell(protocol.read_change(wire))
            if said.live and not self._catching and offset >= self._told.get(partition, 0):
                self._told[partition] = offset + 1

    def _advance(self, positions: Mapping[int, int]) -> None:
        if self._catching:
            return
        for partition, offset in positions.items():
            if offset > self._told.get(partition, 0):
                self._told[partition] = offset

    def _caught_up(self, said: Watching) -> None:
        """One of the watches has been told its history; once all have, all were told up to where the least of them was."""
        if said.call not in self._catching:
            return
        del self._catching[said.call]
        for partition, offset in said.positions.items():
            self._caught[partition] = min(offset, self._caught.get(partition, offset))
        if not self._catching:
            self._advance(self._caught)
            self._caught = {}

    def _unavailable(self) -> ViewUnavailable:
        return ViewUnavailable(
            f"The connection to {self.name} was lost ({self.lost}): ask again.", services=[self.name], reason=self.lost or ""
        )


class _Slot:
    """A place for one answer."""

    __slots__ = ("answer", "done")

    def __init__(self) -> None:
        self.done = threading.Lock()
        self.done.acquire()
        self.answer: protocol.Answer | None = None

    def settle(self, answer: protocol.Answer | None) -> None:
        self.answer = answer
        try:
            self.done.release()
        except RuntimeError:
            pass  # settled already: lost just after the answer


def _hello(channel: Channel, name: str) -> Hello:
    try:
        said = protocol.reply(channel.receive())
    except BaseException:
        channel.close()
        raise
    if isinstance(said, Hello) and said.version == protocol.VERSION:
        return said
    channel.close()
    if isinstance(said, protocol.Failed):
        raise protocol.read_error(said)
    version = said.version if isinstance(said, Hello) else "?"
    raise ViewUnavailable(
        f"{name} speaks version {version} of the view's protocol, this process {protocol.VERSION}: run the same version of eventresults.",
        services=[name],
    )


def _watches(subjects: Sequence[str]) -> list[Watch]:
    return [Watch(0, list(subjects[at : at + protocol.MAX_IDS]), None) for at in range(0, len(subjects), protocol.MAX_IDS)]

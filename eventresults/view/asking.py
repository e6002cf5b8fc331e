"""What many threads ask and say over one connection, and the answers that come back.

To change threads costs as much as a whole question. So while others are being woken by their answers, a question is left to be sent by
the last of them, with all that they ask meanwhile; and each who is woken wakes the next, or they would all be woken at once, to wait
for each other.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final, TypeVar

from eventresults.errors import ViewStale, ViewUnavailable
from eventresults.view import protocol, travel
from eventresults.view.channel import Channel, Gone, Silent
from eventresults.view.protocol import Message, Watch

#: How much longer than a question may take its answer is waited for: the owner says itself that time is up.
GRACE_SECONDS: Final = 0.5
#: When to wake one after the other has taken so long, all are woken: some thread computes, and each would have to wait for it in turn.
LATE_SECONDS: Final = 0.001

A = TypeVar("A", bound=Message)


class Asking:
    """Questions and words to whoever is at the other end of `channel`, called `name`. Any thread; answers are brought by one."""

    def __init__(self, channel: Channel, *, name: str) -> None:
        self.name = name
        #: Why the connection is no more; `silent` when the owner stopped answering.
        self.lost: str | None = None
        self.silent = False
        self._channel = channel
        self._numbers = itertools.count(1)
        #: Encoded where they are asked, for an error there is the asker's; but watches may become one.
        self._unsent: deque[bytes | Watch] = deque()
        self._sending = threading.Lock()
        self._waiting: dict[int, Slot] = {}
        #: Those whose answers are here, and who are not woken yet; and since when.
        self._answered: deque[Slot] = deque()
        self._since = 0.0

    def number(self) -> int:
        """One for a question; never the same."""
        return next(self._numbers)

    def call(self, expected: type[A], question: Callable[..., Message], *arguments: Any, timeout: float) -> A:
        """Ask `question(number, *arguments, timeout)`, and return its answer. Raises what the owner raised, and `ViewUnavailable`."""
        slot = Slot(self.number())
        try:
            self.ask(slot, question(slot.number, *arguments, timeout))
            if not slot.done.acquire(timeout=timeout + GRACE_SECONDS) and slot.answer is None:
                raise ViewStale(
                    f"{self.name} did not answer within {timeout:g} s: wait longer (timeout, read_timeout).", reason="no answer in time"
                )
        finally:
            self._waiting.pop(slot.number, None)
            slot.left = True
            self._pass_on()
        answer = slot.answer
        if isinstance(answer, protocol.Failed):
            raise travel.read_error(answer)
        if answer is None:
            raise self._unavailable()
        if not isinstance(answer, expected):
            raise ViewUnavailable(f"{self.name} answered {type(answer).__name__} to {question!r}: run the same version.", services=[])
        return answer

    def ask(self, slot: Slot, question: Message) -> None:
        """Send a question whose answer `slot` is the place of. Raises `ViewUnavailable`."""
        frame = protocol.encode(question)
        self._waiting[slot.number] = slot
        if self.lost is not None:
            raise self._unavailable()
        self._unsent.append(frame)
        if not self._answered:
            self.flush()
            if self.lost is not None:
                raise self._unavailable()

    def say(self, *words: Message) -> None:
        """Send these before whatever is said or asked later: with that, or by `flush`."""
        self._unsent.extend(word if isinstance(word, Watch) else protocol.encode(word) for word in words)

    def flush(self) -> None:
        """Send what waits for it. A lost connection is no error here."""
        try:
            # Whoever sends at present also sends what the others leave meanwhile, in one go: nobody waits to send.
            while self._unsent and self._sending.acquire(blocking=False):
                try:
                    self._channel.send(*self._frames())
                finally:
                    self._sending.release()
        except (Gone, Silent) as error:
            self.give_up(error)  # who receives sees it, and says so

    def answered(self, said: protocol.Answer) -> None:
        """An answer came: whoever asked has it, and is to be woken."""
        slot = self._waiting.get(said.call)
        if slot is not None:
            slot.answer = said
            self._answered.append(slot)

    def wake(self) -> None:
        """Wake those whose answers came."""
        if self._answered:
            self._since = monotonic()
            self._pass_on()

    def give_up(self, error: Gone | Silent) -> None:
        """The connection is no more, for this reason, if there was none before."""
        if self.lost is None:
            self.silent = isinstance(error, Silent)
            self.lost = f"it was silent for {protocol.SILENCE_SECONDS:g} s" if self.silent else str(error)

    def release(self) -> None:
        """Let go of all who wait for an answer: those whose answers are here have them, the others get `ViewUnavailable`."""
        for slot in list(self._waiting.values()):
            slot.wake()

    def _pass_on(self) -> None:
        """Wake the next of those whose answers are here; after the last, send what they left to be sent."""
        while self._answered:
            try:
                slot = self._answered.popleft()
            except IndexError:
                break  # another thread took it
            slot.wake()
            # One that has left wakes nobody any more.
            if not slot.left and monotonic() - self._since < LATE_SECONDS:
                return
        if self._unsent:
            self.flush()

    def _frames(self) -> list[bytes]:
        frames: list[bytes] = []
        while self._unsent:
            said = self._unsent.popleft()
            if isinstance(said, bytes):
                frames.append(said)
            elif said.after is not None:
                frames.append(protocol.encode(said))
            else:
                frames.append(protocol.encode(Watch(0, self._with_next(said.ids), None)))
        return frames

    def _with_next(self, ids: list[str]) -> list[str]:
        """These, with those of the watches that follow, as many as one may have."""
        while (
            self._unsent
            and isinstance(more := self._unsent[0], Watch)
            and more.after is None
            and len(ids) + len(more.ids) <= protocol.MAX_IDS
        ):
            ids = ids + more.ids
            self._unsent.popleft()
        return ids

    def _unavailable(self) -> ViewUnavailable:
        return ViewUnavailable(
            f"The connection to {self.name} was lost ({self.lost}): ask again.", services=[self.name], reason=self.lost or ""
        )


class Slot:
    """A place for one answer, and for who waits for it."""

    __slots__ = ("answer", "done", "left", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.done = threading.Lock()
        self.done.acquire()
        self.answer: protocol.Answer | None = None
        #: Nobody waits here any more.
        self.left = False

    def wake(self) -> None:
        """Have who waits here go on."""
        with suppress(RuntimeError):  # it does already
            self.done.release()

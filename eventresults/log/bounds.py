"""The bounds of every log: how large one record may be, and how much may be on its way."""

from __future__ import annotations

import threading
import time
from itertools import takewhile
from typing import TYPE_CHECKING

from eventresults.errors import AppendTimeout, Closed, ValueTooLarge
from eventresults.log.appends import Append

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_MAX_VALUE_BYTES = 8 * 1024 * 1024
DEFAULT_MAX_IN_FLIGHT = 10_000  # more is slower: Python collects garbage over every waiting future
DEFAULT_MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
DEFAULT_APPEND_TIMEOUT = 30.0

_LOOK = 0.05  # seconds after which who waits for room looks by itself: it is woken only once there is room for several
_RECORD_OVERHEAD = 512  # what the future and the buffers around a record take, about


def check_size(key: bytes, value: bytes, limit: int) -> None:
    """Raise `ValueTooLarge` for a value of more than `limit` bytes."""
    if len(value) > limit:
        raise too_large(key, len(value), limit)


def too_large(key: bytes, size: int, limit: int) -> ValueTooLarge:
    """The error for a value that the log does not take."""
    name = key.decode("utf-8", "replace")
    return ValueTooLarge(
        f"a fact of {name[:64]} has {size:,} bytes, and at most {limit:,} are accepted: store large data elsewhere and "
        "return a reference to it, or raise max_value_bytes (and the topic's max.message.bytes)",
        size=size,
        limit=limit,
        task_id=name,
    )


def value_bytes(future: Append) -> int:
    """How many bytes the value has of a record that is on its way."""
    return future.size - len(future.key) - _RECORD_OVERHEAD


class InFlight:
    """The records that were handed over and are not acknowledged yet. Safe to use from many threads.

    At most `max_records` and `max_bytes` of them (one record is always let in): `enter` blocks, for `timeout` seconds, then raises.
    Futures are completed by whoever learns what became of them, then `leave` makes room.
    """

    def __init__(self, *, max_records: int, max_bytes: int, timeout: float, what: str) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._what = what
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._left = threading.Condition(self._lock)
        self._inside: dict[int, Append] = {}  # the oldest first
        self._given_up: dict[int, Append] = {}
        self._bytes = 0
        self._number = 0
        self._blocked = 0
        self._flushing = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._inside) + len(self._given_up)

    def enter(self, key: bytes, value: bytes, timeout: float | None = None, future: Append | None = None) -> Append:
        """Wait for room, for `timeout` seconds if that is given, and return the future, a new one if need be.

        Raises `AppendTimeout`, `Closed` after `shut`.
        """
        future = future or Append()
        future.key = key
        future.size = size = len(key) + len(value) + _RECORD_OVERHEAD
        with self._lock:
            if self._closed or len(self._inside) + len(self._given_up) >= self._max_records or self._bytes + size > self._max_bytes:
                self._wait_for_room(size, key, self._timeout if timeout is None else timeout)
            future.entered = time.monotonic()
            future.number = self._number = number = self._number + 1
            self._inside[number] = future
            self._bytes += size
        return future

    def leave(self, futures: Iterable[Append]) -> None:
        """These are acknowledged or have failed: make room."""
        with self._lock:
            for future in futures:
                if self._inside.pop(future.number, None) or self._given_up.pop(future.number, None):
                    self._bytes -= future.size
            # Far below the bound, so that a full buffer does not switch threads at every record.
            if self._blocked and len(self) * 2 <= self._max_records and self._bytes * 2 <= self._max_bytes:
                self._room.notify_all()
            if self._flushing:
                self._left.notify_all()

    def give_up(self, age: float) -> None:
        """Fail with `AppendTimeout` what is on its way for more than `age` seconds. It takes room until it leaves."""
        with self._lock:
            latest = time.monotonic() - age
            old = list(takewhile(lambda future: future.entered <= latest, self._inside.values()))
            for future in old:
                self._given_up[future.number] = self._inside.pop(future.number)
            if old and self._flushing:
                self._left.notify_all()
        for future in old:
            future.settle(self._not_acknowledged(future.key))

    def wait(self, timeout: float) -> bool:
        """Wait until every record that is on its way now has left; False when `timeout` seconds were not enough."""
        with self._lock:
            last = self._number
            self._flushing += 1
            try:
                return self._left.wait_for(lambda: not self._inside or next(iter(self._inside)) > last, timeout)
            finally:
                self._flushing -= 1

    def shut(self) -> None:
        """Let nothing in any more; who waits for room gets `Closed`. Idempotent."""
        with self._lock:
            self._closed = True
            self._room.notify_all()

    def abandon(self) -> None:
        """Fail all that is still on its way with `Closed`."""
        with self._lock:
            abandoned = list(self._inside.values())
            self._inside.clear()
            self._given_up.clear()
            self._bytes = 0
            self._left.notify_all()
        for future in abandoned:
            future.settle(self._was_closed())

    def _is_full(self, size: int) -> bool:
        count = len(self)
        return count > 0 and (count >= self._max_records or self._bytes + size > self._max_bytes)

    def _wait_for_room(self, size: int, key: bytes, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._blocked += 1
        try:
            while self._is_full(size) and not self._closed:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise self._stayed_full(key, timeout)
                self._room.wait(min(remaining, _LOOK))
        finally:
            self._blocked -= 1
        if self._closed:
            raise self._was_closed()

    def _stayed_full(self, key: bytes, timeout: float) -> AppendTimeout:
        return AppendTimeout(
            f"{self._what} took nothing for {timeout:g} s: {len(self):,} facts ({self._bytes:,} bytes) wait to be "
            "acknowledged. This fact was not handed over. See whether the log is reachable, then append it again",
            key=key.decode("utf-8", "replace"),
            timeout=timeout,
        )

    def _not_acknowledged(self, key: bytes) -> AppendTimeout:
        return AppendTimeout(
            f"{self._what} did not acknowledge a fact within {self._timeout:g} s: it may or may not be in the log. Append it again with "
            "the same event_id, it then counts once",
            key=key.decode("utf-8", "replace"),
            timeout=self._timeout,
        )

    def _was_closed(self) -> Closed:
        return Closed(f"the writer of {self._what} was closed: make a new one", what=self._what)

"""Facts that are learned on the side: handed over without holding anybody up, else dropped, counted and told of."""

from __future__ import annotations

import logging
import threading
from concurrent import futures
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter

from eventresults.domain.events import TaskEvent
from eventresults.domain.position import Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventresults.contrib.celery.options import Options
    from eventresults.recorder import Recorder

logger = logging.getLogger(__name__)

#: How often (seconds) at most is told what was dropped.
TELL_EVERY: Final = 60.0
#: For who waits: how long at most for the log to have it.
DURABLE_SECONDS: Final = 30.0

DROPPED: Final = Counter("eventresults_celery_dropped_facts", "Facts learned from Celery's signals that were not recorded.", ("kind",))


class Observer:
    """Records observed facts for one backend, and never raises. Any thread."""

    def __init__(self, options: Options, recorder: Callable[[], Recorder], *, clock: Callable[[], float] = monotonic) -> None:
        self._options = options
        self._recorder = recorder
        self._clock = clock
        self._counting = threading.Lock()
        self._untold = 0
        self._told_at = -TELL_EVERY
        #: Facts dropped so far, by kind.
        self.dropped: dict[str, int] = {}

    def wants(self, what: str, *, ignored: bool = False) -> bool:
        """Whether facts of this kind are recorded; `ignored`: of a task whose result is."""
        observe = self._options.observe
        return (observe if isinstance(observe, bool) else what in observe) and (not ignored or self._options.track_ignored)

    def prepare(self) -> None:
        """Have the log opened by the time that there is something to tell. Waits for nothing."""
        with suppress(Exception):  # whatever it is, `tell` meets it again, and says so
            self._recorder().open_soon()

    def tell(self, make: Callable[[], TaskEvent], *, waits: bool = True, durable: bool = False, survives: bool = False) -> None:
        """Record a fact: within `observe_timeout`, or at once unless it `waits`. `durable`: return when the log has it; where it
        `survives` the end of this process, wait for that too, but no longer than `observe_timeout`.
        """
        kind = "unknown"
        try:
            event = make()
            kind = event.kind
            if durable:
                self._recorder().append(event).accepted.result(DURABLE_SECONDS)
                return
            future = self._recorder().append(event, timeout=self._options.observe_timeout if waits else 0.0)
            future.add_done_callback(partial(self._ended, kind))
            if survives:
                futures.wait([future.accepted], self._options.observe_timeout)
        except Exception as error:  # noqa: BLE001 - nobody's work may fail for what is only told of it
            self._drop(kind, error)

    def _ended(self, kind: str, future: futures.Future[Position]) -> None:
        error = future.exception()
        if error is not None:
            self._drop(kind, error)

    def _drop(self, kind: str, error: BaseException) -> None:
        DROPPED.labels(kind).inc()
        with self._counting:
            self.dropped[kind] = self.dropped.get(kind, 0) + 1
            self._untold += 1
            if self._clock() - self._told_at < TELL_EVERY:
                return
            self._told_at = self._clock()
            count, self._untold = self._untold, 0
        logger.warning(
            "%d facts about Celery's tasks were not recorded (this is told once a minute at most); results are not concerned. The last, a "
            "%s: %s: %s",
            count,
            kind,
            type(error).__name__,
            error,
        )

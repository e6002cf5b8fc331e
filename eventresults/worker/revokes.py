"""Requests to revoke, as an executor hears of them."""

from __future__ import annotations

import logging
import signal as signals
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from eventresults.domain.events import TaskRevokeRequested
from eventresults.errors import EventResultsError

if TYPE_CHECKING:
    from eventresults.view.base import Change, Subscription, ViewReader

logger = logging.getLogger(__name__)

#: How long taking up a task may wait for the view to hold what this process wrote about it; and how long while that goes wrong.
LOOK_SECONDS = 2.0
BLIND_SECONDS = 0.05


class Order(NamedTuple):
    """A request to revoke one task."""

    task_id: str
    terminate: bool = False
    signal: str = "SIGTERM"
    reason: str | None = None


class Revokes:
    """Hears every request folded from the first task on, and looks for earlier ones when a task is taken up."""

    def __init__(self, reader: Callable[[], ViewReader], *, concerns: Callable[[str], bool], obey: Callable[[Order], None]) -> None:
        """`reader` may open the view; `concerns` (cheap) tells whether a task is ours; `obey` gets their orders and returns at once."""
        self._reader = reader
        self._concerns = concerns
        self._obey = obey
        self._subscription: Subscription | None = None
        self._blind = False

    def open(self) -> None:
        """Begin to listen. Idempotent. Raises `ViewError`."""
        if self._subscription is None:
            self._subscription = self._reader().open_revokes(self._heard)

    def find(self, task_id: str) -> Order | None:
        """The open request for this task, if the view holds one; every request of this process is seen."""
        try:
            meta = self._reader().get(task_id, freshness="applied", timeout=BLIND_SECONDS if self._blind else LOOK_SECONDS)
        except EventResultsError as error:
            if not self._blind:
                logger.warning("cannot look for requests to revoke (tasks start without, until that is over): %s", error)
            self._blind = True
            return None
        self._blind = False
        return None if meta is None or meta.revoke_request is None else _order(task_id, meta.revoke_request)

    def close(self) -> None:
        """Stop listening. Idempotent."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()

    def _heard(self, change: Change, /) -> None:
        event = change.fact.event
        if isinstance(event, TaskRevokeRequested) and self._concerns(event.task_id):
            self._obey(_order(event.task_id, {"terminate": event.terminate, "signal": event.signal, "reason": event.reason}))


def signal_number(name: str) -> int:
    """The number of a signal given as `SIGTERM`, `TERM` or `15`; SIGTERM for what is no signal here (logged)."""
    text = name.strip().upper()
    if text.isdecimal():
        text = signal_name(int(text))
    number = signals.Signals.__members__.get(text if text.startswith("SIG") else f"SIG{text}")
    if number is None:
        logger.warning("%r is no signal on this system: sending SIGTERM", name)
        return int(signals.SIGTERM)
    return int(number)


def signal_name(number: int) -> str:
    """The name of a signal; the number as text where it has none."""
    return signals.Signals(number).name if number in set(signals.Signals) else str(number)


def _order(task_id: str, request: dict[str, Any]) -> Order:
    return Order(task_id, bool(request.get("terminate")), str(request.get("signal") or "SIGTERM"), request.get("reason"))

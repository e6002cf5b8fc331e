"""What the log tells of a task, as the attributes of its result."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from eventresults.client.base import ResultBase
from eventresults.client.metadict import retries_of
from eventresults.domain.meta import TaskMeta
from eventresults.domain.position import Position

if TYPE_CHECKING:
    from eventresults.client.decoding import Decoder
    from eventresults.domain.events import TaskEvent, UnknownEvent


class LogFacts:
    """What the log tells of a task beyond Celery's attributes; None while it does not. Each reads anew until the task is ready.

    Times are of the writers' clocks, in UTC.
    """

    @property
    def decoder(self) -> Decoder:
        """How payloads are read where this result is at home."""
        raise NotImplementedError

    def task_meta(self) -> TaskMeta | None:
        """All that is known of the task, at once; None for an unknown, expired or forgotten id."""
        raise NotImplementedError

    @property
    def position(self) -> Position | None:
        """Where its last fact stands in the log."""
        return self._told("position")  # type: ignore[no-any-return]

    @property
    def attempts(self) -> int:
        """How many attempts began."""
        return self._told("attempts") or 0

    @property
    def sent_at(self) -> datetime | None:
        """When it was sent."""
        return self._told("sent_at")  # type: ignore[no-any-return]

    @property
    def received_at(self) -> datetime | None:
        """When a worker took it from its queue."""
        return self._told("received_at")  # type: ignore[no-any-return]

    @property
    def started_at(self) -> datetime | None:
        """When its latest attempt began."""
        return self._told("started_at")  # type: ignore[no-any-return]

    @property
    def queue_time(self) -> float | None:
        """Seconds from being sent to its first start."""
        return self._told("queue_time")  # type: ignore[no-any-return]

    @property
    def runtime(self) -> float | None:
        """Seconds of work, as the worker measured them."""
        return self._told("runtime")  # type: ignore[no-any-return]

    @property
    def progress(self) -> Any:
        """The meta of its last update."""
        return self.decoder.value(self._told("progress"))

    @property
    def root_id(self) -> str | None:
        """The first task of the tree it belongs to."""
        return self._told("root_id")  # type: ignore[no-any-return]

    @property
    def parent_id(self) -> str | None:
        """The task that sent it."""
        return self._told("parent_id")  # type: ignore[no-any-return]

    @property
    def group_id(self) -> str | None:
        """The group it belongs to."""
        return self._told("group_id")  # type: ignore[no-any-return]

    def _told(self, field: str) -> Any:
        meta = self.task_meta()
        return None if meta is None else getattr(meta, field)


class TaskFacts(ResultBase, LogFacts):
    """The attributes of an `AsyncResult` that come from its `TaskMeta`. Once the task is ready, the answer is kept."""

    id: str

    @property
    def name(self) -> str | None:
        """The task's name."""
        return self._told("name")  # type: ignore[no-any-return]

    @property
    def args(self) -> Any:
        """Its positional arguments."""
        meta = self.task_meta()
        return None if meta is None else self.decoder.args(meta.args)

    @property
    def kwargs(self) -> Any:
        """Its keyword arguments."""
        meta = self.task_meta()
        return None if meta is None else self.decoder.kwargs(meta.kwargs)

    @property
    def worker(self) -> str | None:
        """Who works on it, or did."""
        return self._told("worker")  # type: ignore[no-any-return]

    @property
    def date_done(self) -> datetime | None:
        """When it ended."""
        return self._told("date_done")  # type: ignore[no-any-return]

    @property
    def retries(self) -> int | None:
        """How often it was tried before."""
        meta = self.task_meta()
        return None if meta is None else retries_of(meta)

    @property
    def queue(self) -> str | None:
        """The queue it was sent to."""
        return self._told("queue")  # type: ignore[no-any-return]

    def history(self) -> list[TaskEvent | UnknownEvent]:
        """Every fact of the task that the view still holds, oldest first, earlier lives included."""
        raise NotImplementedError

    def as_of(self, when: datetime | Position) -> TaskMeta | None:
        """What was known at a log time, or up to a position; None before the first fact, after a forgetting, or beyond its expiry."""
        raise NotImplementedError

"""A Celery app without a worker: what it sends is taken from its queue, and a test says how each task ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.app.task import Context

from eventresults.domain.events import GroupPart


class Bench:
    """An app on brokers and logs of this process's memory, with a few tasks."""

    def __init__(self, **conf: Any) -> None:
        self.name = f"bench-{uuid4().hex}"
        self.app = Celery(
            "bench", broker="memory://", backend=f"eventresults+memory://{self.name}", set_as_current=False, task_default_queue=self.name
        )
        self.app.conf.update(conf)
        self.backend = self.app.backend
        self.add = self.app.task(_add, name="add", shared=False)
        self.total = self.app.task(_total, name="total", shared=False)
        self.echo = self.app.task(_echo, name="echo", shared=False)

    def sent(self) -> list[Context]:
        """What was sent since this was asked last, as workers get it."""
        requests = []
        with self.app.connection_or_acquire() as connection:
            queue = self.app.amqp.queues[self.name](connection.default_channel)
            while (message := queue.get(no_ack=True)) is not None:
                args, kwargs, embed = message.decode()
                requests.append(Context({**message.headers, **embed, "args": args, "kwargs": kwargs}))
        return requests

    def succeed(self, request: Context, result: Any = None) -> None:
        """This task returns `result`; or what it should, when nothing is said."""
        self.backend.mark_as_done(request.id, sum(request.args) if result is None else result, request=request)

    def fail(self, request: Context, error: Exception) -> None:
        """This task raises that."""
        self.backend.mark_as_failure(request.id, error, request=request)

    def kinds(self, group_id: str) -> list[str]:
        """The facts of a group; "part" stands for each of its parts."""
        facts = self.backend.home.reader.history(group_id)
        return ["part" if isinstance(fact.event, GroupPart) else fact.event.kind for fact in facts]

    def group(self, group_id: str) -> Any:
        """What is known of a group."""
        return self.backend.home.reader.group(group_id)


@contextmanager
def bench(**conf: Any) -> Iterator[Bench]:
    """A bench, cleared away afterwards."""
    made = Bench(**conf)
    try:
        yield made
    finally:
        made.backend.tracker.close()
        made.app.close()


def _add(x: int, y: int) -> int:
    return x + y


def _total(numbers: list[int]) -> int:
    return sum(numbers)


def _echo(value: Any) -> Any:
    return value

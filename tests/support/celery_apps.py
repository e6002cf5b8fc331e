"""Celery apps of one process: a broker and a log in memory, and tasks that run here, by Celery's own tracer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.app.trace import build_tracer
from celery.worker.request import Request
from kombu.utils.uuid import uuid

WORKER = "celery@here"


@contextmanager
def celery_app(name: str = "app", **options: Any) -> Iterator[Celery]:
    """An app with our backend; `options` are the backend's."""
    app = Celery(name, broker=f"memory://{name}", backend="eventresults+memory://", set_as_current=False)
    app.conf.result_backend_transport_options = options
    tracker = app.backend.tracker  # made here, for each memory:// is a log of its own, and threads may make several
    try:
        yield app
    finally:
        app.close()
        tracker.close()


def run(task: Any, *args: Any, task_id: str | None = None, **request: Any) -> Any:
    """Trace one message of a task as a process of the pool does; the id."""
    task_id = task_id or uuid()
    known = {"id": task_id, "hostname": WORKER, "delivery_info": {}, "is_eager": False, "ignore_result": None, **request}
    if known["ignore_result"] is None:
        del known["ignore_result"]
    build_tracer(task.name, task, app=task.app, hostname=WORKER)(task_id, args, {}, known)
    return task_id


class Message:
    """What a transport hands a worker."""

    content_type = content_encoding = delivery_info = properties = None

    def __init__(self, headers: dict[str, Any], body: Any) -> None:
        self.headers = headers
        self.body = self.payload = body


def request_of(task: Any, *args: Any, task_id: str | None = None, **headers: Any) -> Request:
    """The request that a worker's main process makes of a message."""
    headers = {"id": task_id or uuid(), "task": task.name, "root_id": None, "parent_id": None, **headers}
    return Request(Message(headers, (args, {}, {})), app=task.app, task=task, hostname=WORKER, decoded=True)


def history(app: Celery, task_id: str) -> list[Any]:
    """Every fact of a task."""
    return app.backend.tracker.history(task_id)


def kinds(app: Celery, task_id: str) -> list[str]:
    """The kinds of these facts; of what was learned from a signal in brackets."""
    return [f"({fact.kind[5:]})" if fact.observed else fact.kind[5:] for fact in history(app, task_id)]


PID = os.getpid()

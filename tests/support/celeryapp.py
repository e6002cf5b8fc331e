"""A Celery app for a real worker: where its broker and log are is said by the environment."""

from __future__ import annotations

import os
import signal
from typing import Any

from celery import signals

from tests.support.celerysetup import folder, made

FOLDER = folder()

app = made("chords", broker_connection_timeout=0.2, task_publish_retry=False, worker_enable_remote_control=False)


@app.task(shared=False)
def add(x: int, y: int) -> int:
    return x + y


@app.task(shared=False)
def total(numbers: list[Any]) -> int:
    return sum(total(one) if isinstance(one, list) else one for one in numbers)


@app.task(shared=False)
def echo(value: Any) -> Any:
    return value


@app.task(shared=False)
def fail(*_: Any) -> None:
    raise ValueError("broken")


@app.task(shared=False)
def note(name: str) -> None:
    """Leave a line in the file of this name."""
    with (FOLDER / name).open("a") as file:
        file.write(f"{os.getpid()}\n")


@app.task(shared=False)
def mark(name: str, value: int) -> int:
    """As `note`, and return the value."""
    note(name)
    return value


@app.task(shared=False)
def fatal(numbers: list[int]) -> int:
    """A body: whoever is about to send it, or has just sent it, dies if a file says so."""
    note("bodies")
    return sum(numbers)


def _die_once(when: str) -> None:
    try:
        (FOLDER / when).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


@signals.before_task_publish.connect
def _before(sender: str | None = None, **_: Any) -> None:
    if sender == fatal.name:
        _die_once("die-before")


@signals.after_task_publish.connect
def _after(sender: str | None = None, **_: Any) -> None:
    if sender == fatal.name:
        _die_once("die-after")

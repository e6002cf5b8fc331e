"""Tasks for a real worker whose whole lives are told: where its broker and log are is said by the environment."""

from __future__ import annotations

import os
import signal
from typing import Any

from celery.contrib.abortable import AbortableTask
from celery.exceptions import Ignore, Reject

from tests.support.celerysetup import folder, made

FOLDER = folder()

app = made("life", worker_deduplicate_successful_tasks=True)


@app.task(shared=False)
def add(x: int, y: int) -> int:
    return x + y


@app.task(bind=True, shared=False)
def again(self: Any) -> str:
    if not self.request.retries:
        raise self.retry(countdown=0.1)
    return "done"


@app.task(bind=True, shared=False)
def halfway(self: Any) -> None:
    self.update_state(state="HALFWAY", meta={"done": 1})
    raise Ignore


@app.task(acks_late=True, shared=False)
def reject() -> None:
    raise Reject("no", requeue=False)


@app.task(bind=True, shared=False)
def replace(self: Any) -> Any:
    return self.replace(add.s(3, 4))


@app.task(acks_late=True, reject_on_worker_lost=True, shared=False)
def dies_once() -> str:
    """Be killed at the first attempt, once the pool knows who runs it: one that dies sooner may be missed by billiard for ever."""
    try:
        (FOLDER / "die").unlink()
    except FileNotFoundError:
        return "lives"
    signal.sigtimedwait([], 1.0)
    os.kill(os.getpid(), signal.SIGKILL)
    return "is dead"


@app.task(bind=True, base=AbortableTask, shared=False)
def until_told(self: Any) -> str:
    """Run until it is aborted, or killed."""
    while not self.is_aborted():
        signal.sigtimedwait([], 0.05)
    return "aborted"


@app.task(acks_late=True, shared=False)
def counted() -> int:
    """How often this was done."""
    with (FOLDER / "counted").open("a") as file:
        file.write("x")
    return len((FOLDER / "counted").read_text())

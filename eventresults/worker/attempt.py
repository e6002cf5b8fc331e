"""One attempt at a task: what came of it, and who runs it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from eventresults.worker.context import CurrentTask, Retry, running

if TYPE_CHECKING:
    from eventresults.worker.job import Job


@dataclass(frozen=True, slots=True)
class Returned:
    """The task returned; `runtime` in seconds."""

    value: Any
    runtime: float


@dataclass(frozen=True, slots=True)
class Raised:
    """The task raised. `error` is the exception or its wire form, `runtime` None where nobody could measure it."""

    error: BaseException | dict[str, Any]
    traceback: str | None = None
    runtime: float | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """The task asked for another attempt, `countdown` seconds from now."""

    error: BaseException | dict[str, Any] | None
    traceback: str | None
    countdown: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """The run was ended by order, with this signal (None: before it began)."""

    signal: str | None


Outcome = Returned | Raised | Again | Stopped


class Runner(Protocol):
    """Runs attempts, one at a time, for one worker thread; `terminate` and `kill` may come from any other."""

    def prepare(self) -> int:
        """Be ready to run; return the process id that will. Raises `WorkerLostError` when that cannot be."""

    def run(self, job: Job, task: CurrentTask) -> Outcome:
        """One attempt, to its end."""

    def terminate(self, job: Job, signal: str) -> bool:
        """End the run of this job, and of no other, with this signal. False when that cannot be done or it is not running here."""

    def close(self) -> None:
        """Let go of what it holds; nothing is running. Idempotent."""


def attempt(call: Callable[[], Any], task: CurrentTask, inside: AbstractContextManager[Any]) -> Returned | Raised | Again:
    """Make one attempt here and now: `current_task()` is `task`, and `inside` surrounds it."""
    began = time.perf_counter()
    try:
        with running(task), inside:
            value = call()
    except Retry as asked:
        error = asked.error
        return Again(error, None if error is None else text_of(error), asked.countdown)
    except BaseException as error:  # noqa: BLE001 - whatever ends a task is its outcome: it is recorded, and the worker goes on
        return Raised(error, text_of(error), time.perf_counter() - began)
    return Returned(value, time.perf_counter() - began)


def text_of(error: BaseException) -> str:
    """The traceback as Python prints it, from the task's own first frame on."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None and frame.tb_frame.f_globals.get("__package__") == __package__:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))

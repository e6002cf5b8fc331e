"""What runs in a task process: one task after the other, everything told and asked over one pipe."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any, cast

from eventresults.client.joins import inside_task
from eventresults.client.result import AsyncResult, GroupResult, result_from_tuple
from eventresults.codec.errors import encode_error
from eventresults.errors import Closed, NotPicklable
from eventresults.worker import shipping
from eventresults.worker.attempt import Again, Raised, Returned, attempt
from eventresults.worker.context import CurrentTask

Message = tuple[Any, ...]


def main(connection: Connection, initializer: bytes | None) -> None:
    """Run what the parent sends until it says so, or is gone."""
    # Ctrl-C reaches the whole terminal: what becomes of the tasks is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A process that a task forks must not hold the pipe open after us.
    os.register_at_fork(after_in_child=connection.close)
    # Daemon: it only ever waits for the parent.
    threading.Thread(target=_end_with_parent, name="eventresults-task-parent", daemon=True).start()
    line = Line(connection)
    try:
        if initializer is not None:
            shipping.unpack_call(initializer, "the initializer").make()
    except Exception as error:  # noqa: BLE001 - told to the parent
        line.tell(shipping.BROKEN, encode_error(error))
        return
    line.tell(shipping.READY)
    while (order := line.hear())[0] == shipping.RUN:
        _, described, call = order
        _run(line, described, call)


def _end_with_parent() -> None:
    """When the parent is gone end at once, whatever runs: nobody is left to record what it does."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _run(line: Line, described: Message, packed: bytes) -> None:
    task_id, name, root_id, parent_id, group_id, number, max_retries, keeps_trail = described
    task = CurrentTask(
        id=task_id,
        name=name,
        home=line,
        root_id=root_id,
        parent_id=parent_id,
        group_id=group_id,
        attempt=number,
        max_retries=max_retries,
        trail=[] if keeps_trail else None,
    )
    # SIGTERM ends this process and its task, also where an earlier task had other wishes.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    line.begin(task)
    outcome = attempt(lambda: shipping.unpack_call(packed, name).make(), task, inside_task())
    line.end(*_told(outcome, name, task.trail or []))


def _told(outcome: Returned | Raised | Again, name: str, children: list[Any]) -> Message:
    match outcome:
        case Returned(value, runtime):
            try:
                return shipping.RETURNED, runtime, children, shipping.pack_value(value, f"What task {name} returned")
            except NotPicklable as error:
                return shipping.RAISED, encode_error(error), None, runtime, children
        case Raised(error, text, runtime):
            return shipping.RAISED, _wire(error), text, runtime, children
        case Again(error, text, countdown):
            return shipping.AGAIN, _wire(error), text, countdown, children


def _wire(error: Any) -> Any:
    return encode_error(error) if isinstance(error, BaseException) else error


class Line:
    """The task's end of the pipe, and its `Home`.

    Any thread of the task may ask, one at a time, and only while the task runs: what a thread that outlives its task says must not
    count for the next one.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._task: CurrentTask | None = None

    def hear(self) -> Message:
        """The next message. Ends the process when the parent has closed the pipe."""
        try:
            return shipping.unpack(self._connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(1)

    def tell(self, *message: Any) -> None:
        """Send a message."""
        self._connection.send_bytes(shipping.pack(message))

    def begin(self, task: CurrentTask) -> None:
        """From now on this task may ask."""
        with self._lock:
            self._task = task

    def end(self, *message: Any) -> None:
        """Tell the task's outcome; it may ask no longer."""
        with self._lock:
            self._task = None
            self.tell(*message)

    def ask(self, task: CurrentTask, what: str, value: Any) -> Any:
        """Send a question and wait for its answer; raises what the parent raised, and `Closed` when the task has ended."""
        packed = shipping.pack_value(value, f"What the task gave {what}()")
        with self._lock:
            if self._task is not task:
                raise Closed(
                    f"Task {task.id} has ended: {what}() is for the time it runs. Join the task's threads before it returns.", what="task"
                )
            self.tell(shipping.ASK, what, packed)
            _, right, raw = self.hear()
        given = shipping.unpack_value(raw, f"The answer to {what}()")
        if right:
            return given
        raise given

    def update(self, task: CurrentTask, state: str, meta: Any) -> None:
        """See `Home.update`."""
        self.ask(task, "update", (state, meta))

    def submits(self, task: CurrentTask) -> Asking:
        """See `Home.submits`."""
        return Asking(self, task)


class Asking:
    """Sends tasks by asking the parent to."""

    def __init__(self, line: Line, task: CurrentTask) -> None:
        self._line = line
        self._task = task

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """See `Submits.submit`."""
        return cast("AsyncResult", self._ask("submit", (fn, args, kwargs)))

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> GroupResult:
        """See `Submits.map`."""
        return self.group((fn, args) for args in zip(*iterables, strict=False))

    def group(self, calls: Iterable[tuple[Callable[..., Any], Sequence[Any]]]) -> GroupResult:
        """See `Submits.group`."""
        return cast("GroupResult", self._ask("group", list(calls)))

    def chain(self, functions: Sequence[Callable[..., Any]], /, *args: Any) -> AsyncResult:
        """See `Submits.chain`."""
        return cast("AsyncResult", self._ask("chain", (list(functions), args)))

    def _ask(self, what: str, value: Any) -> Any:
        return result_from_tuple(self._line.ask(self._task, what, value))

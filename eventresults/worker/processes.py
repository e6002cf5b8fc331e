"""Tasks that run in processes, one process for each worker, one pipe for each process."""

from __future__ import annotations

import logging
import os
import selectors
import signal as signals
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

from eventresults.errors import NotPicklable, WorkerLostError
from eventresults.worker import child, shipping
from eventresults.worker.attempt import Again, Outcome, Raised, Returned, Stopped
from eventresults.worker.context import CurrentTask, running
from eventresults.worker.job import Job
from eventresults.worker.revokes import signal_name, signal_number

logger = logging.getLogger(__name__)

#: A process imports what the program's main module imports before it is ready.
START_SECONDS = 60.0
END_SECONDS = 2.0

#: multiprocessing looks after all children of this process whenever it starts or joins one, and is not made for many threads.
_children = threading.Lock()


class ProcessRunner:
    """Runs attempts in a process of its own, begun when first needed and again after it ended.

    A process runs one task at a time, and the next only after the outcome of the last arrived here, so that to end its run is to end
    this process. All that it wrote into its pipe before it ended is read.
    """

    def __init__(self, context: BaseContext, *, name: str, initializer: bytes | None, max_tasks: int | None) -> None:
        self._context = context
        self._name = name
        self._initializer = initializer
        self._max_tasks = max_tasks
        self._process: Worker | None = None
        self._ran = 0
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._signal: str | None = None

    def prepare(self) -> int:
        """See `Runner.prepare`."""
        if self._process is not None and (self._process.ended() or (self._max_tasks is not None and self._ran >= self._max_tasks)):
            self.close()
        if self._process is None:
            self._ran = 0
            self._process = Worker(self._context, self._name, self._initializer)
        return self._process.pid

    def run(self, job: Job, task: CurrentTask) -> Outcome:
        """See `Runner.run`."""
        process = self._process
        assert process is not None, "prepare() comes first"
        try:
            call = job.payload if job.payload is not None else shipping.pack_call(job.call, job.name)
        except NotPicklable as error:
            return Raised(error)
        with self._lock:
            if job.order is not None and job.order.terminate:
                return Stopped(None)
            self._job, self._signal = job, None
        clean = False
        try:
            outcome = self._attempt(process, task, call)
            clean = not process.broken
        finally:
            self._ran += 1
            with self._lock:
                self._job = None
                clean = clean and self._signal is None
            if not clean:
                # Also a process that outlived its signal, or whose signal is still on its way: it must not meet the next task.
                process.kill()
                self._process = None
        return outcome

    def terminate(self, job: Job, signal: str) -> bool:
        """See `Runner.terminate`."""
        with self._lock:
            # Otherwise it has just ended, or has not begun: then `run` looks at its order.
            if self._job is job and self._process is not None:
                number = signal_number(signal)
                self._signal = signal_name(number)
                with suppress(ProcessLookupError):
                    os.kill(self._process.pid, number)
        return True

    def close(self) -> None:
        """See `Runner.close`."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _attempt(self, process: Worker, task: CurrentTask, call: bytes) -> Outcome:
        lineage = (task.root_id, task.parent_id, task.group_id)
        process.tell(shipping.RUN, (task.id, task.name, *lineage, task.attempt, task.max_retries, task.trail is not None), call)
        while True:
            match process.hear():
                case (shipping.ASK, what, raw):
                    process.tell(shipping.ANSWER, *_answer(task, what, raw))
                case (shipping.RETURNED, runtime, children, raw):
                    _note(task, children)
                    try:
                        return Returned(shipping.unpack_value(raw, f"What task {task.name} returned"), runtime)
                    except NotPicklable as error:
                        return Raised(error, None, runtime)
                case (shipping.RAISED, error, text, runtime, children):
                    _note(task, children)
                    return Raised(error, text, runtime)
                case (shipping.AGAIN, error, text, countdown, children):
                    _note(task, children)
                    return Again(error, text, countdown)
                case _:
                    return self._lost(process, task)

    def _lost(self, process: Worker, task: CurrentTask) -> Outcome:
        with self._lock:
            signal = self._signal
        if signal is not None:
            return Stopped(signal)
        how = process.kill()
        return Raised(
            WorkerLostError(
                f"The process of task {task.id} (pid {process.pid}) {how} under it; the task may have done part of its work. "
                "Look for a crash, os._exit, or the system's memory limit, then submit it again.",
                task_id=task.id,
                pid=process.pid,
                exitcode=process.exitcode,
            )
        )


class Worker:
    """One task process and this side of its pipe; used by one thread. Raises `WorkerLostError` when it does not get ready."""

    def __init__(self, context: BaseContext, name: str, initializer: bytes | None) -> None:
        self._pipe, theirs = context.Pipe(duplex=True)
        self.exitcode: int | None = None
        self.broken = False
        process: BaseProcess = context.Process(target=child.main, args=(theirs, initializer), name=name)  # type: ignore[attr-defined]
        try:
            with _children:
                process.start()
        except Exception as error:
            self._pipe.close()
            raise WorkerLostError(f"No process could be started for the tasks of {name}: {error!r}.", pid=None, exitcode=None) from error
        finally:
            theirs.close()
        self._process = process
        self.pid: int = process.pid or 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._selector.register(process.sentinel, selectors.EVENT_READ)
        self._await_ready()

    def _await_ready(self) -> None:
        message = self.hear(START_SECONDS)
        if message == (shipping.READY,):
            return
        how = self.kill()
        if message is not None:
            error = message[1]
            raise WorkerLostError(
                f"The executor's initializer failed in a task process: {error['type']}: {error['message']}. Mend it and submit again.",
                pid=self.pid,
                exitcode=self.exitcode,
            )
        raise WorkerLostError(
            f"A task process (pid {self.pid}) {how} before it was ready; its standard error says why. If the program's main module starts "
            "work when it is imported, put that under `if __name__ == '__main__':`.",
            pid=self.pid,
            exitcode=self.exitcode,
        )

    def tell(self, *message: Any) -> None:
        """Send a message; to a process that is gone it is lost, and `hear` tells so."""
        with suppress(OSError):
            self._pipe.send_bytes(shipping.pack(message))

    def hear(self, timeout: float | None = None) -> tuple[Any, ...] | None:
        """The next message; None once the process has ended and all it sent was read, or after `timeout` seconds."""
        with suppress(EOFError, OSError):
            ready = [key.fileobj for key, _ in self._selector.select(timeout)]
            if self._pipe in ready or (ready and self._pipe.poll(0)):
                return shipping.unpack(self._pipe.recv_bytes())
        self.broken = True
        return None

    def ended(self) -> bool:
        """Whether the process has ended. To be asked between tasks, when it has nothing to say: any news is the end of it."""
        return self.broken or bool(self._selector.select(0))

    def end(self) -> None:
        """Let it end by itself, for it may have things to see off; after 2 seconds, kill it."""
        self.tell(shipping.END)
        self._leave(END_SECONDS)

    def kill(self) -> str:
        """End it now, unless it has ended; returns how it ended, in words."""
        # One whose pipe closed is about to end by itself, and its exit code says why.
        self._leave(END_SECONDS if self.broken else 0)
        if self.exitcode is None:
            return "ended"
        if self.exitcode < 0:
            return f"was killed by {signal_name(-self.exitcode)}"
        return f"exited with code {self.exitcode}"

    def _leave(self, patience: float) -> None:
        self.broken = True
        if self._selector.get_map():
            self._selector.unregister(self._pipe)
            ended = self._selector.select(patience)
            if not ended:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signals.SIGKILL)
                ended = self._selector.select(END_SECONDS)
            if ended:
                with _children:
                    self._process.join(0)
                    self.exitcode = self._process.exitcode
            else:
                logger.error("task process %d does not end, even by SIGKILL", self.pid)
            self._selector.close()
            self._pipe.close()


def _note(task: CurrentTask, children: list[Any]) -> None:
    for one in children:
        task.sent(one)


def _answer(task: CurrentTask, what: str, raw: bytes) -> tuple[bool, bytes]:
    """Do what the task process asks for, as if the task ran here."""
    try:
        with running(task):
            given = _ANSWERS[what](task, shipping.unpack_value(raw, f"What task {task.name} gave {what}()"))
        return True, shipping.pack_value(given, f"The answer to {what}()")
    except Exception as error:  # noqa: BLE001 - it is the task's, and raised there
        return False, _pack_error(error, what)


def _pack_error(error: Exception, what: str) -> bytes:
    try:
        return shipping.pack_value(error, f"The error of {what}()")
    except NotPicklable as instead:
        return shipping.pack_value(instead, "")


_ANSWERS: dict[str, Callable[[CurrentTask, Any], Any]] = {
    "update": lambda task, given: task.update(*given),
    "submit": lambda task, given: task.submit(given[0], *given[1], **given[2]).as_tuple(),
    "group": lambda task, given: task.group(given).as_tuple(),
    "chain": lambda task, given: task.chain(given[0], *given[1]).as_tuple(),
}

"""The executor: `concurrent.futures`, with every step in the log."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from eventresults.errors import Closed, ConfigError, WouldBlock
from eventresults.worker.again import recorded_call
from eventresults.worker.context import CurrentTask
from eventresults.worker.eager import EagerSubmitter
from eventresults.worker.facts import Facts
from eventresults.worker.job import Call, moment
from eventresults.worker.jobs import Jobs
from eventresults.worker.processes import ProcessRunner
from eventresults.worker.revokes import Order, Revokes
from eventresults.worker.schedule import Schedule
from eventresults.worker.shipping import pack_call
from eventresults.worker.submitter import Desk, Options, Submitter
from eventresults.worker.threads import ThreadRunner

if TYPE_CHECKING:
    from eventresults.client.result import AsyncResult, GroupResult
    from eventresults.worker.attempt import Runner

logger = logging.getLogger(__name__)

#: How long tasks may go on once the interpreter exits, or an interrupt leaves the `with` block.
GRACE_SECONDS = 2.0
STOP_SECONDS = 1.0
#: How long the end waits for idle workers, and then for the log.
PATIENCE_SECONDS = 5.0
EXIT_PATIENCE_SECONDS = 1.0


class TrackedExecutor:
    """Runs functions in threads, or in processes, and records what becomes of each. Any thread may use it; close it, or use `with`.

    - `max_workers`: threads or processes at most; default the number of processors, and 4 more for threads. They start when needed.
    - `processes`: run tasks in processes. Functions, arguments and what they return must pickle, functions by reference. A process that
      dies fails the one task that it ran, with `WorkerLostError`; another takes its place.
    - `eager`: run each task in `submit`, in the calling thread; results are `EagerResult`s and nothing is recorded.
    - `trail`: record as `children` what a task sent while it ran.
    - `name`: the worker's name; facts carry `name@host/pid`. `queue`: recorded with each task.
    - `mp_context`: how processes start, "forkserver" or "spawn" (or a context of `multiprocessing`). Never "fork": it would inherit the
      log and the view.
    - `max_tasks_per_child`: a process is replaced after this many attempts.
    - `initializer(*initargs)`: called once in each thread or process; while it raises, tasks fail with `WorkerLostError`.
    - `max_queued`: so many tasks may be unfinished; then `submit` waits. A task's own submissions never wait; ten times as many
      unfinished tasks raise `WouldBlock`.
    - `max_retries`: attempts after the first that `current_task().retry()` may ask for.

    A request to revoke a task is obeyed: before its start it never runs; while it runs it runs on, unless `terminate=True`, which ends its
    process by the signal (default SIGTERM) and no other. A thread cannot be ended: the task runs on, and the log of the program says so.
    Inside a task `get()` raises `WouldBlock`. A task process has no tracker: what `current_task().submit` returns there has its id and can
    be returned, but reading it raises `ConfigError` (unless `initializer` connects a tracker). A result that a task returns is recorded as
    its `as_tuple()`, see `result_from_tuple`.

    A task's facts are `sent`, `started`, then `updated` and `retried` as it asks, and one of `succeeded`, `failed`, `revoked`; there is no
    `received`, for it never leaves this process before it starts.
    """

    def __init__(
        self,
        app: Any,
        *,
        max_workers: int | None = None,
        processes: bool = False,
        eager: bool = False,
        trail: bool = True,
        name: str | None = None,
        queue: str | None = None,
        mp_context: str | BaseContext = "forkserver",
        max_tasks_per_child: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
        max_queued: int = 10_000,
        max_retries: int = 3,
    ) -> None:
        for setting, value in (("max_workers", max_workers), ("max_tasks_per_child", max_tasks_per_child), ("max_queued", max_queued)):
            if value is not None and value < 1:
                raise ConfigError(f"{setting}={value} is too few: give 1 or more.", setting=setting, source="executor()")
        self._name = name or "executor"
        self._pid = os.getpid()
        self._processes = processes
        self._queue = queue
        self._max_retries = max_retries
        self._schedule = Schedule(self._name)
        self._eager = eager
        self._held = False
        self._app = app
        self._recorder = app.backend.recorder
        self._facts = Facts(self._recorder, worker=f"{self._name}@{socket.gethostname()}/{self._pid}", later=self._schedule.soon)
        self._revokes = Revokes(lambda: app.backend.reader, concerns=self._holds, obey=self._obey)
        self._jobs = Jobs(
            self._name,
            size=max_workers or (os.cpu_count() or 1) + (0 if processes else 4),
            max_queued=max_queued,
            runner=self._runners(mp_context, max_tasks_per_child, initializer, initargs),
            home=self,
            facts=self._facts,
            revokes=self._revokes,
            schedule=self._schedule,
            ended=self._let_go,
        )
        self._desk = Desk(app=app, jobs=self._jobs, home=self, processes=processes, trail=trail, ready=self._check, sent=self._hold)
        self._plain = self.options()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """Send one task: `fn(*args, **kwargs)`. Its name is `module.qualname`.

        Returns once `sent` was recorded. Arguments that the log cannot hold are recorded as their repr (`{"repr": …, "flag": …}`); the task
        gets them as they are.
        Raises `Closed` after `shutdown`, `NotPicklable` where a process cannot get the call, and what `Recorder.sent` raises.
        """
        return self._plain.submit(fn, *args, **kwargs)

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> GroupResult:
        """Send one task for each item, like the built-in `map`; results keep the order of the items.

        All are sent before it returns, so the iterables must end. Each task knows its `group_id` and `group_index`.
        """
        return self._plain.map(fn, *iterables)

    def group(self, calls: Iterable[tuple[Callable[..., Any], Sequence[Any]]]) -> GroupResult:
        """Send many tasks, each a pair of function and arguments, see `map`."""
        return self._plain.group(calls)

    def chain(self, functions: Sequence[Callable[..., Any]], /, *args: Any) -> AsyncResult:
        """Send tasks that follow one another: the first gets `args`, each other one what the one before it returned.

        Returns the last result, whose `parent` leads back to the first. All are recorded as sent now. When one does not succeed those
        after it never run and are REVOKED ("predecessor … did not succeed"); `get()` on the last raises what failed first.
        """
        return self._plain.chain(functions, *args)

    def replay(self, task_id: str, fn: Callable[..., Any] | None = None) -> AsyncResult:
        """Run the call of a recorded task again, as a new task whose `replay_of` is this id.

        From its recorded arguments, by the function of its name (`fn`: another), which this process must have imported. Raises
        `ReplayRefused` when the arguments were not recorded as they were (redacted, too large, written by another serializer), the function
        is not to be found, or no such task is known; `ValueErased` or `ValueSealed` for arguments that cannot be decrypted; and what
        `submit` raises.
        """
        backend = self._app.backend
        meta = backend.reader.get(task_id)
        call = recorded_call(task_id, None if meta is None else backend.decoder.opened(meta), fn)
        return self._plain.again(task_id, call, queue=None if meta is None else meta.queue)

    def options(
        self,
        *,
        task_id: str | None = None,
        name: str | None = None,
        queue: str | None = None,
        countdown: float | None = None,
        eta: datetime | None = None,
        expires: datetime | float | None = None,
        max_retries: int | None = None,
    ) -> Submitter | EagerSubmitter:
        """What has `submit`, `map`, `group` and `chain` like the executor, with these options for each task.

        `countdown` (seconds) or `eta` (a datetime; naive means UTC) is the earliest start; a task not begun at `expires` (seconds from
        now, or a datetime) is REVOKED. In a chain `eta` is the first task's. What is left out is the executor's.
        """
        given = Options(
            task_id=task_id,
            name=name,
            queue=queue or self._queue,
            eta=moment(eta if countdown is None else countdown),
            expires=moment(expires),
            max_retries=self._max_retries if max_retries is None else max_retries,
        )
        if self._eager:
            return EagerSubmitter(given, ready=self._check)
        return Submitter(self._desk, given)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False, timeout: float | None = None) -> None:
        """Take no more tasks, and wait until those sent are done, with their retries and whatever they still send. Idempotent.

        - `wait=False` returns at once; the work goes on.
        - `cancel_futures` revokes what has not begun.
        - After `timeout` seconds, what has not begun is revoked and task processes are terminated (SIGTERM, then SIGKILL; their tasks are
          REVOKED). Threads cannot be: what they run goes on, its outcome is recorded if the process lives on, and a warning says so.

        Facts are flushed. Raises `WouldBlock` when a task of this executor asks it to wait.
        """
        if os.getpid() != self._pid:
            return
        if wait and self._jobs.crew.has(threading.current_thread()):
            raise WouldBlock("A task cannot wait for the end of the executor that runs it: use shutdown(wait=False).")
        self._jobs.close()
        if cancel_futures:
            self._jobs.abandon("executor shut down")
        if wait:
            self._wait(timeout, PATIENCE_SECONDS)
            atexit.unregister(self._at_exit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Ctrl-C and sys.exit mean now; another exception leaves the tasks their time, as in concurrent.futures.
        interrupted = kind is not None and not issubclass(kind, Exception)
        self.shutdown(cancel_futures=interrupted, timeout=GRACE_SECONDS if interrupted else None)

    # -- Home, for the tasks that run in threads of this process

    def update(self, task: CurrentTask, state: str, meta: Any) -> None:
        """Record an update of a task that runs here; use `current_task().update`."""
        self._facts.updated(task.id, state, meta)

    def submits(self, task: CurrentTask) -> Submitter | EagerSubmitter:  # noqa: ARG002
        """What takes the tasks of a task that runs here; use `current_task().submit`."""
        return self._plain

    # -- parts

    def _runners(
        self, mp_context: str | BaseContext, max_tasks: int | None, initializer: Callable[..., object] | None, initargs: Sequence[Any]
    ) -> Callable[[], Runner]:
        if not self._processes:
            return lambda: ThreadRunner(initializer, initargs)
        context = multiprocessing.get_context(mp_context) if isinstance(mp_context, str) else mp_context
        if context.get_start_method() == "fork":
            raise ConfigError(
                'Task processes cannot start by fork: they would inherit the log and the view. Use mp_context="forkserver" or "spawn".',
                setting="mp_context",
                source="executor()",
            )
        packed = None if initializer is None else pack_call(Call(initializer, tuple(initargs)), "the initializer")
        return lambda: ProcessRunner(context, name=f"eventresults-{self._name}", initializer=packed, max_tasks=max_tasks)

    def _holds(self, task_id: str) -> bool:
        return self._jobs.holds(task_id)

    def _obey(self, order: Order) -> None:
        self._schedule.soon(lambda: self._jobs.obey(order))

    def _check(self) -> None:
        """Before a submission."""
        if os.getpid() != self._pid:
            raise Closed(f"Executor {self._name!r} belongs to process {self._pid}: make one in this process.", what="executor")
        if self._eager:
            self._jobs.check_open()
        else:
            self._revokes.open()

    def _hold(self) -> None:
        """After a submission."""
        if not self._held:
            # Now, not earlier: hooks run backwards, and the recorder, which set its own at its first fact, must close after us.
            self._held = True
            atexit.register(self._at_exit)

    def _wait(self, timeout: float | None, patience: float) -> None:
        if not self._jobs.drained(timeout):
            self._jobs.abandon("executor shut down")
            for signal in ("SIGTERM", "SIGKILL") if self._processes else ():
                self._jobs.stop(signal, "executor shut down")
                if self._jobs.drained(STOP_SECONDS):
                    break
            self._facts.give_up()
            if self._jobs.unfinished:
                logger.warning("executor %s leaves %d tasks running: a thread cannot be ended", self._name, self._jobs.unfinished)
        if not self._jobs.unfinished:
            self._jobs.crew.join(patience)
        if not self._recorder.flush(patience):
            logger.error("facts were not acknowledged within %g s: is the log reachable?", patience)

    def _let_go(self) -> None:
        self._revokes.close()
        self._schedule.close()

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            self._jobs.close()
            self._jobs.abandon("the interpreter exited")
            self._wait(GRACE_SECONDS, EXIT_PATIENCE_SECONDS)

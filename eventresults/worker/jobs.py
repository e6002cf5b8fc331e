"""The jobs that an executor has not finished, and what becomes of each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from eventresults.errors import Closed, ConfigError, WorkerLostError, WouldBlock
from eventresults.worker.attempt import Again, Outcome, Raised, Returned, Runner, Stopped
from eventresults.worker.context import CurrentTask, Home
from eventresults.worker.crew import Crew
from eventresults.worker.facts import Facts
from eventresults.worker.job import Call, Job, Phase
from eventresults.worker.revokes import Order, Revokes
from eventresults.worker.schedule import Schedule

logger = logging.getLogger(__name__)

#: Tasks may send tasks beyond `max_queued`, for a worker that waited would wait for itself; this many times as many.
NESTED_ROOM = 10


class Jobs:
    """Accepts jobs, hands them to the crew when they are due, settles what came of them, and revokes what it is told to. Any thread.

    Once it is closed and nothing is left, it ends the crew and calls `ended`.
    """

    def __init__(
        self,
        name: str,
        *,
        size: int,
        runner: Callable[[], Runner],
        max_queued: int,
        home: Home,
        facts: Facts,
        revokes: Revokes,
        schedule: Schedule,
        ended: Callable[[], None],
    ) -> None:
        self._name = name
        self._max_queued = max_queued
        self._crew = Crew(name, size=size, runner=runner, work=self._take_up)
        self._home = home
        self._facts = facts
        self._revokes = revokes
        self._schedule = schedule
        self._on_end = ended
        self._lock = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._closed = False
        self._abandoned: str | None = None
        self._ended = False

    def holds(self, task_id: str) -> bool:
        """Whether this job is unfinished here."""
        return task_id in self._jobs

    @property
    def crew(self) -> Crew:
        """Who does them."""
        return self._crew

    @property
    def unfinished(self) -> int:
        """Jobs that are unfinished."""
        return len(self._jobs)

    def accept(self, *chain: Job, nested: bool) -> None:
        """Take a job, or jobs that follow one another, and record `sent` for each.

        Waits while `max_queued` jobs are unfinished; a `nested` call, which comes from a task, does not. Raises `Closed`, `WouldBlock`,
        `ConfigError` (an id of a job that is unfinished), and what recording raises, in which case none was taken.
        """
        self._admit(chain, nested=nested)
        told: list[Job] = []
        try:
            for job in chain:
                self._facts.sent(job, complete=job is chain[0])
                told.append(job)
            self._dispatch(chain[0], chain[0].delay())
        except BaseException:
            for job in told:
                self._facts.revoked(job, reason="could not be sent")
            self._leave(*chain)
            raise

    def check_open(self, *, nested: bool = False) -> None:
        """Raise `Closed` unless jobs are taken."""
        if self._abandoned is not None or self._ended or (self._closed and not nested):
            raise Closed(f"Executor {self._name!r} was shut down and takes no tasks: make a new one.", what="executor")

    def obey(self, order: Order) -> None:
        """Revoke this job: at once while it waits; ending its run only if the order says so and its runner can."""
        with self._lock:
            job = self._jobs.get(order.task_id)
            if job is None:
                return
            job.order = order
            runner = job.runner if job.phase is Phase.RUNNING else None
        if runner is None:
            self._withdraw(job, order.reason)
        elif order.terminate and not runner.terminate(job, order.signal):
            logger.warning("task %s runs on: a thread cannot be terminated (processes=True can)", job.id)

    # -- the end

    def close(self) -> None:
        """Take no more jobs but from tasks."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        self._end_if_done()

    def abandon(self, reason: str) -> None:
        """Revoke every job that waits, also those that will."""
        with self._lock:
            self._abandoned = reason
            waiting = list(self._jobs.values())
            self._lock.notify_all()
        for job in waiting:
            self._withdraw(job, reason)

    def stop(self, signal: str, reason: str) -> None:
        """End every run that can be ended."""
        with self._lock:
            running = [job for job in self._jobs.values() if job.phase is Phase.RUNNING]
        for job in running:
            self.obey(Order(job.id, terminate=True, signal=signal, reason=reason))

    def drained(self, timeout: float | None) -> bool:
        """Wait until nothing is unfinished; False when `timeout` seconds were not enough."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._jobs, timeout)

    # -- jobs

    def _admit(self, chain: tuple[Job, ...], *, nested: bool) -> None:
        with self._lock:
            if not nested:
                self._lock.wait_for(lambda: self._closed or len(self._jobs) < self._max_queued)
            self.check_open(nested=nested)
            if nested and len(self._jobs) >= NESTED_ROOM * self._max_queued:
                raise WouldBlock(
                    f"{len(self._jobs):,} tasks of executor {self._name!r} are unfinished; a task that waited for room could "
                    "wait for itself. Send fewer tasks from tasks, or raise max_queued.",
                    unfinished=len(self._jobs),
                )
            for job in chain:
                if job.id in self._jobs:
                    raise ConfigError(
                        f"Task {job.id!r} is unfinished in this executor: wait for it, or use another task_id.",
                        setting="task_id",
                        source="options()",
                    )
            for job in chain:
                self._jobs[job.id] = job

    def _dispatch(self, job: Job, delay: float) -> None:
        if delay > 0:
            job.unschedule = self._schedule.after(delay, lambda: self._dispatch(job, 0))
            return
        if job.phase is Phase.WAITING:
            self._crew.put(job)

    def _withdraw(self, job: Job, reason: str | None) -> bool:
        """Revoke a job that waits, and what was to follow it; False when it does not wait."""
        with self._lock:
            if job.phase is not Phase.WAITING:
                return False
            job.phase = Phase.DONE
            unschedule, job.unschedule = job.unschedule, None
        if unschedule is not None:
            unschedule()
        self._facts.revoked(job, reason=reason)
        self._cut(job)
        self._leave(job)
        return True

    def _cut(self, job: Job) -> None:
        """The job failed: what was to follow it never runs."""
        if job.successor is not None:
            self._withdraw(job.successor, f"predecessor {job.id} did not succeed")

    def _leave(self, *jobs: Job) -> None:
        with self._lock:
            for job in jobs:
                job.phase = Phase.DONE
                self._jobs.pop(job.id, None)
            self._lock.notify_all()
        self._end_if_done()

    def _end_if_done(self) -> None:
        with self._lock:
            if self._ended or not self._closed or self._jobs:
                return
            self._ended = True
        self._crew.end()
        self._on_end()

    # -- in a worker

    def _take_up(self, job: Job, runner: Runner) -> None:
        with self._lock:
            if job.phase is not Phase.WAITING:
                return
            job.phase = Phase.RUNNING
            job.runner = runner
        try:
            self._settle(job, self._run(job, runner))
        except Exception as error:
            logger.exception("executor %s failed to see task %s through", self._name, job.id)
            self._facts.failed(job, Raised(error), job.trail or ())
            self._cut(job)
            self._leave(job)

    def _run(self, job: Job, runner: Runner) -> Outcome:
        order = self._revokes.find(job.id)
        if order is None and not job.attempt and job.expired():
            order = Order(job.id, reason="expired")
        if order is None:
            try:
                pid = runner.prepare()
            except WorkerLostError as error:
                return Raised(error)
        with self._lock:
            job.order = job.order or order
            if job.order is not None:
                return Stopped(None)
        job.attempt += 1
        self._facts.started(job, pid)
        return runner.run(job, self._task(job))

    def _task(self, job: Job) -> CurrentTask:
        return CurrentTask(
            id=job.id,
            name=job.name,
            home=self._home,
            root_id=job.root_id,
            parent_id=job.parent_id,
            group_id=job.group_id,
            attempt=job.attempt,
            max_retries=job.max_retries,
            trail=job.trail,
        )

    def _settle(self, job: Job, outcome: Outcome) -> None:
        follows = job.successor
        children: list[Any] = list(job.trail or ())
        match outcome:
            case Again():
                job.eta = self._facts.retried(job, outcome)
                self._try_again(job, outcome.countdown)
                return
            case Returned():
                if follows is not None and follows.phase is Phase.WAITING and job.trail is not None:
                    children.append(((follows.id, None), None))
                if self._facts.succeeded(job, outcome, children) and follows is not None:
                    follows.call, follows.payload = Call(follows.call.fn, (outcome.value,)), None
                    self._dispatch(follows, 0)
                else:
                    self._cut(job)
            case Raised():
                self._facts.failed(job, outcome, children)
                self._cut(job)
            case Stopped():
                self._facts.stopped(job, outcome, reason=job.order.reason if job.order else None)
                self._cut(job)
        self._leave(job)

    def _try_again(self, job: Job, countdown: float) -> None:
        with self._lock:
            job.phase = Phase.WAITING
            job.runner = None
            order, abandoned = job.order, self._abandoned
        if order is not None:
            self._withdraw(job, order.reason)
        elif abandoned is not None:
            self._withdraw(job, abandoned)
        else:
            self._dispatch(job, countdown)

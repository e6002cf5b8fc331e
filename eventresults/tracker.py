"""The tracker: the app object that hands the rooms to the user."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from eventresults import bootstrap
from eventresults.client import app as current
from eventresults.client.backend import Backend
from eventresults.client.decoding import PLAIN, Decoder, Unsealing
from eventresults.client.groupresult import GroupResult
from eventresults.client.projected import ProjectionReader
from eventresults.client.result import AsyncResult
from eventresults.client.resultset import ResultSet
from eventresults.config import Settings, load_settings
from eventresults.domain.events import TaskEvent, UnknownEvent
from eventresults.domain.meta import TaskMeta
from eventresults.domain.position import Position
from eventresults.domain.projection import Projection
from eventresults.errors import ConfigError, EventResultsError, ResultTimeout, ViewCorrupt
from eventresults.log.base import Log
from eventresults.recorder import Recorder
from eventresults.replay.system import SystemTravel
from eventresults.service.afresh import Difference, Progress, rebuild, rebuild_beside, verify_checkpoint
from eventresults.service.held import Owned
from eventresults.service.places import Place
from eventresults.service.pointed import PointedView
from eventresults.service.snapshots import pack_snapshot, restore
from eventresults.view.base import Freshness

if TYPE_CHECKING:
    from eventresults.service.group import GroupView
    from eventresults.worker.executor import TrackedExecutor
    from eventresults.worker.run import Run

#: How long others may take to fold their whole log.
VERIFY_SECONDS = 3600.0
#: How long tasks may still run when the tracker is closed before their executor.
EXECUTOR_GRACE_SECONDS = 2.0
#: Inside `Tracker`, the class's name is a method's.
Result = AsyncResult
Results = list[AsyncResult]


def connect(url: str | None = None, *, projections: Iterable[Projection | str] | str | None = None, **settings: Any) -> Tracker:
    """Make a tracker of the log at `url`, and make it the current one.

    `projections` are run beside the view while this process owns it: objects, or import paths such as "shop.spend:SPEND".

    Without a URL: `EVENTRESULTS_URL`, then `eventresults.toml`, then `sqlite:///eventresults.db`. Further settings by keyword (see the
    configuration table of the README). Opens nothing yet. Raises `ConfigError`.
    """
    objects: list[Projection] = []
    if projections is not None:
        each = projections.split(",") if isinstance(projections, str) else list(projections)
        objects = [one for one in each if not isinstance(one, str)]
        if paths := [one for one in each if isinstance(one, str)]:
            settings["projections"] = ",".join(paths)
    tracker = Tracker(load_settings(url, **settings), objects)
    current.set_current(tracker)
    return tracker


def current_tracker() -> Tracker:
    """The tracker that was connected last and is still open. Raises `ConfigError` when there is none."""
    tracker = current.current_app()
    if not isinstance(tracker, Tracker):
        raise ConfigError("There is no current tracker: call eventresults.connect() first.", setting="url")
    return tracker


class Tracker:
    """One log, its view, and everything made of them. A context manager; thread-safe; made by `connect`."""

    def __init__(self, settings: Settings, projections: Iterable[Projection] = ()) -> None:
        self.settings = settings
        self.log: Log = bootstrap.make_log(settings)
        self._guard, self.opener = bootstrap.make_guard(settings)
        self._appender = bootstrap.make_appender(settings, self.log)
        self._make_store = bootstrap.make_stores(settings)
        self._place = bootstrap.make_place(settings, self._make_store)
        self._projections = bootstrap.projections(settings, projections)
        self._view: PointedView | GroupView = bootstrap.make_view(settings, self.log, self._appender.own, self._place, self._projections)
        self._past = bootstrap.make_travel(settings, self.log, self._view, self._place, self._make_store)
        self._backends: WeakSet[Backend] = WeakSet()
        self.backend = self.backend_for(PLAIN)
        self._executors: WeakSet[TrackedExecutor] = WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def url(self) -> str:
        """The log's URL, passwords masked."""
        return self.settings.log.masked

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def backend_for(self, decoder: Decoder) -> Backend:
        """What results ask whose payloads are read by `decoder`. Closed with the tracker."""
        backend = Backend(
            self.recorder(),
            self._view,
            result_expires=self.settings.result_expires,
            read_timeout=self.settings.read_timeout,
            unfinished_expires=self.settings.unfinished_expires,
            url=self.url,
            decoder=Unsealing(decoder, self.opener),
            travel=self._past,
        )
        self._backends.add(backend)
        return backend

    def __repr__(self) -> str:
        return f"<Tracker: {self.url}>"

    # Results

    def AsyncResult(self, id: str, **arguments: Any) -> Result:  # noqa: N802 - Celery's name
        """The result of one task; asks nothing yet."""
        return AsyncResult(id, app=self, **arguments)

    def ResultSet(self, results: Results, **arguments: Any) -> ResultSet:  # noqa: N802 - Celery's name
        """Several results as one."""
        return ResultSet(results, app=self, **arguments)

    def GroupResult(self, id: str | None = None, results: Results | None = None, **arguments: Any) -> GroupResult:  # noqa: N802
        """Several results under one id."""
        return GroupResult(id, results, app=self, **arguments)

    # Recording and doing

    def recorder(self, worker: str | None = None) -> Recorder:
        """Appends facts, as `worker` if that is given. All recorders of a tracker share its one way into the log."""
        return Recorder(
            self._appender,
            worker=worker,
            source=self.settings.source,
            result_expires=self.settings.result_expires,
            guard=self._guard,
        )

    def executor(self, max_workers: int | None = None, **options: Any) -> TrackedExecutor:
        """Run functions in threads, or with `processes=True` in processes, and record what becomes of each; see `TrackedExecutor`.

        Opens the view, for results are to be had of it. Close the executor, or use `with`.
        """
        from eventresults.worker.executor import TrackedExecutor  # noqa: PLC0415 - only what is used is loaded

        executor = TrackedExecutor(self, max_workers=max_workers, **options)
        self._executors.add(executor)
        return executor

    def run(
        self, name: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, task_id: str | None = None
    ) -> AbstractContextManager[Run]:
        """Record whatever happens in the `with` block as one task: `with tracker.run("resize") as task: task.result = …`."""
        from eventresults.worker.run import run  # noqa: PLC0415

        return run(self, name, args, kwargs, task_id)

    # Reading

    def read(self, task_id: str, freshness: Freshness | None = None) -> TaskMeta | None:
        """What is known of one task; None for an unknown, expired or forgotten id. See "freshness" in the README."""
        return self._view.get(str(task_id), freshness=freshness or "default")

    def read_many(self, ids: Iterable[str], freshness: Freshness | None = None) -> dict[str, TaskMeta | None]:
        """What is known of many tasks, by id."""
        return self._view.get_many([str(one) for one in ids], freshness=freshness or "default")

    def history(self, task_id: str) -> list[TaskEvent | UnknownEvent]:
        """Every fact of one task (or group) that the view holds, oldest first."""
        return [fact.event for fact in self._view.history(str(task_id))]

    @property
    def past(self) -> SystemTravel:
        """What was known earlier, and where that is known from: `past.task(id, when)`, and of all tasks `past.state(when)`."""
        return self._past

    def projection(self, name: str) -> ProjectionReader:
        """The states of one projection, which is run by whoever owns the view: `tracker.projection("spend-by-customer").get("ada")`."""
        mine = self._projections.get(name)
        return ProjectionReader(self._view, name, version=None if mine is None else mine.version)

    def tasks(
        self,
        state: str | None = None,
        name: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[TaskMeta]:
        """Tasks whose first fact came (by log time) since <= time < until, newest first, at most `limit`."""
        items: list[TaskMeta] = []
        cursor: str | None = None
        while len(items) < limit:
            page = self._view.recent(
                state=state, name=name, since=_ms(since), until=_ms(until), limit=limit - len(items), cursor=cursor,
                freshness="default" if cursor is None else "applied",
            )  # fmt: skip
            items.extend(page.items)
            cursor = page.cursor
            if cursor is None:
                break
        return items

    def wait_until(self, position: Position, timeout: float | None = None) -> None:
        """Wait until the view holds this position. Raises `ResultTimeout` after `timeout` seconds (None: `read_timeout`)."""
        if not self._view.wait_until(position, timeout):
            raise ResultTimeout(f"The view did not reach {position} in time.", timeout=timeout)

    # Tending the view

    @property
    def view(self) -> PointedView | GroupView:
        """What this tracker reads; opened by its first use."""
        return self._view

    def view_stats(self) -> dict[str, Any]:
        """Where the view is, which generation, and of each partition: position, end of the log, lag, bytes and counts."""
        found: dict[str, Any] = self._view.ask("stats", self.settings.connect_timeout)
        return {**found, "log": self.url}

    def rebuild(self, progress: Progress | None = None) -> int:
        """Fold the whole log into a new generation and put it in place of this one; the number of records folded."""
        timeout = self.settings.connect_timeout
        held = self._view.held if isinstance(self._view, PointedView) else None
        if isinstance(held, Owned):
            return rebuild(held.owner, progress=progress, timeout=timeout)
        return rebuild_beside(
            self.log,
            self._here(),
            lifetimes=bootstrap.lifetimes(self.settings),
            projections=self._projections(),
            progress=progress,
            timeout=timeout,
        )

    def verify(self, progress: Progress | None = None, *, against: Log | None = None) -> list[Difference]:
        """Fold the log afresh and compare it with the view, which goes on meanwhile; the differences.

        `against` is another log of the same records, such as an archive's. A view elsewhere (a service's, a group's) is compared there, by
        who has it, and with the log alone; at most 1,000 differences of each, as texts.
        """
        if against is None and bootstrap.is_elsewhere(self.settings):
            return [Difference(*one) for one in self._view.ask("verify", VERIFY_SECONDS)["differences"]]
        with self._checkpoint() as folder:
            return verify_checkpoint(
                against or self.log,
                folder,
                self._make_store,
                lifetimes=bootstrap.lifetimes(self.settings),
                projections=self._projections(),
                open_checkpoint=self._place.open_checkpoint,
                progress=progress,
                timeout=self.settings.connect_timeout,
            )

    def snapshot(self, path: str | Path, keep: int | None = None) -> Path:
        """Take a snapshot of the view, which goes on meanwhile: a new folder in `path`. `keep`: how many of the latest stay."""
        with self._checkpoint() as folder:
            return pack_snapshot(folder, Path(path), open_checkpoint=self._place.open_checkpoint, log_url=self.url, keep=keep)

    def restore(self, path: str | Path) -> int:
        """Put the snapshot at `path`, or the latest of those in it, in place of the view; the number of the new generation.

        Every checksum is verified first, and the log goes on from there. Whoever owns the view meanwhile reads the new one.
        """
        return restore(self.log, self._here(), Path(path), timeout=self.settings.connect_timeout)

    def _here(self) -> Place:
        if bootstrap.is_elsewhere(self.settings):
            raise ConfigError(
                f"view={self.settings.view!r} is not kept on this host: do this where it is, with view= naming its folder.", setting="view"
            )
        return self._place

    @contextmanager
    def _checkpoint(self) -> Iterator[Path]:
        timeout = self.settings.connect_timeout
        with self._here().scratch() as scratch:
            folder = Path(self._view.ask("checkpoint", timeout, into=str(scratch.absolute())))
            try:
                yield folder
            except ViewCorrupt as error:
                with suppress(EventResultsError):  # its next owner meets it by itself
                    self._view.ask("damaged", timeout, why=str(error))
                raise

    # The end

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until every fact recorded here is acknowledged or has failed; False when `timeout` seconds were not enough."""
        return self._appender.flush(timeout)

    def close(self) -> None:
        """Flush what was recorded, release who waits (they raise `Closed`), close the view and the log. Idempotent.

        Executors that were not shut down are: what had not begun is revoked, what runs has 2 seconds.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for executor in list(self._executors):
            executor.shutdown(cancel_futures=True, timeout=EXECUTOR_GRACE_SECONDS)
        current.unset_current(self)
        self._appender.close()
        for backend in list(self._backends):
            backend.close()
        self._view.close()
        self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)

"""The owner: the one process that holds a view open for writing, and keeps it moving along its log.

Opening checks that the view still belongs to the log; when it does not, the reason is logged and a new generation takes its place.
A thread then projects. What holds it up (an unreachable log, a full disk) is told to readers who wait in vain, and tried again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, sleep

from eventresults.domain.projection import Projection
from eventresults.errors import Closed, TopicMisconfigured, ViewError, ViewLocked, ViewStale
from eventresults.log.base import Log, LogInfo
from eventresults.projector import Lifetimes, Observer, Projector, Step, replay, unobserved
from eventresults.service.leaving import close_at_exit
from eventresults.service.lookout import Lookout
from eventresults.service.opening import begin_anew, close_all, take, take_over, tidy, why_damaged
from eventresults.service.places import Build, Place
from eventresults.service.shards import Opened, Outdated, open_shards, why_outdated
from eventresults.service.told import Told, identity
from eventresults.service.trouble import Trouble
from eventresults.view import projected
from eventresults.view.listeners import Listeners
from eventresults.view.live import LiveView
from eventresults.view.shard import Head

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
#: How often a running owner asks the log whether it is still the same one, in seconds.
CHECK_SECONDS = 5.0
BACKOFF_SECONDS = (0.05, 5.0)
JOIN_SECONDS = 4.0
#: How long an owner that yields leaves the view to the process that asked for it.
YIELD_SECONDS = 0.5


class Overtaken(Exception):
    """A higher generation is in use than the one held here."""


class Owner:
    """Owns the view of one log at one place. Make with `Owner.open`; `view` moves until `close`."""

    def __init__(
        self,
        log: Log,
        place: Place,
        build: Build,
        opened: Opened,
        *,
        lifetimes: Lifetimes,
        timeout: float,
        projections: Sequence[Projection] = (),
        listeners: Listeners | None = None,
        told: Mapping[int, int] | None = None,
    ) -> None:
        self.log = log
        self.place = place
        self.lifetimes = lifetimes
        self.view = LiveView(opened.shards, opened.positions, listeners, told=told)
        self.view.on_doubt = self._wake
        self.view.projections = self.projections = projections
        #: Told of every poll that is folded.
        self.observer: Observer = unobserved
        #: Held while the view moves one step; hold it to keep the view still.
        self.still = threading.Lock()
        self._build = build
        self._heads: Mapping[int, Head] = opened.heads
        self._timeout = timeout
        self._projector: Projector | None = None
        self._fault: ViewError | None = None
        self._looks = 0
        self._losses = 0
        self._trouble = Trouble(self.view, f"the view at {place.name}")
        self._forget_exit: Callable[[], None] = lambda: None
        #: Whether another process took this one's place; set before the view is closed.
        self.resigned = False
        #: Whether it keeps the view, whoever asks for it: a service's owner.
        self.stays = False
        self._yielding = False
        #: Called once on the projector's thread, after this owner resigned and released everything.
        self.on_resign: Callable[[], None] = lambda: None
        #: Called after another generation of this owner's own took the place of the one before.
        self.on_replaced: Callable[[], None] = lambda: None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eventresults-projector", daemon=True)
        self._lookout = Lookout(self._suspects, CHECK_SECONDS, wake=self._wake)

    @classmethod
    def open(
        cls,
        log: Log,
        place: Place,
        *,
        lifetimes: Lifetimes | None = None,
        projections: Sequence[Projection] = (),
        timeout: float = 10.0,
        listeners: Listeners | None = None,
        after: Told | None = None,
        silent: bool = False,
    ) -> Owner:
        """Take the view's lock, check it against the log, tell `listeners` what they missed since `after`, and start projecting.

        `projections` are run beside the tasks' fold; those that were not run up to here are `behind`.

        With `silent`, the owner of the current generation is there but does not answer: a clone of what it holds is the next one.

        Raises `ViewLocked` when another process owns it, `ViewError` when it cannot be opened, `LogUnavailable` when the log cannot be
        asked within `timeout` seconds, `TopicMisconfigured` when the log cannot be what the view was made from.
        """
        lifetimes = lifetimes or Lifetimes()
        build, opened = take_over(log, place, timeout) if silent else take(log, place, timeout)
        tidy(place)
        losses = place.losses()
        told: Mapping[int, int] | None = None
        if after is not None:
            same_log = after.log_id == identity(opened.heads, losses)
            # Of another log, nothing was told.
            told = after.offsets if same_log else dict.fromkeys(opened.positions, 0)
            if listeners is not None and not same_log:
                listeners.caught_up()
        owner = cls(
            log, place, build, opened, lifetimes=lifetimes, projections=projections, timeout=timeout, listeners=listeners, told=told
        )
        try:
            if listeners is not None and told is not None:
                # The caller says when they have caught up: it may come to nothing yet.
                listeners.catch_up()
                for change in replay(owner.view, log, listeners.subjects(), told, opened.positions, lifetimes):
                    listeners.tell(change)
        except BaseException:
            opened.close()
            build.close()
            raise
        owner._losses = losses
        owner._forget_exit = close_at_exit(owner)
        owner._thread.start()
        owner._lookout.start()
        return owner

    @property
    def told(self) -> Told:
        """The log, and the offsets before which every change was told to those who listen."""
        return Told(self.log_id, self.view.told)

    @property
    def log_id(self) -> str:
        """As in `Told`."""
        return identity(self._heads, self._losses + self.view.logs_before)

    @property
    def settled(self) -> bool:
        """Whether every shard is open."""
        return not self.resigned

    @property
    def overtaken(self) -> bool:
        """Whether another process owns the view (a higher generation is in use), or is to: this one must not touch it any more."""
        if self._yielding:
            return True
        current = self.place.current()
        return current is not None and current > self._build.number

    @property
    def generation(self) -> int:
        """Which build of the view this is."""
        return self._build.number

    @property
    def heads(self) -> dict[int, Head]:
        """Where each shard stands, as of the last commit."""
        return dict(self._heads)

    @property
    def behind(self) -> list[str]:
        """Projections that were not folded all the way, or by another version: nothing is read of them until the view is built anew."""
        return sorted({name for head in self._heads.values() for name in projected.behind(head, self.projections)})

    def begin_beat(self) -> None:
        """Nobody listens here any more: while it closes, it gives other signs of life. As it is made, it does."""
        self._build.begin_beat()

    def end_beat(self) -> None:
        """Somebody listens here for those who look whether it lives."""
        self._build.end_beat()

    def yield_to_another(self) -> None:
        """Let the process that asks for it have the view; returns at once. Raises `ViewLocked` when this one stays."""
        if self.stays:
            raise ViewLocked(
                f"A service (pid {os.getpid()}) serves the view at {self.place.name} already: end it first, or name another folder.",
                path=self.place.name,
                pid=os.getpid(),
            )
        self._yielding = True
        self._wake()

    def check(self) -> bool:
        """Whether this owner is still the one, as far as can be seen at once; if not, it is about to resign."""
        if self.resigned or self._stop.is_set():
            return False
        try:
            overtaken = self.overtaken
        except ViewError:
            return True  # the projector meets it, too, and says so
        if overtaken:
            self._wake()
        return not overtaken

    def replace(self, build: Build, opened: Opened, *, same_log: bool = True) -> None:
        """Put another generation in place of this one: `current` moves, readers and watchers stay. Hold `still` meanwhile.

        With `same_log`, watchers are not told again what they know. Raises `ViewStale` when another process took the view meanwhile, and
        `Closed` when this owner was closed; `build` and `opened` are then still the caller's to close.
        """
        if self.resigned or self.overtaken:
            raise ViewStale(f"The view at {self.place.name} has another owner now: ask that one.", reason="overtaken", path=self.place.name)
        if self._stop.is_set():
            raise Closed("The view was closed while another generation was made to take its place.", what="view")
        self.place.publish(build)
        old_build = self._build
        self._put(opened, same_log=same_log)
        self._build = build
        old_build.close()
        tidy(self.place)
        self.on_replaced()

    def close(self) -> None:
        """Stop projecting, close the shards, release the lock. Idempotent, at most 5 seconds."""
        deadline = monotonic() + JOIN_SECONDS
        self._stop.set()
        self._forget_exit()
        self._wake()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)
        self._lookout.close(max(deadline - monotonic(), 0.0))
        try:
            self.view.close()
        finally:
            self._build.close()

    def _wake(self) -> None:
        projector = self._projector
        if projector is not None:
            projector.wake()

    # The projector's thread

    def _run(self) -> None:
        shortest, longest = BACKOFF_SECONDS
        pause = shortest
        while not self._stop.is_set():
            try:
                self._step()
            except Overtaken:
                self._resign()
                return
            except Exception as error:  # noqa: BLE001 - the thread lives as long as its owner; what stops it is told to every reader
                if self._stop.is_set():
                    break
                if isinstance(error, ViewError) and not isinstance(error, ViewStale):
                    self._fault = error
                self._trouble.take(error)
                self._drop_projector()
                self._stop.wait(pause)
                pause = min(pause * 2, longest)
            else:
                pause = shortest
                self._trouble.over()
        self._drop_projector()

    def _step(self) -> None:
        if self._projector is None or self.view.doubt_open or self._lookout.alarmed:
            self._look()
        with self.still:
            if self._projector is None:
                reader = self.log.reader({partition: head.next_offset for partition, head in self._heads.items()})
                self._projector = Projector(
                    reader, self.view, self._heads, self.lifetimes, observer=self._observe, projections=self.projections
                )
            projector = self._projector
        if self._stop.is_set():
            return
        try:
            polled = projector.poll(POLL_SECONDS)
        except Closed:
            if self._projector is projector:
                raise
            return  # another generation took its place meanwhile
        with self.still:
            if self._projector is not projector:
                return
            if self.overtaken:
                raise Overtaken
            try:
                projector.fold(polled)
            finally:
                # What was committed before a partition failed stays committed.
                self._heads = dict(projector.heads)

    def _observe(self, step: Step) -> None:
        self.observer(step)

    def _resign(self) -> None:
        """Another process took over while this one was silent: let go of everything, without harm to what is its own now."""
        if self._yielding:
            logger.info("the view at %s goes to the process that asked for it", self.place.name)
        else:
            logger.warning(
                "the view at %s has another owner now (generation %s): this process reads there", self.place.name, self.place.current()
            )
        self.resigned = True
        self._stop.set()
        self._forget_exit()
        self._drop_projector()
        try:
            self.view.close()
        except ViewError as error:
            logger.warning("a shard of the view could not be closed: %s", error)
        self._build.close()
        self._lookout.close(0.0)
        tidy(self.place)
        if self._yielding:
            sleep(YIELD_SECONDS)  # or this process's own readers might take it again
        self.on_resign()

    def _suspects(self) -> bool:
        """Whether something seems to be wrong; on the lookout's thread. One record is read, of each partition in turn."""
        heads = dict(self._heads)  # before the log is asked: as far as these it holds for certain what was folded
        if self.place.current() != self._build.number:
            return True
        self._looks += 1
        info = self.log.info(self._timeout)
        return why_outdated(heads, self.log, info, timeout=self._timeout, read=[self._looks % len(heads)]) is not None

    def _look(self) -> None:
        """Is this still the log that the view was made from, and the view still well? If not, start over in a new generation."""
        self._lookout.rest()
        doubt, fault = self.view.take_doubt(), self._fault
        with self.still:
            build, current = self._build, self.place.current()
        if current is not None and current > build.number:
            raise Overtaken
        info = self.log.info(self._timeout)
        outdated = why_outdated(self._heads, self.log, info, timeout=self._timeout)
        if outdated is None:
            outdated = why_damaged(current, fault, doubt)
        if self._stop.is_set():
            return  # it was closed meanwhile: what is to be done is the next owner's
        if outdated is not None:
            if info.partitions != len(self._heads):
                raise TopicMisconfigured(
                    f"{self.log.url} was created again, with {info.partitions} partitions in place of {len(self._heads)}, while this "
                    "process had it open: close this tracker and connect again.",
                    topic=self.log.url,
                    problems=[f"partitions changed from {len(self._heads)} to {info.partitions}"],
                )
            if current is None:
                # The next generation will have the number, and so the paths, of this one.
                self._close_shards(build)
            self._start_over(build, info, outdated)
        elif fault is not None:
            # Most of what a store fails with lasts until it is opened again.
            self._close_shards(build)
            with self.still:
                if self._build is build:
                    self._put(open_shards(build.open_store, info), same_log=True)
        self._fault = None

    def _start_over(self, build: Build, info: LogInfo, outdated: Outdated) -> None:
        fresh, opened = begin_anew(self.log, self.place, info, outdated)
        try:
            with self.still:
                if self._build is not build:
                    raise ViewStale("The view was rebuilt meanwhile.", reason="rebuilt meanwhile")  # noqa: TRY301 - what is open is closed below
                self.replace(fresh, opened, same_log=outdated.same_log)
        except BaseException:
            opened.close()
            fresh.close()
            raise

    def _close_shards(self, build: Build) -> None:
        """Readers wait for what takes their place."""
        with self.still:
            if self._build is build:
                close_all(self.view.shards)

    def _put(self, opened: Opened, *, same_log: bool) -> None:
        self._heads = opened.heads  # first: who connects now must not take the new log's offsets for the old one's
        old = self.view.replace(opened.shards, opened.positions, same_log=same_log)
        self._drop_projector()
        close_all(old)

    def _drop_projector(self) -> None:
        projector, self._projector = self._projector, None
        if projector is not None:
            projector.close()

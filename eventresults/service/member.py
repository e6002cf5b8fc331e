"""A member of a consumer group: it holds the shards of the partitions that the group assigned to it, while they are its own.

Opening and closing shards takes time, and the group waits for nobody: both happen on threads of a pool, one partition's steps in order.
Each member has a folder of its own, so two that believe they have the same partition harm nobody: both fold the same log.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from eventresults.domain.projection import Projection
from eventresults.errors import Closed, EventResultsError, LogError, NotOwner, ViewCorrupt, ViewError, ViewStale
from eventresults.log.base import LogInfo
from eventresults.log.membership import GroupLog, Membership
from eventresults.projector import Lifetimes, Observer, Projector, Step, unobserved
from eventresults.service.lookout import Lookout
from eventresults.service.places import Build, FolderPlace
from eventresults.service.shards import Outdated, open_shard, why_outdated
from eventresults.service.snapshots import restore_shard
from eventresults.service.told import Told
from eventresults.service.trouble import Trouble
from eventresults.view import projected
from eventresults.view.live import LiveView
from eventresults.view.shard import Head, Shard

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
#: How often a running member asks the log whether it is still the same one, in seconds.
CHECK_SECONDS = 5.0
BACKOFF_SECONDS = (0.05, 5.0)
JOIN_SECONDS = 4.0
#: Shards opened or closed at the same time.
OPENERS = 8


class Member:
    """Holds what the group assigns; `view` gains and loses shards meanwhile. Made running; end it with `close`.

    `address` is where other processes reach the service of this member. `place` is this member's own folder. A shard that is not there yet
    comes from the latest snapshot in `snapshots`, if it has one, else from the log. Raises `ViewLocked` when another process has the
    folder, `ConfigError` for a name or address that cannot be used, `LogUnavailable`, `TopicMisconfigured`.
    """

    def __init__(
        self,
        log: GroupLog,
        place: FolderPlace,
        *,
        group: str,
        address: str,
        instance_id: str | None = None,
        lifetimes: Lifetimes | None = None,
        projections: Sequence[Projection] = (),
        snapshots: Path | None = None,
        timeout: float = 10.0,
        session_timeout: float = 10.0,
        observer: Observer = unobserved,
    ) -> None:
        self.log = log
        self.place = place
        self.group = group
        self.address = address
        self.lifetimes = lifetimes or Lifetimes()
        self.observer = observer
        #: For good: another process took this one's place in the group.
        self.resigned = False
        #: Called with a partition and its position when its shard has left, on the thread that closes it.
        self.on_left: Callable[[int, int], None] = lambda _partition, _position: None
        #: Held while the view moves one step; hold it to keep the view still.
        self.still = threading.Lock()
        self._snapshots = snapshots
        self._timeout = timeout
        info = log.info(timeout)
        self.log_id, self.partitions = info.log_id, info.partitions
        self.view = LiveView({}, {})
        self.view.projections = self.projections = projections
        self.view.elsewhere = self._elsewhere
        self._trouble = Trouble(self.view, f"the view of group {group} at {place.name}")
        self._build: Build = place.open()
        self._heads: dict[int, Head] = {}
        #: What the group wants here; the pool brings it about, one partition at a time.
        self._wanted: set[int] = set()
        self._steps = {partition: threading.Lock() for partition in range(info.partitions)}
        self._looks = 0
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(OPENERS, thread_name_prefix="eventresults-shards")
        self._lookout = Lookout(self._suspects, CHECK_SECONDS, wake=self._wake)
        try:
            self._membership: Membership = log.join(
                group,
                self,
                address=address,
                instance_id=instance_id,
                session_timeout=session_timeout,
                heartbeat_interval=session_timeout / 3,
            )
        except BaseException:
            self._pool.shutdown(wait=False)
            self._build.close()
            raise
        self._projector = Projector(self._membership, self.view, {}, self.lifetimes, observer=self._observe, projections=projections)
        self._thread = threading.Thread(target=self._run, name="eventresults-projector", daemon=True)
        self._thread.start()
        self._lookout.start()

    @property
    def generation(self) -> int:
        """Which build of this member's view this is."""
        return self._build.number

    @property
    def heads(self) -> dict[int, Head]:
        """Where each shard that is here stands, as of the last commit."""
        return dict(self._heads)

    @property
    def told(self) -> Told:
        """The log, and the offsets before which every change was told to those who listen."""
        return Told(self.log_id, {partition: self.view.position(partition) for partition in self.view.partitions})

    @property
    def settled(self) -> bool:
        """Whether every partition that the group assigned is open here."""
        return set(self._membership.assigned) <= self._heads.keys()

    def check(self) -> bool:
        """Whether it still is a member."""
        return not (self.resigned or self._stop.is_set())

    def close(self) -> None:
        """Leave the group, close the shards, release the folder. Idempotent, at most some seconds."""
        if self._stop.is_set():
            return
        deadline = monotonic() + JOIN_SECONDS
        self._stop.set()
        self._membership.close()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)
        self._lookout.close(max(deadline - monotonic(), 0.0))
        self._pool.shutdown(wait=True, cancel_futures=True)
        try:
            self.view.close()
        finally:
            self._build.close()

    # Told by the group: return at once

    def assigned(self, partitions: frozenset[int]) -> None:
        """See `GroupListener.assigned`."""
        self._wanted |= partitions
        self._bring_about(partitions)

    def revoked(self, partitions: frozenset[int]) -> None:
        """See `GroupListener.revoked`."""
        self._wanted -= partitions
        self._bring_about(partitions)

    lost = revoked

    def _bring_about(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            try:
                self._pool.submit(self._step_of, partition)
            except RuntimeError:
                return  # closing: all shards are

    # On the pool's threads

    def _step_of(self, partition: int) -> None:
        """Open or close the shard of this partition, whichever is wanted now."""
        if partition not in self._steps:
            return  # there were fewer: `_look` says so to everybody
        shortest, longest = BACKOFF_SECONDS
        with self._steps[partition]:
            while not self._stop.is_set():
                try:
                    if partition in self._wanted:
                        self._open(partition)
                    else:
                        self._leave(partition)
                except Exception as error:
                    if not isinstance(error, EventResultsError):
                        logger.exception("partition %d of %s cannot be opened", partition, self.log.url)
                    else:
                        logger.warning("partition %d of %s cannot be opened (trying again): %s", partition, self.log.url, error)
                    self._stop.wait(shortest)
                    shortest = min(shortest * 2, longest)
                else:
                    return

    def _open(self, partition: int) -> None:
        if partition in self._heads:
            return
        info = self.log.info(self._timeout)
        if info.log_id != self.log_id:
            self._lookout.alarm()  # who reads hears of it first: `_look` tells them
            raise ViewStale(f"{self.log.url} was deleted and created again: wait a moment.", partition=partition, reason="recreated")
        shard, head = self._open_or_restore(partition, info)
        try:
            outdated = why_outdated({partition: head}, self.log, info, timeout=self._timeout)
        except BaseException:
            shard.close()
            raise
        if outdated is None and (behind := projected.behind(head, self.projections)):
            outdated = Outdated(f"its projections were added or changed ({', '.join(behind)})", same_log=True)
        if outdated is not None:
            shard.close()
            shard, head = self._begin_anew(partition, outdated, info)
        with self.still:
            self._heads[partition] = head
            self.view.enter(partition, shard, head.next_offset)
            self._projector.enter(partition, head)
        if partition not in self._membership.start({partition: head.next_offset}):
            self._leave(partition)  # it went away meanwhile

    def _open_or_restore(self, partition: int, info: LogInfo) -> tuple[Shard, Head]:
        path = self._build.shard_path(partition)
        if self._snapshots is not None and not path.exists():
            try:
                if restore_shard(self._snapshots, partition, path, log_id=info.log_id):
                    logger.info("partition %d of %s begins with its snapshot", partition, self.log.url)
            except ViewError as error:
                logger.warning("partition %d of %s begins with the log, for its snapshot is of no use: %s", partition, self.log.url, error)
                shutil.rmtree(path, ignore_errors=True)
        try:
            return open_shard(self._build.open_store, info, partition)
        except ViewCorrupt as error:
            return self._begin_anew(partition, Outdated(f"it is damaged ({error})", same_log=True), info)

    def _begin_anew(self, partition: int, outdated: Outdated, info: LogInfo) -> tuple[Shard, Head]:
        logger.warning("partition %d of the view at %s is built anew: %s", partition, self.place.name, outdated.why)
        shutil.rmtree(self._build.shard_path(partition), ignore_errors=True)
        return open_shard(self._build.open_store, info, partition)

    def _leave(self, partition: int, *, lost: bool = False) -> None:
        """Hold it no more; `lost`: what was told of it means nothing any more."""
        self._membership.stop([partition])
        with self.still:
            self._projector.leave(partition)
            self._heads.pop(partition, None)
            left = self.view.leave(partition)
        if left is not None:
            shard, position = left
            self.on_left(partition, 0 if lost else position)
            shard.close()

    def _reopen(self, partitions: Collection[int], *, anew: bool, lost: bool = False) -> None:
        """Something is wrong with these: close them, and open them again."""
        for partition in partitions:
            self._pool.submit(self._again, partition, anew, lost)

    def _again(self, partition: int, anew: bool, lost: bool) -> None:
        with self._steps[partition]:
            self._leave(partition, lost=lost)
            if anew:
                shutil.rmtree(self._build.shard_path(partition), ignore_errors=True)
        self._step_of(partition)

    # The projector's thread

    def _observe(self, step: Step) -> None:
        self.observer(step)

    def _run(self) -> None:
        shortest, longest = BACKOFF_SECONDS
        pause = shortest
        while not self._stop.is_set():
            try:
                self._step()
            except Closed:
                break
            except Exception as error:  # noqa: BLE001 - the thread lives as long as its member; readers are told what stops it
                if self._stop.is_set() or self._take_trouble(error):
                    break
                self._stop.wait(pause)
                pause = min(pause * 2, longest)
            else:
                pause = shortest
                self._trouble.over()

    def _step(self) -> None:
        if self.view.doubt_open or self._lookout.alarmed:
            self._look()
        polled = self._projector.poll(POLL_SECONDS)
        with self.still:
            folding = None
            try:
                for partition, poll in polled.items():
                    folding = partition
                    self._projector.fold({partition: poll})
            except ViewError as error:
                assert folding is not None
                self._reopen([p for p in polled if p in self._heads], anew=isinstance(error, ViewCorrupt))
                raise
            finally:
                self._heads = {p: head for p, head in self._projector.heads.items() if p in self._heads}
        self._membership.commit({partition: poll.next_offset for partition, poll in polled.items()})

    def _wake(self) -> None:
        self._membership.wake()

    def _suspects(self) -> bool:
        """Whether something seems to be wrong; on the lookout's thread. One record is read, of each partition in turn."""
        heads = dict(self._heads)  # before the log is asked: as far as these it holds for certain what was folded
        info = self.log.info(self._timeout)
        if info.log_id != self.log_id or not heads:
            return info.log_id != self.log_id
        self._looks += 1
        turn = sorted(heads)[self._looks % len(heads)]
        return why_outdated(heads, self.log, info, timeout=self._timeout, read=[turn]) is not None

    def _look(self) -> None:
        """Is this still the log that the shards were made from, and are they still well?"""
        self._lookout.rest()
        doubt = self.view.take_doubt()
        info = self.log.info(self._timeout)
        if info.log_id != self.log_id:
            logger.warning("%s was deleted and created again: its shards are built anew", self.log.url)
            self.log_id = info.log_id
            self.view.logs_before += 1
            self._reopen(list(self._heads), anew=True)
        elif isinstance(doubt, ViewCorrupt):
            self._reopen(list(self._heads), anew=True)
        else:
            for partition, head in self.heads.items():
                outdated = why_outdated({partition: head}, self.log, info, timeout=self._timeout)
                if outdated is not None:
                    logger.warning("partition %d of the view at %s is built anew: %s", partition, self.place.name, outdated.why)
                    self._reopen([partition], anew=True, lost=not outdated.same_log)

    def _take_trouble(self, error: Exception) -> bool:
        """Tell the readers; whether this is the end."""
        self._trouble.take(error)
        if isinstance(error, ViewStale) and error.facts.get("partition") is not None:
            self._reopen([error.facts["partition"]], anew=True)
        if isinstance(error, LogError) and error.facts.get("reason") == "fenced":
            self.resigned = True
            return True
        return False

    def _elsewhere(self, partition: int) -> EventResultsError:
        if self._stop.is_set():
            return Closed("This member of the group was closed: ask another one.", what="member")
        return NotOwner(
            f"Partition {partition} is not with the member of group {self.group} at {self.address}: ask the group again who has it.",
            partition=partition,
            owner=None,
        )

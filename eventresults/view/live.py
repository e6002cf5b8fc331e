"""The live view: shards that move while they are read.

`LiveView` is where the projector publishes and where readers wait. Waiting is for positions; what is published are changes, in log
order, to whoever subscribed. It answers with what is there: `eventresults.reading` adds how new an answer must be.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from time import monotonic
from typing import NoReturn, TypeVar

from eventresults.domain.projection import Projection
from eventresults.errors import Closed, EventResultsError, NotOwner, TopicMisconfigured
from eventresults.view.base import Change, Listener
from eventresults.view.listeners import Listeners, Subscribed
from eventresults.view.shard import Shard


class LiveView:
    """Shards, their positions, and those who wait or watch. Any thread may read; one thread publishes."""

    def __init__(
        self,
        shards: Mapping[int, Shard],
        positions: Mapping[int, int],
        listeners: Listeners | None = None,
        *,
        told: Mapping[int, int] | None = None,
    ) -> None:
        """`told`: `listeners` heard from another view of every change before these offsets, and are not told again."""
        #: Makes the error for a partition that is not here.
        self.elsewhere: Callable[[int], EventResultsError] = _not_here
        self._shards: Mapping[int, Shard] = _Here(shards, self)
        self._partitions = tuple(sorted(shards))
        self._positions: dict[int, int] = _Here(positions, self)
        self._told: Mapping[int, int] = dict(told or {})
        self._moved = threading.Condition()
        self._telling = threading.Lock()
        self._trouble: EventResultsError | None = None
        self._closed = False
        #: What is folded beside the tasks.
        self.projections: Sequence[Projection] = ()
        #: How far another generation is that is built for projections, and how far it must go (records); None: none is.
        self.building: tuple[int, int] | None = None
        self._doubt: EventResultsError | None = None
        #: Who of this process is told of changes: where it goes on from another view, it knows what it heard there.
        self.listeners = Listeners() if listeners is None else listeners
        #: Who listens for other processes, each of which knows by itself what it heard elsewhere.
        self.guests = Listeners()
        #: How often another log has taken the place of the one that this view was made from.
        self.logs_before = 0
        #: Called when a reader doubts the view, on that reader's thread.
        self.on_doubt: Callable[[], None] = lambda: None

    # Reading what is there

    @property
    def shards(self) -> Mapping[int, Shard]:
        """The shards by partition: the same object until another generation takes their place. Raises `Closed`."""
        self._check_open()
        return self._shards

    @property
    def partitions(self) -> Sequence[int]:
        """The partitions that this view holds."""
        return self._partitions

    def shard(self, partition: int) -> Shard:
        """One shard. Raises `Closed`."""
        return self.shards[partition]

    def position(self, partition: int) -> int:
        """The offset that this shard folds next: everything before it is in the view."""
        return self._positions[partition]

    @property
    def told(self) -> dict[int, int]:
        """The offsets before which every change was told to those who listen; beyond `position` while a view is filled anew."""
        return {partition: max(self._told.get(partition, 0), at) for partition, at in self._positions.items()}

    @property
    def trouble(self) -> EventResultsError | None:
        """Why the view does not move at present, if something holds it up."""
        return self._trouble

    def wait(self, ends: Mapping[int, int], deadline: float) -> bool:
        """Wait until every partition named has folded up to its end; False when the monotonic `deadline` came first.

        Raises `Closed`, and `TopicMisconfigured` when that is what holds the view up: no waiting heals it.
        """
        if self._reached(ends):
            return True
        with self._moved:
            while not self._closed:
                if self._reached(ends):
                    return True
                if isinstance(self._trouble, TopicMisconfigured):
                    raise copy.copy(self._trouble)
                remaining = deadline - monotonic()
                if remaining <= 0:
                    return False
                self._moved.wait(remaining)
        raise Closed("The view was closed while a read waited for it.", what="view")

    def _reached(self, ends: Mapping[int, int]) -> bool:
        positions = self._positions
        return all(positions[partition] >= end for partition, end in ends.items())

    # Watching

    def subscribe(self, subjects: Iterable[str], listener: Listener) -> Subscribed:
        """Call `listener` with every change of these ids from now on, on the projector's thread. Raises `Closed`."""
        self._check_open()
        return self.listeners.add(subjects, listener)

    def open_revokes(self, listener: Listener) -> Subscribed:
        """See `ViewReader.open_revokes`."""
        self._check_open()
        return self.listeners.add_for_revokes(listener)

    # Publishing: the projector's thread

    def watched(self, subjects: Collection[str]) -> set[str]:
        """See `Listeners.watched`."""
        return self.listeners.watched(subjects) | self.guests.watched(subjects)

    def listens(self, subject: str, request: bool) -> bool:
        """See `Listeners.listens`."""
        return self.listeners.listens(subject, request) or self.guests.listens(subject, request)

    def publish(self, partition: int, position: int, changes: Iterable[Change]) -> None:
        """A poll is committed: tell it to those who watch, in log order, then release those who wait for the position."""
        with self._telling:
            if self.listeners or self.guests:
                told = self._told.get(partition, 0)
                for change in changes:
                    if change.fact.position.offset >= told:
                        self.listeners.tell(change)
                        self.guests.tell(change)
            with self._moved:
                self._positions[partition] = position
                self._moved.notify_all()

    def reached(self) -> dict[int, int]:
        """The positions while nothing is being told: what lies before them is in the shards, and what does not is told from now on."""
        with self._telling:
            return dict(self._positions)

    # Shards that come and go: a member of a group

    def enter(self, partition: int, shard: Shard, position: int) -> None:
        """Hold this shard, too. Raises `Closed`."""
        with self._moved:
            self._put({**self.shards, partition: shard}, {**self._positions, partition: position})

    def leave(self, partition: int) -> tuple[Shard, int] | None:
        """Hold this shard no more: who waits for it raises what `elsewhere` makes. Returns it, for closing, with its position."""
        with self._moved:
            if partition not in self._shards:
                return None
            left, position = self._shards[partition], self._positions[partition]
            self._put(
                {p: shard for p, shard in self._shards.items() if p != partition},
                {p: offset for p, offset in self._positions.items() if p != partition},
            )
        return left, position

    def _put(self, shards: Mapping[int, Shard], positions: Mapping[int, int]) -> None:
        self._positions = _Here(positions, self)
        self._shards = _Here(shards, self)
        self._partitions = tuple(sorted(shards))
        self._moved.notify_all()

    def hold_up(self, trouble: EventResultsError | None) -> None:
        """The view cannot move for now, a read that waits in vain will say why; with None it moves again."""
        with self._moved:
            self._trouble = trouble
            self._moved.notify_all()

    def wait_for_others(self, shards: Mapping[int, Shard], deadline: float) -> bool:
        """Wait until others stand in the place of these shards, which are closed; False when the monotonic `deadline` came first.

        Raises `Closed`.
        """
        with self._moved:
            while self.shards is shards:
                remaining = deadline - monotonic()
                if remaining <= 0:
                    return False
                self._moved.wait(remaining)
        return True

    def doubt(self, why: EventResultsError) -> None:
        """A reader saw that the view is not what it should be: have the owner look."""
        self._doubt = why
        self.on_doubt()

    @property
    def doubt_open(self) -> bool:
        """Whether somebody doubted the view since `take_doubt`."""
        return self._doubt is not None

    def take_doubt(self) -> EventResultsError | None:
        """Why somebody doubted the view since this was asked last."""
        doubt, self._doubt = self._doubt, None
        return doubt

    def replace(self, shards: Mapping[int, Shard], positions: Mapping[int, int], *, same_log: bool) -> Mapping[int, Shard]:
        """Put another generation's shards in place of these, and return the old ones for closing. Watchers stay.

        With `same_log` they are not told again what they were told, however far back the shards begin. Raises `Closed`.
        """
        with self._moved:
            old = self.shards
            self._told = self.told if same_log else {}
            self._trouble = None
            self._put(shards, positions)
            if not same_log:
                self.logs_before += 1
                self.listeners.caught_up()
        return old

    def close(self) -> None:
        """Release all who wait (they raise `Closed`) and close the shards. Idempotent."""
        with self._moved:
            if self._closed:
                return
            self._closed = True
            self._moved.notify_all()
        for shard in self._shards.values():
            shard.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("This view is closed: open a new tracker with eventresults.connect().", what="view")


T = TypeVar("T")


class _Here(dict[int, T]):
    """What is here, by partition; for what is not, the view says where it is."""

    def __init__(self, here: Mapping[int, T], view: LiveView) -> None:
        super().__init__(here)
        self._view = view

    def __missing__(self, partition: int) -> NoReturn:
        raise self._view.elsewhere(partition)


def _not_here(partition: int) -> EventResultsError:
    return NotOwner(f"Partition {partition} is not in this view: ask its owner.", partition=partition, owner=None)

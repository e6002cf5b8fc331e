"""The scheduler: which actor goes next is drawn from a seed; and what must hold, whoever went when."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

from eventresults.codec.events import encode_event
from eventresults.errors import EventResultsError
from eventresults.log.memory import MemoryLog
from eventresults.service import feed
from eventresults.service.session import Session
from tests.simulation.client import Client
from tests.simulation.judge import Judge, Violation
from tests.simulation.owner import Owner
from tests.simulation.parts import Dead, Process, SimRoom, Wire
from tests.support import events

PARTITIONS = 2
IDS = [f"t{number}" for number in range(7)]
APPENDS = 60
STEPS = 400
#: How deep steps may lie within the pauses of others.
DEEPEST = 3
FACTS: list[tuple[Callable[..., Any], int]] = [
    (events.sent, 2), (events.started, 4), (events.updated, 3), (events.retried, 1), (events.succeeded, 2), (events.failed, 2),
    (events.forgotten, 1),
]  # fmt: skip


class World(Judge):
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = events.LOG_EPOCH
        super().__init__(MemoryLog(partitions=PARTITIONS, clock=lambda: self.now), IDS)
        self.generation = 0
        self.appended = 0
        self.depth = 0
        self.snapshots: list[dict[int, dict[bytes, bytes]]] = [{}]
        self.clients = [Client(self, f"c{number}") for number in range(3)]
        self.dead: list[Owner] = []
        self.owner: Owner | None = Owner(self, {})
        #: Whose threads of the pool are in the middle of something, the innermost last.
        self.working: list[Process] = []
        self.harm = True
        self.history: list[str] = []

    # The log

    def append(self) -> None:
        self.now += self.chance.randrange(3)
        self.appended += 1
        make = self.chance.choices([make for make, _ in FACTS], [weight for _, weight in FACTS])[0]
        event = make(task_id=self.chance.choice(IDS), second=self.appended)
        with_writer = self.log.writer()
        for _ in range(2 if self.chance.random() < 0.05 else 1):
            at = with_writer.append(event.subject.encode(), encode_event(event)).result()
            self.fold_truth(at.partition, at.offset)

    # Taking turns

    def pause(self) -> None:
        """An instant at which other threads may go on."""
        if self.depth < DEEPEST:
            self.depth += 1
            try:
                while self.chance.random() < 0.3:
                    self.step()
            finally:
                self.depth -= 1

    @contextmanager
    def alone(self) -> Iterator[None]:
        depth, self.depth = self.depth, DEEPEST
        try:
            yield
        finally:
            self.depth = depth

    def wait_for(self, ready: Callable[[], bool]) -> bool:
        self.depth += 1
        try:
            for _ in range(60):
                if ready():
                    return True
                self.step()
            return ready()
        finally:
            self.depth -= 1

    def step(self) -> None:
        """One actor, drawn from those that can, does what it does next."""
        actors = list(self.actors())
        if not actors:
            return
        act, _ = self.chance.choices(actors, [weight for _, weight in actors])[0]
        with suppress(Dead):  # the process whose step this is may be killed meanwhile
            act()

    def actors(self) -> Iterator[tuple[Callable[[], Any], float]]:
        if self.appended < APPENDS and self.harm:
            yield self.append, 3
        owner = self.owner
        if owner is None:
            yield self.take_over, 2
        else:
            process = owner.process
            if not owner.folding:
                yield owner.step, 3
                if self.harm and owner.log_id == self.log_id:
                    yield self.rebuild, 0.1
                    yield lambda: self.snapshots.append(owner.rows), 0.2
            if process.calls:
                yield lambda: self.call(process.calls.popleft()), 6
            if process.later:
                yield lambda: self.call(process.later.pop(0)), 1
            # What has begun ends before what it lies in goes on: nothing begins that would wait for that.
            ready = [one for one in process.work if self.depth < DEEPEST and not (owner.folding and one[0].__name__ == "work")]
            if ready:
                yield lambda: self.begin(process, self.chance.choice(ready)), 4
            for session, wire in owner.sessions:
                if not wire.ending and not wire.lost:
                    yield session.beat, 0.5
                    if wire.up:
                        yield lambda s=session, w=wire: s.received(w.up.popleft()), 3
            owner.sessions = [(s, w) for s, w in owner.sessions if not self.is_over(s, w)]
            if self.harm:
                yield self.kill_owner, 0.15
                yield self.supersede_owner, 0.1
        for client in self.clients:
            yield from self.acts_of(client)

    def acts_of(self, client: Client) -> Iterator[tuple[Callable[[], Any], float]]:
        if client.channel is not None:
            wire = client.channel.wire
            if wire.down:
                yield lambda: self.deliver(client), 4
            elif wire.ending or wire.lost:
                yield client.lose, 4
            if self.harm:
                yield client.lose, 0.1
        elif client.owning is None and self.owner is not None:
            yield client.connect, 2
        if self.harm and client.connected:
            yield lambda: client.watch(self.chance.choice(IDS)), 0.6
            open_watches = [one for one in client.watches if not one.closed]
            if open_watches:
                yield lambda: client.unwatch(self.chance.choice(open_watches)), 0.2
            yield lambda: client.ask(self.chance.choice(IDS), self.chance.choice(["default", "latest"])), 0.6

    def begin(self, process: Process, one: tuple[Callable[..., None], tuple[Any, ...]]) -> None:
        process.work.remove(one)
        self.working.append(process)
        try:
            self.call(one)
        finally:
            self.working.pop()

    @staticmethod
    def call(one: tuple[Callable[..., None], tuple[Any, ...]]) -> None:
        act, arguments = one
        act(*arguments)

    @staticmethod
    def is_over(session: Session, wire: Wire) -> bool:
        if wire.lost:
            session.closed()
        return wire.lost or (wire.ending and not wire.down)

    def deliver(self, client: Client) -> None:
        client.view.hand(client.channel.wire.down.popleft())
        client.take_answers()
        if client.view is None and client.channel is not None:
            client.lose()

    # What happens to owners

    def accept(self) -> Wire | None:
        if self.owner is None:
            return None
        wire = Wire()
        self.owner.accept(wire)
        return wire

    def kill_owner(self) -> None:
        owner, self.owner = self.owner, None
        if self.chance.random() < 0.7:
            self.snapshots = [*self.snapshots[-2:], owner.rows]
        self.leave(owner)
        owner.kill()
        for client in self.clients:
            if client.owning is owner:  # it dies with its process, and another begins
                self.clients[self.clients.index(client)] = Client(self, client.name + "'")

    def supersede_owner(self) -> None:
        """It was silent, and wakes: another goes on from a clone, or it leaves in good order."""
        owner, self.owner = self.owner, None
        self.snapshots = [*self.snapshots[-2:], owner.rows]
        for client in self.clients:
            if client.owning is owner:
                client.resign()
        if self.chance.random() < 0.5:
            for session, _ in owner.sessions:
                session.leave()
        self.leave(owner)
        owner.kill()

    def leave(self, owner: Owner) -> None:
        for _, wire in owner.sessions:
            for _ in range(self.chance.randrange(len(wire.down) + 1)):
                wire.down.pop()
            wire.ending = True
            wire.up.clear()
        owner.sessions = []

    def take_over(self) -> None:
        """Somebody goes on from what the last owner left, from something older, or from nothing."""
        with self.alone():  # nobody is served before this is done
            self.open_owner()

    def open_owner(self) -> None:
        self.generation += 1
        rows = self.snapshots[-1] if self.chance.random() < 0.7 else self.chance.choice(self.snapshots)
        free = [one for one in self.clients if not one.connected and one.channel is None]
        if free and self.chance.random() < 0.5:
            client = self.chance.choice(free)
            client.listeners.unhook()
            owner = Owner(self, rows, client)
            # Nothing is folded, and nobody served, before those who listen have caught up.
            client.own(owner)
            self.owner = owner
        else:
            self.owner = Owner(self, rows)

    def rebuild(self) -> None:
        """By the owner: to where it stands, or from the beginning."""
        owner = self.owner
        owner.replace({} if self.chance.random() < 0.3 else owner.rows)


class WorldOfManyLogs(World):
    """Where the log, too, is deleted and created again; whoever owns the view sees that later."""

    def actors(self) -> Iterator[tuple[Callable[[], Any], float]]:
        yield from super().actors()
        if self.harm:
            yield self.lose_log, 0.05

    def lose_log(self) -> None:
        self.log._records = MemoryLog(partitions=PARTITIONS, clock=lambda: self.now)._records
        self.begin_log()


def run(seed: int, make: type[World] = World) -> World:
    """One run: harm and work at random, then peace until nothing moves, then the judgement."""
    with small_queues(make(seed)) as world:
        for _ in range(STEPS):
            world.step()
        world.harm = False
        for _ in range(20_000):
            world.step()
            if at_rest(world):
                break
        else:
            raise Violation("it did not come to rest")
        world.judge()
        for client in world.clients:
            client.lose()
    return world


def at_rest(world: World) -> bool:
    owner = world.owner
    if owner is None or owner.log_id != world.log_id or owner.process.calls or owner.process.later or owner.process.work:
        return False
    if any(owner.view.position(p) < world.heads[p].next_offset for p in range(PARTITIONS)):
        return False
    for client in world.clients:
        if not client.connected or client.questions:
            return False
        if client.channel is not None and (client.channel.wire.up or client.view._catching or client.channel.wire.down):
            return False
        if client.view is None:
            continue
        log_id, told = client.view.told
        if log_id != world.log_id or any(at < world.heads[p].next_offset for p, at in told.items()):
            return False
    return True


@contextmanager
def small_queues(world: World) -> Iterator[World]:
    """Bounds that are met often, and waits by the scheduler; as they were afterwards."""
    room = type("Room", (SimRoom,), {"world": world})
    before = feed.QUEUED_CHANGES, feed.BUFFERED_BYTES, feed.TOLD_AT_ONCE, feed.threading
    feed.QUEUED_CHANGES, feed.BUFFERED_BYTES, feed.TOLD_AT_ONCE = world.chance.choice([(4, 400, 2), (8, 2_000, 3), (1000, 10**6, 500)])
    feed.threading = SimpleNamespace(Condition=room)
    try:
        yield world
    except EventResultsError as error:
        raise Violation(f"{error!r}") from error
    finally:
        feed.QUEUED_CHANGES, feed.BUFFERED_BYTES, feed.TOLD_AT_ONCE, feed.threading = before

"""The process that owns the view, of the real parts, and without a thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from eventresults.log.own import OwnWrites
from eventresults.projector import Projector
from eventresults.reading import FreshReader
from eventresults.service.served import Served
from eventresults.service.session import Session
from eventresults.view.shard import Head, Shard
from tests.simulation.parts import Process, SimStore, SimView, Wire

if TYPE_CHECKING:
    from tests.simulation.client import Client
    from tests.simulation.world import World


class Owner:
    """The process that owns the view: its shards, begun with `rows` or empty, and its sessions; it may be one that listens itself."""

    def __init__(self, world: World, rows: Mapping[int, Mapping[bytes, bytes]], client: Client | None = None) -> None:
        self.world = world
        self.process = Process()
        self.generation = world.generation
        shards, self.heads = self.open(rows)
        listeners, told = (None, None) if client is None else (client.listeners, client.told_of(self.log_id))
        self.view = SimView(shards, {p: head.next_offset for p, head in self.heads.items()}, listeners, told=told)
        self.view.world = world
        self.sessions: list[tuple[Session, Wire]] = []
        self.folding = False
        self.projector = self.project()
        self.served = Served(
            view=self.view,
            reader=FreshReader(self.view, world.log, OwnWrites(), read_timeout=60.0, clock=lambda: world.now),
            log=world.log,
            log_id=lambda: self.log_id,
            generation=lambda: self.generation,
            lifetimes=world.lifetimes,
            answer=lambda *_: None,
        )

    def open(self, rows: Mapping[int, Mapping[bytes, bytes]]) -> tuple[Mapping[int, Shard], Mapping[int, Head]]:
        """Nobody sees these before they are open: it is one step. Rows that tell of another log are not taken."""
        with self.world.alone():
            new = Head(log_id=self.world.log_id, partitions=len(self.world.log.info(1).ends))
            shards = {p: Shard(SimStore(self.world, self.process, rows.get(p)), p) for p in range(new.partitions)}
            heads = {p: shard.head() or new for p, shard in shards.items()}
        return (shards, heads) if all(head.log_id == new.log_id for head in heads.values()) else self.open({})

    @property
    def log_id(self) -> str:
        """Of which log its view tells."""
        return next(iter(self.heads.values())).log_id

    def project(self) -> Projector:
        reader = self.world.log.reader({p: head.next_offset for p, head in self.heads.items()})
        return Projector(reader, self.view, self.heads, self.world.lifetimes)

    @property
    def rows(self) -> dict[int, dict[bytes, bytes]]:
        return {p: shard._store.rows for p, shard in self.view.shards.items()}

    def step(self) -> None:
        """One poll, of a few records at most."""
        if self.log_id != self.world.log_id and (not self.world.harm or self.world.chance.random() < 0.3):
            self.begin_anew()
            return
        self.folding = True
        try:
            polled = {}
            for partition, poll in self.projector.poll(0.0).items():
                polled[partition] = poll
            self.projector.fold(polled)
            self.heads = dict(self.projector.heads)
        finally:
            self.folding = False

    def replace(self, rows: Mapping[int, Mapping[bytes, bytes]]) -> None:
        """Another generation of its own: a rebuild, or a beginning anew."""
        shards, heads = self.open(rows)
        self.view.replace(shards, {p: head.next_offset for p, head in heads.items()}, same_log=True)
        self.heads = heads
        self.projector = self.project()

    def begin_anew(self) -> None:
        """It sees that the log is another one, and opens another door, before it closes the one where others listen."""
        shards, self.heads = self.open({})
        self.view.replace(shards, {p: head.next_offset for p, head in self.heads.items()}, same_log=False)
        self.projector = self.project()
        for session, _ in self.sessions:
            self.process.call_soon_threadsafe(session.leave)

    def accept(self, wire: Wire) -> None:
        session = Session(self.served, wire, pool=self.process, loop=self.process, pid=1)  # type: ignore[arg-type]
        self.sessions.append((session, wire))

    def kill(self) -> None:
        self.process.kill()

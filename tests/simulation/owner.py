"""The process that owns the view, of the real parts, and without a thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eventresults.log.own import OwnWrites
from eventresults.projector import Projector
from eventresults.reading import FreshReader
from eventresults.service.session import Served, Session
from eventresults.view.listeners import Listeners
from eventresults.view.shard import Head, Shard
from tests.simulation.parts import Process, SimStore, SimView, Wire

if TYPE_CHECKING:
    from tests.simulation.world import World


class Owner:
    """The process that owns the view: its shards, begun with `rows` or empty, and its sessions."""

    def __init__(self, world: World, rows: Mapping[int, Mapping[bytes, bytes]], listeners: Listeners | None, told: Any) -> None:
        self.world = world
        self.process = Process()
        self.generation = world.generation
        shards, heads = self.open(rows)
        self.view = SimView(shards, {p: head.next_offset for p, head in heads.items()}, listeners, told=told)
        self.view.world = world
        self.heads: Mapping[int, Head] = heads
        self.sessions: list[tuple[Session, Wire]] = []
        self.folding = False
        self.projector = self.project()
        self.served = Served(
            view=self.view,
            reader=FreshReader(self.view, world.log, OwnWrites(), read_timeout=60.0, clock=lambda: world.now),
            log=world.log,
            log_id=lambda: world.log_id,
            generation=lambda: self.generation,
            lifetimes=world.lifetimes,
            answer=lambda *_: None,
        )

    def open(self, rows: Mapping[int, Mapping[bytes, bytes]]) -> tuple[dict[int, Shard], dict[int, Head]]:
        """Nobody sees these before they are open: it is one step."""
        with self.world.alone():
            shards = {p: Shard(SimStore(self.world, self.process, rows.get(p)), p) for p in self.world.log.info(1).ends}
            return shards, {p: shard.head() or Head(log_id=self.world.log_id, partitions=len(shards)) for p, shard in shards.items()}

    def project(self) -> Projector:
        reader = self.world.log.reader({p: head.next_offset for p, head in self.heads.items()})
        return Projector(reader, self.view, self.heads, self.world.lifetimes)

    @property
    def rows(self) -> dict[int, dict[bytes, bytes]]:
        return {p: shard._store.rows for p, shard in self.view.shards.items()}

    def step(self) -> None:
        """One poll, of a few records at most."""
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

    def accept(self, wire: Wire) -> None:
        session = Session(self.served, wire, pool=self.process, loop=self.process, pid=1)  # type: ignore[arg-type]
        self.sessions.append((session, wire))

    def kill(self) -> None:
        self.process.kill()

"""A client: it listens and reads over a connection, or over a view of its own, and goes on elsewhere when that is lost.

What a client is told is compared in the end with what the log says, see `World.judge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventresults.errors import EventResultsError
from eventresults.projector import replay
from eventresults.view import protocol
from eventresults.view.asking import Slot
from eventresults.view.base import Change, Subscription
from eventresults.view.channel import Gone
from eventresults.view.listeners import Listeners
from eventresults.view.remote import RemoteView
from tests.simulation.judge import At
from tests.simulation.parts import SimChannel, SimRemoteView

if TYPE_CHECKING:
    from tests.simulation.owner import Owner
    from tests.simulation.world import World

READY = frozenset({"SUCCESS", "FAILURE", "REVOKED", "REJECTED"})


@dataclass
class Watching:
    """One listener of one id: what it was told, and from which offset on it had to be."""

    subject: str
    world: World
    told: list[At] = field(default_factory=list)
    #: Every change after this one must be told: it was in the answer to a read that followed the subscription. None: no answer yet.
    since: At | None = None
    closed: bool = False
    subscription: Subscription | None = None
    fired: list[str] = field(default_factory=list)

    def __call__(self, change: Change) -> None:
        at = At(self.world.log_of[change.fact.event.time], change.fact.position.offset)
        # Of a log that was deleted nothing is promised any more, but that it is over once the next one has begun.
        if at.log == self.world.logs[self.world.log_id] or any(told.log > at.log for told in self.told[-1:]):
            self.told.append(at)
        if change.meta is not None and change.meta.exists:
            self.fire(change.meta.state)

    def fire(self, state: str) -> None:
        if state in READY and not self.fired:
            self.fired.append(state)


@dataclass
class Question:
    """A read: what it must at least hold."""

    subject: str
    freshness: str
    acknowledged: At
    watching: Watching | None
    slot: Slot


class Client:
    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.listeners = Listeners()
        self.watches: list[Watching] = []
        self.view: SimRemoteView | None = None
        self.channel: SimChannel | None = None
        self.owning: Owner | None = None
        self.after: tuple[str, Mapping[int, int]] | None = None
        self.questions: list[Question] = []
        #: The vectors by which it went on elsewhere, with what each listener had been told by then.
        self.vectors: list[tuple[tuple[str, Mapping[int, int]], list[tuple[Watching, int]]]] = []

    # Connecting

    @property
    def connected(self) -> bool:
        return self.view is not None or self.owning is not None

    def connect(self) -> None:
        wire = self.world.accept()
        if wire is None:
            return
        self.listeners.unhook()
        channel = SimChannel(wire)
        try:
            view = SimRemoteView(channel, self.listeners, name="the view", after=self.after, on_lost=self.on_lost)
        except Gone:
            return
        self.view, self.channel = view, channel
        for one in self.watches:
            if one.since is None and not one.closed:
                self.ask(one.subject, "latest", one)

    def own(self, owner: Owner) -> None:
        """This process owns the view from now on: those who listen here are told what they missed, as `Owner.open` does it."""
        self.owning = owner
        listeners = self.listeners
        told = self.told_of(owner.log_id)
        if told is not None:
            if self.after[0] != owner.log_id:
                listeners.caught_up()
            listeners.catch_up()
            positions = {p: owner.view.position(p) for p in owner.view.partitions}
            for change in replay(owner.view, self.world.log, listeners.subjects(), told, positions, self.world.lifetimes):
                listeners.tell(change)
        listeners.caught_up(owner.view.told)
        for one in self.watches:
            if one.since is None and not one.closed:
                self.look(one)

    def told_of(self, log_id: str) -> Mapping[int, int] | None:
        """How far those who listen were told of this log: of another one than before, nothing. None: they were told of none."""
        if self.after is None:
            return None
        return self.after[1] if self.after[0] == log_id else dict.fromkeys(self.after[1], 0)

    def resign(self) -> None:
        """Another process owns the view now."""
        assert self.owning is not None
        self.after = (self.owning.log_id, dict(self.owning.view.told))
        self.owning = None
        self.note_vector()

    def on_lost(self, view: RemoteView) -> None:
        self.after = view.told
        self.note_vector()
        self.view = None
        self.questions.clear()

    def note_vector(self) -> None:
        assert self.after is not None
        if self.after[0] != self.world.log_id:
            return
        self.vectors.append((self.after, [(one, len(one.told)) for one in self.watches if not one.closed and one.since is not None]))

    def lose(self) -> None:
        """The connection ends now."""
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.wire.lost = True
            if self.view is not None:
                self.view.hand(None)

    # Listening and asking

    def watch(self, subject: str) -> None:
        one = Watching(subject, self.world)
        self.watches.append(one)
        one.subscription = self.listeners.add([subject], one)
        if self.owning is not None:
            self.look(one)
        elif self.view is not None:
            self.view.flush()
            self.ask(subject, "latest", one)

    def look(self, one: Watching) -> None:
        """Read it of this process's own view, once it listens, as `AsyncResult` does."""
        owner = self.owning
        assert owner is not None

        def work() -> None:
            log_id = owner.log_id
            try:
                meta = owner.served.reader.get(one.subject, freshness="latest")
            except EventResultsError:
                if self.owning is owner:
                    self.look(one)
                return
            one.since = self.world.known_by(one.subject, meta, log_id)
            if meta is not None:
                one.fire(meta.state)

        owner.process.submit(work)

    def unwatch(self, one: Watching) -> None:
        one.closed = True
        one.subscription.close()

    def ask(self, subject: str, freshness: str, watching: Watching | None = None) -> None:
        view = self.view
        if view is None:
            return
        slot = Slot(view.asking.number())
        slot.left = True  # nobody waits there: the scheduler looks
        partition = self.world.log.partition_for(subject.encode())
        acknowledged = At(self.world.logs[self.world.log_id], self.world.log.ends([partition], 1)[partition] - 1)
        self.questions.append(Question(subject, freshness, acknowledged, watching, slot))
        try:
            view.asking.ask(slot, protocol.Tasks(slot.number, [subject], freshness, {}, 60.0))
        except Exception:  # the connection is lost: its thread sees it, too
            self.questions.pop()

    def take_answers(self) -> None:
        for question in list(self.questions):
            if question.slot.answer is not None:
                self.questions.remove(question)
                self.take(question, question.slot.answer)

    def take(self, question: Question, answer: protocol.Answer) -> None:
        if not isinstance(answer, protocol.Metas):
            if question.watching is not None:  # a `ViewStale`: ask once more
                self.ask(question.subject, question.freshness, question.watching)
            return
        meta = answer.tasks[0]
        log_id = self.view.hello.log_id
        self.world.check_read(question, meta, log_id)
        if question.watching is not None:
            question.watching.since = self.world.known_by(question.subject, meta, log_id)
            if meta is not None:
                question.watching.fire(meta.state)

"""Whatever happens to an outbox and its log, every accepted fact is folded once, and those of one task in their order."""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from eventresults.domain.position import Position
from eventresults.errors import LogUnavailable
from eventresults.log.box import Box
from eventresults.log.forwarder import Forwarder
from eventresults.log.frames import HEADER_BYTES, framed

#: The fold knows the last so many facts of a task.
KNOWN = 64
KEYS = [b"a", b"b", b"c"]

Pending = tuple[bytes, bytes, Future[Position]]


class World:
    """A log whose acknowledgements come when the story says so, and the processes that write to it, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: list[tuple[bytes, bytes]] = []
        self.held: list[Pending] = []
        self.refusing = False
        self.accepted: list[tuple[bytes, bytes]] = []
        self.settled: list[bytes] = []
        self.number = 0
        self.box = Box.create(folder, "w://")
        self.live()

    def live(self) -> None:
        self.forwarder = Forwarder(self.box, settle=lambda number, _: self.numbers.append(number), reject=self.reject, ring=lambda: None)
        self.numbers: list[int] = []

    def reject(self, frame: object, error: Exception) -> None:
        raise AssertionError(error)

    # what the forwarder sees as a writer

    def append(self, key: bytes, value: bytes) -> Future[Position]:
        if self.refusing:
            raise LogUnavailable("away", url="w://", reason="away")
        future: Future[Position] = Future()
        self.held.append((key, value, future))
        return future

    # what happens

    def accept(self, key: bytes, count: int) -> None:
        for _ in range(count):
            value = b"%d" % len(self.accepted)
            self.box.write(framed(self.number, key, value))
            self.number += 1
            self.accepted.append((key, value))

    def pump(self) -> None:
        if self.forwarder.failure is not None:
            self.give_up(0)
            self.forwarder.restart()
        self.forwarder.pump(lambda: self)

    def land(self, which: int) -> None:
        """One that is on its way is in the log, and acknowledged."""
        if self.held:
            key, value, future = self.held.pop(which % len(self.held))
            self.records.append((key, value))
            future.set_result(Position(0, len(self.records) - 1))

    def fail(self, which: int, *, landed: bool) -> None:
        """One that is on its way fails; it may be in the log all the same."""
        if self.held:
            key, value, future = self.held.pop(which % len(self.held))
            if landed:
                self.records.append((key, value))
            future.set_exception(LogUnavailable("who knows", url="w://", reason="?"))

    def give_up(self, landed: int) -> None:
        for number, (key, value, future) in enumerate(self.held):
            if landed >> number % 8 & 1:
                self.records.append((key, value))
            future.set_exception(LogUnavailable("closed", url="w://", reason="closed"))
        self.held = []

    def kill(self, landed: int, torn: int) -> None:
        """The process is killed, perhaps in mid-write; another one adopts its box, then goes on in one of its own."""
        assert self.numbers == sorted(self.numbers)
        self.give_up(landed)
        self.box.leave()
        if torn:
            [file] = [*self.box.path.glob("*.facts")][-1:]
            with file.open("ab") as at:
                at.write(framed(self.number, b"a", b"torn")[: min(torn, HEADER_BYTES + 4)])
        adopted = Box.adopt(self.box.path)
        assert adopted is not None
        self.box = adopted
        self.live()

    def finish(self) -> None:
        """All is well from now on; the adopter forwards all there is, and then starts a box of its own."""
        self.refusing = False
        for _ in range(100_000):
            moved = self.forwarder.failure is not None
            self.pump()
            while self.held:
                self.land(0)
                moved = True
            if not moved and self.forwarder.idle:
                self.box.remove()
                return
        raise AssertionError("it does not come to an end")

    def go_on(self) -> None:
        self.finish()
        self.number = 0
        self.box = Box.create(self.folder, "w://")
        self.live()


def steps(chance: random.Random) -> Iterator[tuple]:
    """A story: much is accepted and acknowledged, and now and then something breaks."""
    for _ in range(chance.randrange(5, 40)):
        yield from (("accept", chance.choice(KEYS), chance.randrange(1, 50)) for _ in range(chance.randrange(3)))
        yield chance.choice(
            [
                ("land", chance.randrange(50), chance.randrange(1, 150)),
                ("chat", chance.randrange(3), chance.randrange(1, 150)),
                ("fail", chance.randrange(50), chance.random() < 0.5),
                ("refuse", chance.random() < 0.3),
                ("kill", chance.randrange(256), chance.randrange(30)),
            ]
        )


def folded(records: list[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """What the fold makes of the log: the same fact among the last known ones counts once."""
    lines: dict[bytes, list[bytes]] = defaultdict(list)
    for key, value in records:
        if value not in lines[key][-KNOWN:]:
            lines[key].append(value)
    return lines


@given(seed=st.integers(0, 2**32))
def test_every_accepted_fact_is_folded_once_and_in_the_order_of_its_task(seed: int):
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        dead = False
        for action in steps(random.Random(seed)):
            match action:
                case ("accept", key, count):
                    if dead:
                        world.go_on()
                        dead = False
                    world.accept(key, count)
                case ("land", which, count):
                    for _ in range(count):
                        world.pump()
                        world.land(which)
                case ("chat", which, count):  # all but one are acknowledged, again and again
                    for _ in range(count):
                        world.pump()
                        if len(world.held) > 1:
                            world.land(1 + which)
                case ("fail", which, landed):
                    world.fail(which, landed=landed)
                case ("refuse", refusing):
                    world.refusing = refusing
                case ("kill", landed, torn):
                    world.kill(landed, 0 if dead else torn)
                    dead = True
            world.pump()
        world.finish()
        expected: dict[bytes, list[bytes]] = defaultdict(list)
        for key, value in world.accepted:
            expected[key].append(value)
        assert folded(world.records) == expected


@given(
    facts=st.lists(st.tuples(st.sampled_from(KEYS), st.binary(max_size=60)), min_size=1, max_size=20),
    cut=st.integers(0, 2_000),
)
def test_of_a_file_that_is_cut_anywhere_every_whole_fact_is_read(facts: list[tuple[bytes, bytes]], cut: int):
    with tempfile.TemporaryDirectory() as folder:
        # given
        box = Box.create(Path(folder), "w://")
        ends = []
        for number, (key, value) in enumerate(facts):
            box.write(framed(number, key, value))
            ends.append(box.end.offset)
        box.leave()
        file = box.path / "00000001.facts"
        cut = min(cut, ends[-1])
        with file.open("r+b") as at:
            at.truncate(cut)
        # when
        adopted = Box.adopt(box.path)
        assert adopted is not None
        found = []
        while (frame := adopted.next()) is not None:
            found.append((frame.key, frame.value))
        adopted.remove()
        # then
        assert found == facts[: sum(end <= cut for end in ends)]
        assert list(Path(folder).iterdir()) == []

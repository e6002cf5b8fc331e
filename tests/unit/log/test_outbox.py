"""The outbox: a fact is in a file before it is in the log, and gets from there into the log, whatever happens."""

from __future__ import annotations

import errno
import gc
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout, Closed, EventCorrupt, LogUnavailable, ValueTooLarge
from eventresults.log import box as box_module
from eventresults.log import dispatcher
from eventresults.log.box import Box
from eventresults.log.box_files import boxes, segments
from eventresults.log.forwarder import PER_KEY, WINDOW
from eventresults.log.frames import framed
from eventresults.log.memory import MemoryLog
from eventresults.log.outbox import Outbox, OutboxWriter

DEADLINE = 10.0


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "BACKOFF_SECONDS", (0.001, 0.01))
    monkeypatch.setattr(dispatcher, "LOOK_SECONDS", 0.05)


class FlakyLog(MemoryLog):
    """A log that the test takes away, holds back and gives again."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.holding = False
        self.answer: Callable[[bytes, bytes], Exception | None] = lambda key, value: None
        self.held: list[tuple[Future[Position], bytes, bytes]] = []
        self.most_of_one_key = 0
        self.asked = 0

    def writer(self) -> Any:
        return FlakyWriter(self, super().writer())

    def facts(self) -> list[tuple[bytes, bytes]]:
        found = [self.read(Position(0, offset), 1) for offset in range(self.info(1).ends[0])]
        return [(record.key, record.value) for record in found]

    def release(self) -> None:
        self.holding = False
        held, self.held = self.held, []
        with closing(super().writer()) as writer:
            for future, key, value in held:
                future.set_result(writer.append(key, value).result(0))


class FlakyWriter:
    def __init__(self, log: FlakyLog, writer: Any) -> None:
        self.log = log
        self.writer = writer
        self.given: list[Future[Position]] = []

    def append(self, key: bytes, value: bytes) -> Future[Position]:
        self.log.asked += 1
        if self.log.away:
            raise LogUnavailable("away", url="flaky://", reason="away")
        error = self.log.answer(key, value)
        future: Future[Position] = Future()
        if error is not None:
            future.set_exception(error)
        elif self.log.holding:
            self.log.held.append((future, key, value))
            self.given.append(future)
        else:
            return self.writer.append(key, value)
        return future

    def flush(self, timeout: float) -> bool:
        return True

    def close(self) -> None:
        given = set(map(id, self.given))
        self.log.held = [each for each in self.log.held if id(each[0]) not in given]
        for future in self.given:
            if not future.done():
                future.set_exception(Closed("given up", what="writer"))
        self.writer.close()


@pytest.fixture
def log() -> FlakyLog:
    return FlakyLog()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def outbox(log: FlakyLog, folder: Path) -> Outbox:
    return Outbox(log, folder, append_timeout=0.1, max_value_bytes=1_000_000)


@pytest.fixture
def writer(outbox: Outbox) -> Iterator[OutboxWriter]:
    with closing(outbox.writer()) as writer:
        yield writer
        outbox.log.away = False
        if outbox.log.held:
            outbox.log.release()


def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.001)


def left_by_the_dead(folder: Path, facts: list[tuple[bytes, bytes]], url: str = "memory://", tail: bytes = b"") -> Path:
    """A box as kill -9 leaves it."""
    box = Box.create(folder, url)
    for number, (key, value) in enumerate(facts):
        box.write(framed(number, key, value))
    box.leave()
    if tail:
        with (box.path / "00000001.facts").open("ab") as file:
            file.write(tail)
    return box.path


# The way of a fact


def test_a_fact_is_accepted_at_once_and_done_when_the_log_has_it(log: FlakyLog, writer: OutboxWriter):
    log.away = True
    future = writer.append(b"k", b"1")
    assert future.accepted.done()
    assert not future.done()
    assert not future.cancel()
    assert writer.waiting == 1
    log.away = False
    assert future.result(DEADLINE) == Position(0, 0)
    assert writer.flush(DEADLINE)
    assert (writer.waiting, writer.reached()) == (0, {0: 0})


def test_making_an_outbox_and_a_writer_opens_nothing(outbox: Outbox, writer: OutboxWriter):
    assert not outbox.folder.exists()


def test_the_folder_and_all_in_it_is_for_this_user_alone(log: FlakyLog, folder: Path, writer: OutboxWriter):
    log.away = True
    writer.append(b"k", b"secret")
    assert [each.stat().st_mode & 0o077 for each in (folder, *boxes(folder))] == [0, 0]


def test_an_outage_keeps_the_order_and_loses_nothing(log: FlakyLog, writer: OutboxWriter, caplog: pytest.LogCaptureFixture):
    # given
    caplog.set_level(logging.INFO, "eventresults")
    log.away = True
    facts = [(b"k%d" % (number % 7), b"%d" % number) for number in range(500)]
    futures = [writer.append(*fact) for fact in facts]
    until(lambda: log.asked > 3)
    assert not writer.flush(0.01)
    # when
    log.away = False
    assert writer.flush(DEADLINE)
    # then
    assert by_key(log.facts()) == by_key(facts)
    assert len(log.facts()) == 500
    assert all(future.done() for future in futures)
    said = [record.getMessage() for record in caplog.records]
    assert sum("takes no facts" in line for line in said) == 1
    assert sum("takes facts again" in line for line in said) == 1


def by_key(facts: list[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    lines = defaultdict(list)
    for key, value in facts:
        lines[key].append(value)
    return lines


def test_a_fact_that_fails_is_not_overtaken_by_the_next_of_its_task(log: FlakyLog, writer: OutboxWriter):
    # given: every third answer is that nobody knows
    answers = iter(range(10_000))
    log.answer = lambda key, value: AppendTimeout("who knows", key="k", timeout=1.0) if next(answers) % 3 == 0 else None
    # when
    facts = [(b"k%d" % (number % 3), b"%d" % number) for number in range(200)]
    for fact in facts:
        writer.append(*fact)
    # then
    assert writer.flush(DEADLINE)
    assert by_key(log.facts()) == by_key(facts)


def test_a_task_with_many_facts_does_not_wait_for_the_log(log: FlakyLog, writer: OutboxWriter):
    log.away = True
    for number in range(10 * PER_KEY):
        assert writer.append(b"chatty", b"%d" % number).accepted.done()
    log.away = False
    assert writer.flush(DEADLINE)
    assert [value for _, value in log.facts()] == [b"%d" % number for number in range(10 * PER_KEY)]


def test_what_is_on_its_way_is_bounded(log: FlakyLog, writer: OutboxWriter):
    log.holding = True
    for number in range(WINDOW + 100):
        writer.append(b"%d" % number, b"v")
    until(lambda: len(log.held) == WINDOW)
    assert not writer.flush(0.05)
    assert len(log.held) == WINDOW
    log.release()
    assert writer.flush(DEADLINE)
    assert len(log.facts()) == WINDOW + 100


def test_no_more_facts_of_one_task_than_the_fold_knows_are_sent_beyond_the_mark(log: FlakyLog, writer: OutboxWriter, folder: Path):
    # given: the oldest fact is not acknowledged, so that the mark stays before it
    log.holding = True
    writer.append(b"slow", b"0")
    until(lambda: log.held)
    log.holding = False
    # when
    for number in range(3 * PER_KEY):
        writer.append(b"chatty", b"%d" % number)
    # then
    until(lambda: len(log.facts()) == PER_KEY)
    assert not writer.flush(0.05)
    assert len(log.facts()) == PER_KEY
    log.release()
    assert writer.flush(DEADLINE)
    assert by_key(log.facts())[b"chatty"] == [b"%d" % number for number in range(3 * PER_KEY)]


def test_what_no_log_will_take_is_set_aside_and_forwarding_goes_on(
    log: FlakyLog, writer: OutboxWriter, folder: Path, caplog: pytest.LogCaptureFixture
):
    log.answer = lambda key, value: ValueTooLarge("too large for the topic", size=9, limit=1, task_id="k") if value == b"\xff bad" else None
    first, bad, last = (writer.append(b"k", value) for value in (b"1", b"\xff bad", b"3"))
    assert writer.flush(DEADLINE)
    assert (first.result(0), last.result(0)) == (Position(0, 0), Position(0, 1))
    with pytest.raises(ValueTooLarge, match="topic"):
        bad.result(0)
    [row] = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    assert (row["error"], row["reason"], row["key"], row["value_base64"]) == ("ValueTooLarge", "too large for the topic", "k", "/yBiYWQ=")
    assert "rejected.jsonl" in caplog.text


def test_a_value_over_the_limit_is_refused_and_not_accepted(writer: OutboxWriter, log: FlakyLog):
    with pytest.raises(ValueTooLarge):
        writer.append(b"k", b"x" * 1_000_001)
    writer.append(b"k", b"1").result(DEADLINE)
    assert log.facts() == [(b"k", b"1")]


# Bounds


def test_a_full_outbox_blocks_and_then_says_so(log: FlakyLog, folder: Path):
    log.away = True
    with closing(Outbox(log, folder, max_bytes=1_000, append_timeout=0.05).writer()) as writer:
        accepted = 0
        with pytest.raises(AppendTimeout, match="outbox_max_bytes") as refusal:
            for number in range(1_000):
                writer.append(b"k", b"%03d" % number + b"x" * 97)
                accepted += 1
        assert accepted == 8
        assert refusal.value.timeout == 0.05
        log.away = False
        writer.append(b"k", b"after").result(DEADLINE)
    assert [value[:3] for _, value in log.facts()] == [*(b"%03d" % number for number in range(8)), b"aft"]


def test_one_fact_is_always_let_in(log: FlakyLog, folder: Path):
    with closing(Outbox(log, folder, max_bytes=10, append_timeout=0.05).writer()) as writer:
        writer.append(b"k", b"x" * 100).result(DEADLINE)


def test_a_folder_that_cannot_be_written_is_said(log: FlakyLog, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with closing(Outbox(log, tmp_path / "file" / "outbox").writer()) as writer, pytest.raises(LogUnavailable, match="outbox=") as refusal:
        writer.append(b"k", b"1")
    assert "Not a directory" in refusal.value.reason


def test_a_full_disk_blocks_and_then_says_so_and_nothing_is_half_accepted(
    log: FlakyLog, writer: OutboxWriter, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    # given: a disk that takes ten more bytes
    log.away = True
    writer.append(b"k", b"1")
    write, descriptor, left = os.write, writer._box._writing, [10]

    def full(to: int, data: bytes) -> int:
        if to != descriptor:
            return write(to, data)
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(to, data[: left.pop()])

    # when
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(AppendTimeout, match="No space left"):
            writer.append(b"k", b"2")
    # then
    writer.append(b"k", b"3")
    log.away = False
    assert writer.flush(DEADLINE)
    assert [value for _, value in log.facts()] == [b"1", b"3"]
    assert list(folder.glob("*.damaged")) == []


@pytest.mark.slow
def test_a_write_that_the_disk_cuts_off_leaves_nothing_half_accepted(tmp_path: Path):
    code = """
        import resource, sys
        from eventresults.errors import LogUnavailable
        from eventresults.log.memory import MemoryLog
        from eventresults.log.outbox import Outbox

        class Away(MemoryLog):
            def writer(self):
                raise LogUnavailable("away", url="", reason="")

        writer = Outbox(Away(), sys.argv[1]).writer()
        writer.append(b"k", b"0")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
        refused = 0
        for number in range(1, 9):
            try:
                writer.append(b"k", b"%d" % number * (300 if number % 2 else 1))
            except LogUnavailable as error:
                refused += 1
        print(refused, flush=True)
        import os
        os._exit(0)
    """
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(line[8:] for line in code.splitlines()), str(tmp_path / "outbox")],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert run.stdout == "2\n"
    log = FlakyLog()
    adopt(log, tmp_path / "outbox")
    assert [value[:1] for _, value in log.facts()] == [b"0", b"1", b"2", b"3", b"4", b"6", b"8"]


def test_futures_of_an_outage_are_kept_only_where_somebody_cares(log: FlakyLog, writer: OutboxWriter):
    # given
    log.away = True
    dropped = weakref.ref(writer.append(b"k", b"1"))
    told: list[Position] = []
    writer.append(b"k", b"2").add_done_callback(lambda future: told.append(future.result()))
    # when
    gc.collect()
    log.away = False
    assert writer.flush(DEADLINE)
    # then
    assert dropped() is None
    until(lambda: told == [Position(0, 1)])
    assert not writer._kept
    assert not writer._futures


def test_forwarded_files_are_deleted(log: FlakyLog, writer: OutboxWriter, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(box_module, "SEGMENT_BYTES", 1_000)
    log.away = True
    for number in range(100):
        writer.append(b"k", b"%d" % number + b"x" * 100)
    [box] = boxes(folder)
    assert len(segments(box)) > 10
    log.away = False
    assert writer.flush(DEADLINE)
    assert len(segments(box)) == 1
    writer.close()
    assert boxes(folder) == []
    assert len(log.facts()) == 100


# The dead, and their boxes


def adopt(log: FlakyLog, folder: Path) -> int:
    found = dispatcher.Dispatcher(log, folder, None)
    found.run()
    return found.adopted


def test_the_facts_of_dead_processes_come_first_and_the_oldest_of_them_before(log: FlakyLog, folder: Path, writer: OutboxWriter):
    left_by_the_dead(folder, [(b"k", b"1"), (b"k", b"2")])
    left_by_the_dead(folder, [(b"k", b"3")])
    writer.append(b"k", b"4").result(DEADLINE)
    assert [value for _, value in log.facts()] == [b"1", b"2", b"3", b"4"]
    assert len(boxes(folder)) == 1


def test_a_living_process_adopts_what_another_leaves_later(log: FlakyLog, folder: Path, writer: OutboxWriter):
    writer.append(b"k", b"1").result(DEADLINE)
    path = left_by_the_dead(folder, [(b"k", b"2")])
    until(lambda: not path.exists())
    assert [value for _, value in log.facts()] == [b"1", b"2"]


def test_a_box_is_left_alone_while_its_owner_lives(log: FlakyLog, folder: Path, outbox: Outbox, writer: OutboxWriter):
    other = FlakyLog()
    other.away = True
    with closing(Outbox(other, folder).writer()) as neighbour:
        neighbour.append(b"k", b"1")
        writer.append(b"k", b"2").result(DEADLINE)
        assert adopt(log, folder) == 0
        assert [value for _, value in log.facts()] == [b"2"]
        other.away = False
        neighbour.flush(DEADLINE)
    assert other.facts() == [(b"k", b"1")]


def test_facts_for_another_log_are_left_and_said_once(log: FlakyLog, folder: Path, caplog: pytest.LogCaptureFixture):
    path = left_by_the_dead(folder, [(b"k", b"1")], url="kafka://elsewhere/topic")
    assert adopt(log, folder) == 0
    assert path.exists()
    assert "kafka://elsewhere/topic" in caplog.text


def test_a_torn_end_was_never_accepted(log: FlakyLog, folder: Path, caplog: pytest.LogCaptureFixture):
    left_by_the_dead(folder, [(b"k", b"1")], tail=framed(1, b"k", b"torn")[:-1])
    assert adopt(log, folder) == 1
    assert log.facts() == [(b"k", b"1")]
    assert list(folder.glob("*.damaged")) == []
    assert boxes(folder) == []
    assert caplog.text == ""


def test_a_damaged_middle_is_set_aside_and_all_else_forwarded(log: FlakyLog, folder: Path, caplog: pytest.LogCaptureFixture):
    # given
    path = left_by_the_dead(folder, [(b"k", b"%d" % number * 50) for number in range(5)])
    file = path / "00000001.facts"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    # when
    assert adopt(log, folder) == 4
    # then
    assert [value[:1] for _, value in log.facts()] == [b"0", b"1", b"3", b"4"]
    [aside] = folder.glob("*.damaged")
    assert b"2222222222" in aside.read_bytes()
    assert str(aside) in caplog.text
    assert boxes(folder) == []


def test_the_future_of_a_fact_whose_file_was_damaged_says_so(log: FlakyLog, folder: Path, writer: OutboxWriter):
    log.away = True
    first, second, third = (writer.append(b"k", value * 50) for value in (b"1", b"2", b"3"))
    file = boxes(folder)[0] / "00000001.facts"
    until(lambda: log.asked > 2)
    log.away = False
    writer.flush(DEADLINE)
    assert first.result(0) < second.result(0) < third.result(0)
    # when: the second file is damaged before it is read
    log.holding = True
    held = [writer.append(b"%d" % number, b"") for number in range(WINDOW)]
    until(lambda: len(log.held) == WINDOW)
    damaged, whole = writer.append(b"k", b"4" * 50), writer.append(b"k", b"5" * 50)
    data = file.read_bytes()
    with file.open("r+b") as at:
        at.seek(data.index(b"4444"))
        at.write(b"!")
    log.release()
    # then
    whole.result(DEADLINE)
    with pytest.raises(EventCorrupt):
        damaged.result(0)
    assert all(future.done() for future in held)


def test_the_last_fact_of_a_damaged_file_is_not_waited_for_for_ever(log: FlakyLog, folder: Path, writer: OutboxWriter):
    log.holding = True
    held = [writer.append(b"%d" % number, b"") for number in range(WINDOW)]
    until(lambda: len(log.held) == WINDOW)
    damaged = writer.append(b"k", b"4444")
    file = boxes(folder)[0] / "00000001.facts"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    log.release()
    assert writer.flush(DEADLINE)
    with pytest.raises(EventCorrupt):
        damaged.result(DEADLINE)
    assert all(future.done() for future in held)
    assert writer.append(b"k", b"5").result(DEADLINE)


def test_an_outbox_that_was_deleted_under_its_owner_is_said(log: FlakyLog, folder: Path, writer: OutboxWriter, caplog):
    log.away = True
    lost = writer.append(b"k", b"1" * 50)
    until(lambda: log.asked)
    shutil.rmtree(folder)
    writer.append(b"k", b"2")
    writer._box._shut()  # as when it goes on to another file
    log.away = False
    assert writer.flush(DEADLINE)
    assert lost.done()
    assert "was deleted by somebody" in caplog.text
    with pytest.raises(LogUnavailable):
        writer.append(b"k", b"3")


def test_what_was_marked_is_not_forwarded_again(log: FlakyLog, folder: Path):
    box = Box.create(folder, "memory://")
    for number in range(5):
        box.write(framed(number, b"k", b"%d" % number))
    for _ in range(3):
        box.next()
    box.advance(box.at)
    box.leave()
    assert adopt(log, folder) == 2
    assert [value for _, value in log.facts()] == [b"3", b"4"]


def test_a_mark_that_was_torn_is_not_believed(log: FlakyLog, folder: Path):
    path = left_by_the_dead(folder, [(b"k", b"1")])
    (path / "mark").write_bytes(b"\xff" * 20)
    assert adopt(log, folder) == 1


def test_half_removed_boxes_go(log: FlakyLog, folder: Path):
    for kept in ({"lock"}, {"lock", "mark"}, {"lock", "mark", "about.json"}, set()):
        path = left_by_the_dead(folder, [])
        for each in path.iterdir():
            if each.name not in kept:
                each.unlink()
    assert adopt(log, folder) == 0
    assert boxes(folder) == []


def test_a_box_of_another_version_is_left_and_said(log: FlakyLog, folder: Path, caplog: pytest.LogCaptureFixture):
    path = left_by_the_dead(folder, [(b"k", b"1")])
    (path / "about.json").write_text('{"v": 2}')
    assert adopt(log, folder) == 0
    assert path.exists()
    assert "another version" in caplog.text


def test_of_many_that_adopt_at_once_each_fact_is_forwarded_by_one(folder: Path):
    logs = [FlakyLog() for _ in range(4)]
    for number in range(20):
        left_by_the_dead(folder, [(b"k%d" % number, b"%d" % number)])
    threads = [threading.Thread(target=adopt, args=(log, folder)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert sorted(fact for log in logs for fact in log.facts()) == sorted((b"k%d" % n, b"%d" % n) for n in range(20))


# The end


def test_closing_while_the_log_is_away_leaves_the_facts_to_the_next(
    log: FlakyLog, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("eventresults.log.outbox._CLOSE_TIMEOUT", 0.6)
    log.away = True
    writer = Outbox(log, folder).writer()
    future = writer.append(b"k", b"1")
    writer.close()
    writer.close()
    with pytest.raises(Closed, match="next recorder"):
        future.result(0)
    assert f"1 facts for memory:// wait in {boxes(folder)[0]}" in caplog.text
    with pytest.raises(Closed):
        writer.append(b"k", b"2")
    log.away = False
    assert adopt(log, folder) == 1
    assert log.facts() == [(b"k", b"1")]


def test_a_blocked_append_ends_with_the_writer(log: FlakyLog, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("eventresults.log.outbox._CLOSE_TIMEOUT", 0.6)
    log.away = True
    writer = Outbox(log, folder, max_bytes=50, append_timeout=DEADLINE).writer()
    writer.append(b"k", b"1" * 50)
    raised: list[BaseException] = []

    def blocked() -> None:
        try:
            writer.append(b"k", b"2")
        except Closed as error:
            raised.append(error)

    thread = threading.Thread(target=blocked)
    thread.start()
    until(lambda: writer._watched)
    writer.close()
    thread.join(DEADLINE)
    assert len(raised) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_box_of_its_own(log: FlakyLog, folder: Path, outbox: Outbox, writer: OutboxWriter):
    log.away = True
    writer.append(b"k", b"1")
    pid = os.fork()
    if not pid:
        status = 1
        try:
            with pytest.raises(Closed):
                writer.append(b"k", b"2")
            child = outbox.writer()
            child.append(b"k", b"3")
            status = 0 if len(boxes(folder)) == 2 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    log.away = False
    # the parent goes on, still holds its own, and adopts the dead child's
    assert writer.append(b"k", b"4").result(DEADLINE)
    until(lambda: len(boxes(folder)) == 1)
    assert next(value for _, value in log.facts()) == b"1"
    assert sorted(value for _, value in log.facts()) == [b"1", b"3", b"4"]

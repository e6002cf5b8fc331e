"""What is special about a log in a SQLite file: other processes, damaged files, foreign files, no room."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout, Closed, ConfigError, LogUnavailable
from eventresults.log.base import EventWriter
from eventresults.log.sqlite import SqliteLog
from eventresults.testing.logs import DEADLINE, read_all, read_on, reading, writing

_REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def make_log(path: Path) -> Iterator[Callable[..., SqliteLog]]:
    with ExitStack() as stack:
        yield lambda at=path, **settings: stack.enter_context(closing(SqliteLog(at, **settings)))


@pytest.fixture
def log(make_log: Callable[..., SqliteLog]) -> SqliteLog:
    return make_log()


# ── files that cannot be a log ───────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_folder_is_named(make_log: Callable[..., SqliteLog], tmp_path: Path) -> None:
    _refuses(make_log(tmp_path / "nowhere" / "events.db"), "create that folder")


def test_a_folder_is_no_log(make_log: Callable[..., SqliteLog], tmp_path: Path) -> None:
    _refuses(make_log(tmp_path), "is a folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written_is_named(make_log: Callable[..., SqliteLog], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    _refuses(make_log(), "not writable")


def test_a_file_that_is_no_database_is_left_alone(make_log: Callable[..., SqliteLog], path: Path) -> None:
    path.write_bytes(b"these are my notes " * 1_000)
    _refuses(make_log(), "not a SQLite database")
    assert path.read_bytes() == b"these are my notes " * 1_000


def test_a_database_of_another_application_is_left_alone(make_log: Callable[..., SqliteLog], path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    _refuses(make_log(), "another application")
    assert path.read_bytes() == before


def test_a_newer_schema_asks_for_an_upgrade(make_log: Callable[..., SqliteLog], path: Path) -> None:
    make_log().info(DEADLINE)
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 99")
    _refuses(make_log(), "upgrade eventresults")


def test_an_empty_file_becomes_a_log(make_log: Callable[..., SqliteLog], path: Path) -> None:
    path.touch()
    assert make_log().info(DEADLINE).ends == {0: 0}


@pytest.mark.parametrize("kept", [50, 100, 4096, 5000, 3 * 4096])
def test_a_file_that_was_cut_short_is_damaged_and_says_so(
    log: SqliteLog, make_log: Callable[..., SqliteLog], path: Path, kept: int
) -> None:
    with writing(log) as writer:
        for _ in range(200):
            writer.append(b"key", b"x" * 500)
        writer.flush(DEADLINE)
    log.close()
    assert path.stat().st_size > 20 * 4096
    os.truncate(path, kept)
    with pytest.raises(LogUnavailable, match=r"choose another path|restore it from a copy"):
        read_all(make_log())


def test_a_synchronous_that_loses_commits_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="NORMAL or FULL"):
        SqliteLog(path, synchronous="OFF")  # type: ignore[arg-type]


# ── a file that is taken away ────────────────────────────────────────────────────────────────────────────────────────


def test_a_writer_does_not_acknowledge_into_a_file_that_was_removed(log: SqliteLog, path: Path) -> None:
    with writing(log) as writer:
        writer.append(b"key", b"value").result(DEADLINE)
        path.unlink()
        with pytest.raises(LogUnavailable, match="removed or replaced"):
            writer.append(b"key", b"value").result(DEADLINE)


def test_a_reader_notices_that_its_file_was_removed(log: SqliteLog, path: Path) -> None:
    with writing(log) as writer, reading(log, {0: 0}) as reader:
        writer.append(b"key", b"value").result(DEADLINE)
        read_on(reader, 1)
        path.unlink()
        with pytest.raises(LogUnavailable, match="removed or replaced"):
            reader.poll(DEADLINE)


def test_info_follows_the_path_to_a_new_file(log: SqliteLog, path: Path) -> None:
    before = log.info(DEADLINE).log_id
    for each in path.parent.iterdir():
        each.unlink()
    assert log.info(DEADLINE).log_id != before


# ── other processes ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_processes_append_and_read_at_once(log: SqliteLog, path: Path) -> None:
    # given four processes that append 300 records each, some waited for
    script = """
        import sys
        from eventresults.log.sqlite import SqliteLog
        log = SqliteLog(sys.argv[1])
        writer = log.writer()
        for number in range(300):
            future = writer.append(sys.argv[2].encode(), b"%d" % number)
            if number % 10 == 0:
                future.result(30)
        assert writer.flush(30)
        writer.close()
    """
    children = [_python(script, path, name) for name in range(4)]
    # when
    with reading(log, {0: 0}) as reader:
        records = read_on(reader, 1_200)
    # then
    assert [_end(child) for child in children] == [0] * 4
    assert [record.offset for record in records] == list(range(1_200))
    times = [record.log_time for record in records]
    assert times == sorted(times)
    for name in range(4):
        assert [record.value for record in records if record.key == b"%d" % name] == [b"%d" % number for number in range(300)]


def test_what_was_acknowledged_survives_the_killing_of_its_process(log: SqliteLog, path: Path) -> None:
    script = """
        import sys
        from eventresults.log.sqlite import SqliteLog
        writer = SqliteLog(sys.argv[1]).writer()
        number = 0
        while True:
            position = writer.append(b"key", b"%d" % number).result(30)
            print(position.offset, flush=True)
            number += 1
    """
    child = _python(script, path)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(100)]
    child.kill()
    lines += child.stdout.readlines()
    assert _end(child) == -signal.SIGKILL
    acknowledged = [int(line) for line in lines if line.endswith("\n")]
    assert acknowledged == list(range(len(acknowledged)))
    assert [record.value for record in read_all(log)[0]][: len(acknowledged)] == [b"%d" % number for number in acknowledged]


def test_a_reader_sees_the_append_of_another_process_within_milliseconds(log: SqliteLog, path: Path) -> None:
    script = """
        import sys, time
        from eventresults.log.sqlite import SqliteLog
        log = SqliteLog(sys.argv[1])
        writer = log.writer()
        for _ in range(40):
            writer.append(b"key", b"%d" % time.monotonic_ns()).result(30)
            time.sleep(0.01)
        writer.close()
    """
    log.info(DEADLINE)
    child = _python(script, path)
    delays = []
    with reading(log, {0: 0}) as reader:
        while len(delays) < 40:
            for record in read_on(reader, 1):
                delays.append(time.monotonic_ns() - int(record.value or b""))
    assert _end(child) == 0
    assert sorted(delays)[20] < 50_000_000  # about 1.5 ms on a quiet machine


def test_a_file_locked_by_another_process_is_append_timeout_and_works_again_after(make_log: Callable[..., SqliteLog], path: Path) -> None:
    log = make_log(append_timeout=0.2)
    with writing(log) as writer:
        writer.append(b"key", b"0").result(DEADLINE)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(AppendTimeout, match="locked by another process"):
                writer.append(b"key", b"1").result(DEADLINE)
            other.execute("ROLLBACK")
        assert writer.append(b"key", b"2").result(DEADLINE) == Position(0, 1)


def test_a_forked_child_opens_the_file_anew_and_leaves_the_parents_alone(log: SqliteLog) -> None:
    script = """
        import os, sys
        from eventresults.errors import Closed
        from eventresults.log.sqlite import SqliteLog
        log = SqliteLog(sys.argv[1])
        writer, reader = log.writer(), log.reader({0: 0})
        writer.append(b"key", b"parent").result(20)
        reader.poll(20)
        log.ends([0], 20)
        child = os.fork()
        if child == 0:
            for act in (lambda: writer.append(b"key", b"lost"), lambda: reader.poll(1)):
                try:
                    act()
                    os._exit(1)
                except Closed:
                    pass
            writer.close(), reader.close()
            assert log.ends([0], 20) == {0: 1}
            own = log.writer()
            own.append(b"key", b"child").result(20)
            own.close()
            log.close()
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        writer.append(b"key", b"parent again").result(20)
        assert [record.value for record in reader.poll(20)[0].records] == [b"child", b"parent again"]
        writer.close(), reader.close(), log.close()
    """
    child = _python(script, log.path)
    assert _end(child) == 0
    assert len(read_all(log)[0]) == 3


# ── this process ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_log_time_never_falls_though_the_clock_does(make_log: Callable[..., SqliteLog]) -> None:
    times = iter([5_000, 3_000, 7_000])
    log = make_log(clock=lambda: next(times))
    with writing(log) as writer:
        for _ in range(3):
            writer.append(b"key", b"value").result(DEADLINE)
    assert [record.log_time for record in read_all(log)[0]] == [5_000, 5_000, 7_000]


def test_a_full_buffer_blocks_until_there_is_room(make_log: Callable[..., SqliteLog]) -> None:
    log = make_log(max_in_flight=10, max_in_flight_bytes=20_000)
    with writing(log) as writer:
        futures = [writer.append(b"key", b"x" * 1_000) for _ in range(2_000)]
        assert writer.flush(DEADLINE)
    assert [future.result(0).offset for future in futures] == list(range(2_000))


def test_appends_to_a_file_that_stays_locked_block_and_time_out(make_log: Callable[..., SqliteLog], path: Path) -> None:
    log = make_log(append_timeout=0.3, max_in_flight=3)
    with writing(log) as writer:
        writer.append(b"key", b"value").result(DEADLINE)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            futures = [writer.append(b"key", b"value") for _ in range(3)]
            began = time.monotonic()
            futures += _append_as_it_takes_them(writer, 3)
            assert 0.2 < time.monotonic() - began < 5
            for future in futures:
                assert isinstance(future.exception(DEADLINE), AppendTimeout)
            other.execute("ROLLBACK")


def test_close_gives_up_what_a_locked_file_does_not_take(
    make_log: Callable[..., SqliteLog], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventresults.log.sqlite_writer._CLOSE_TIMEOUT", 0.3)
    log = make_log(append_timeout=1.0)
    writer = log.writer()
    writer.append(b"key", b"value").result(DEADLINE)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        future = writer.append(b"key", b"value")
        began = time.monotonic()
        writer.close()
        assert time.monotonic() - began < 2
        assert isinstance(future.exception(0), Closed | AppendTimeout)
        other.execute("ROLLBACK")


def test_anybody_can_read_the_records_by_sql(log: SqliteLog, path: Path) -> None:
    with writing(log) as writer:
        writer.append(b"key", b'{"v":1}').result(DEADLINE)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        assert reader.execute("SELECT offset, key, json_extract(CAST(value AS TEXT), '$.v') FROM records").fetchall() == [(0, b"key", 1)]


def _append_as_it_takes_them(writer: EventWriter, count: int) -> list[Future[Position]]:
    futures = []
    for _ in range(count):
        with contextlib.suppress(AppendTimeout):
            futures.append(writer.append(b"key", b"value"))
    return futures


def _refuses(log: SqliteLog, cure: str) -> None:
    for act in (lambda: log.info(1.0), lambda: log.writer().append(b"key", b"value"), lambda: log.reader({0: 0}).poll(0.0)):
        with pytest.raises(LogUnavailable, match=cure):
            act()


def _python(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)], cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True
    )


def _end(child: subprocess.Popen[str]) -> int:
    try:
        code = child.wait(60)
    finally:
        child.kill()
        assert child.stdout is not None
        child.stdout.close()
        child.wait()
    return code

"""The view's folder: who owns a generation, and which one is in use. Other processes here are real ones."""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest

from eventresults.errors import Closed, ViewCorrupt, ViewError, ViewLocked
from eventresults.view.generation import ViewFolder

DEADLINE = 30.0

HOLD = """
import sys
from eventresults.errors import ViewLocked
from eventresults.view.generation import ViewFolder
print("ready", flush=True)
sys.stdin.readline()
try:
    held = getattr(ViewFolder(sys.argv[1]), sys.argv[2])()
    print("holds", held.__enter__().name if sys.argv[2] in ("scratch", "draft") else held.number, flush=True)
except ViewLocked as error:
    print("locked", error.pid, flush=True)
sys.stdin.read()
"""


class Process:
    """Another Python process that opens a view when told to, says how that went, and holds what it got until its end."""

    def __init__(self, path: Path, act: str) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.popen = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), act],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment,
        )
        assert self.says() == "ready"

    def go(self) -> None:
        self.popen.stdin.write("go\n")

    def says(self) -> str:
        assert select.select([self.popen.stdout], [], [], DEADLINE)[0], "the other process is silent"
        return self.popen.stdout.readline().strip()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(DEADLINE)
        self.popen.stdin.close()
        self.popen.stdout.close()


@contextmanager
def another_process(path: Path, act: str = "open") -> Iterator[Process]:
    process = Process(path, act)
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> ViewFolder:
    return ViewFolder(tmp_path / "deep" / "view")


def test_a_view_nobody_opened_has_no_current_generation_and_is_not_created_by_asking(folder: ViewFolder) -> None:
    assert folder.current() is None
    assert folder.sweep() == []
    assert not folder.path.exists()


def test_the_first_open_makes_a_private_folder_with_generation_one(folder: ViewFolder) -> None:
    generation = folder.open()
    assert (generation.number, folder.current()) == (1, 1)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert generation.shard_path(3) == folder.path / "1" / "3"
    assert (generation.path / "LOCK").read_text() == f"{os.getpid()}\n"


def test_open_keeps_what_the_generation_in_use_holds(folder: ViewFolder) -> None:
    generation = folder.open()
    generation.shard_path(0).mkdir()
    generation.close()
    assert folder.open().shard_path(0).is_dir()


def test_a_first_open_does_not_inherit_a_build_that_was_never_published(folder: ViewFolder) -> None:
    build = folder.next()
    build.shard_path(0).mkdir()
    build.close()
    generation = folder.open()
    assert generation.number == 1
    assert not generation.shard_path(0).exists()


def test_a_second_open_in_the_same_process_is_refused_and_costs_the_first_nothing(folder: ViewFolder) -> None:
    generation = folder.open()
    with pytest.raises(ViewLocked, match=r"this process has the view .* view=") as caught:
        folder.open()
    assert caught.value.pid == os.getpid()
    assert caught.value.path == str(folder.path)
    # a POSIX lock would be lost had the second attempt opened and closed the file
    with another_process(folder.path) as other:
        other.go()
        assert other.says() == f"locked {os.getpid()}"
    generation.close()


def test_the_same_view_by_another_name_is_the_same_lock(folder: ViewFolder, tmp_path: Path) -> None:
    generation = folder.open()
    (tmp_path / "link").symlink_to(folder.path)
    with pytest.raises(ViewLocked):
        ViewFolder(tmp_path / "link").open()
    generation.close()
    ViewFolder(tmp_path / "link").open().close()


def test_close_lets_another_open_and_may_be_repeated(folder: ViewFolder) -> None:
    first = folder.open()
    first.close()
    second = folder.open()
    first.close()  # must not take the second's lock away
    with pytest.raises(ViewLocked):
        folder.open()
    assert not second.closed
    second.close()
    assert second.closed


def test_the_refusal_names_the_process_that_has_it_and_kill_9_frees_it(folder: ViewFolder) -> None:
    with another_process(folder.path) as other:
        other.go()
        assert other.says() == "holds 1"
        with pytest.raises(ViewLocked, match=rf"another process \(pid {other.popen.pid}\) has the view") as caught:
            folder.open()
        assert caught.value.pid == other.popen.pid
        other.popen.send_signal(signal.SIGKILL)
        other.popen.wait(DEADLINE)
        folder.open().close()


def test_a_lock_file_without_a_process_id_is_refused_all_the_same(folder: ViewFolder) -> None:
    with another_process(folder.path) as other:
        other.go()
        other.says()
        (folder.path / "1" / "LOCK").write_text("")
        with pytest.raises(ViewLocked, match="another process has the view") as caught:
            folder.open()
        assert caught.value.pid is None


def test_a_forked_child_holds_nothing_and_outlives_its_parent_without_harm(folder: ViewFolder) -> None:
    # given: a process that opens the view, forks a child that stays, and dies by kill -9
    script = """
import os, signal, sys, time
from eventresults.view.generation import ViewFolder
generation = ViewFolder(sys.argv[1]).open()
child = os.fork()
if child == 0:
    assert generation.closed
    generation.close()
    print("child", os.getpid(), flush=True)
    time.sleep(60)
    os._exit(0)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        child = int(parent.stdout.readline().split()[1])
        try:
            with pytest.raises(ViewLocked) as caught:  # the child's close() did not free the parent's lock
                folder.open()
            assert caught.value.pid == parent.pid
            # when
            parent.stdin.write("die\n")
            parent.stdin.flush()
            parent.wait(DEADLINE)
            # then
            os.kill(child, 0)
            folder.open().close()
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_child_forked_behind_pythons_back_does_not_hold_the_lock_either(folder: ViewFolder) -> None:
    # given: a fork by C code runs no Python hook, so the child keeps the descriptor
    script = """
import ctypes, os, sys
from eventresults.view.generation import ViewFolder
libc = ctypes.PyDLL(None)
generation = ViewFolder(sys.argv[1]).open()
child = libc.fork()
if child == 0:
    libc.pause()
print("child", child, flush=True)
os.kill(os.getpid(), 9)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script, str(folder.path)], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        child = int(parent.stdout.readline().split()[1])
        try:
            parent.wait(DEADLINE)
            os.kill(child, 0)
            folder.open().close()
        finally:
            os.kill(child, signal.SIGKILL)


def test_of_many_processes_that_race_to_open_exactly_one_wins(folder: ViewFolder) -> None:
    others = [Process(folder.path, "open") for _ in range(4)]
    try:
        for other in others:
            other.go()
        answers = [other.says() for other in others]
    finally:
        for other in others:
            other.kill()
    assert answers.count("holds 1") == 1
    winner = others[answers.index("holds 1")]
    losers = {answer for answer in answers if answer != "holds 1"}
    assert losers <= {f"locked {winner.popen.pid}", "locked None"}  # None: it had not written its number yet


def test_of_many_threads_that_race_to_open_exactly_one_wins(folder: ViewFolder) -> None:
    won, lost = [], []
    barrier = Barrier(8)

    def race() -> None:
        barrier.wait(DEADLINE)
        try:
            won.append(folder.open())
        except ViewLocked as error:
            lost.append(error.pid)

    threads = [Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(won) == 1
    assert lost == [os.getpid()] * 7
    with another_process(folder.path) as other:
        other.go()
        assert other.says() == f"locked {os.getpid()}"
    won[0].close()


def test_a_new_generation_is_built_beside_the_one_in_use_and_published(folder: ViewFolder) -> None:
    owner = folder.open()
    build = folder.next()
    assert (build.number, folder.current()) == (2, 1)
    folder.publish(build)
    assert folder.current() == 2
    with pytest.raises(ViewLocked):
        folder.open()  # that is generation 2 now, and held
    owner.close()
    build.close()
    assert folder.open().number == 2


def test_only_one_process_builds_the_next_generation(folder: ViewFolder) -> None:
    folder.open().close()
    with another_process(folder.path, "next") as other:
        other.go()
        assert other.says() == "holds 2"
        with pytest.raises(ViewLocked):
            folder.next()
        folder.open().close()  # generation 1 stays usable meanwhile


def test_a_build_left_half_done_is_emptied_by_the_next_builder(folder: ViewFolder) -> None:
    folder.open()
    build = folder.next()
    build.shard_path(0).mkdir()
    (build.shard_path(0) / "rows").write_text("half")
    (build.path / "notes").write_text("half")
    build.close()
    again = folder.next()
    assert again.number == 2
    assert [entry.name for entry in again.path.iterdir()] == ["LOCK"]


def test_a_draft_becomes_a_generation_with_what_is_in_it_and_nothing_of_it_is_left(folder: ViewFolder) -> None:
    # given
    owner = folder.open()
    with folder.draft() as draft:
        (draft / "0").mkdir()
        (draft / "0" / "rows").write_text("whole")
        assert folder.sweep() == []
        # when
        build = folder.adopt(draft)
    # then
    assert (build.number, folder.current()) == (2, 1)
    assert (build.shard_path(0) / "rows").read_text() == "whole"
    assert not draft.exists()
    folder.publish(build)
    owner.close()
    assert folder.sweep() == [1]


def test_while_a_draft_is_filled_the_next_generation_is_anybody_s_and_another_draft_is_nobody_s(folder: ViewFolder) -> None:
    with another_process(folder.path, "draft") as other:
        other.go()
        assert other.says().startswith("holds ")
        folder.next().close()
        with pytest.raises(ViewLocked, match=rf"another process \(pid {other.popen.pid}\) is building the view .* anew"), folder.draft():
            pass
        # when: it dies amid its work
        other.kill()
        # then
        with folder.draft() as draft:
            folder.adopt(draft).close()


def test_only_what_is_below_the_one_in_use_is_older(folder: ViewFolder) -> None:
    assert folder.older() == []
    owner = folder.open()
    build = folder.next()
    assert folder.older() == []
    folder.publish(build)
    assert folder.older() == [1]
    folder.sweep()
    assert folder.older() == [1]  # it is held
    owner.close()
    folder.sweep()
    assert folder.older() == []


def test_losses_are_counted_beside_the_generations(folder: ViewFolder) -> None:
    assert folder.losses() == 0
    folder.open().close()
    folder.note_losses(1)
    folder.note_losses(2)
    assert (folder.losses(), folder.current()) == (2, 1)


def test_publish_moves_only_upwards(folder: ViewFolder) -> None:
    owner = folder.open()
    build = folder.next()
    folder.publish(build)
    with pytest.raises(ViewError, match="overtaken by 2"):
        folder.publish(owner)
    assert folder.current() == 2


def test_what_a_kill_leaves_of_a_publication_goes_with_its_generation(folder: ViewFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    # given: a process that dies between the writing of the number and the rename
    folder.open().close()
    build = folder.next()

    def die(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "replace", die)
        folder.publish(build)
    build.close()
    # when / then
    assert folder.current() == 1
    assert folder.sweep() == [2]
    assert sorted(entry.name for entry in folder.path.iterdir()) == ["1", "current"]


def test_only_the_holder_of_a_generation_publishes_it(folder: ViewFolder) -> None:
    folder.open()
    build = folder.next()
    build.close()
    with pytest.raises(Closed, match="only who holds it"):
        folder.publish(build)
    assert folder.current() == 1


def test_an_opener_that_waited_at_the_old_generation_goes_to_the_new_one(folder: ViewFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    # given: between an opener's look at `current` and its lock, somebody publishes generation 2 and leaves
    folder.open().close()
    look = folder.current

    def look_then_publish() -> int | None:
        monkeypatch.setattr(folder, "current", look)
        seen = look()
        build = folder.next()
        folder.publish(build)
        build.close()
        return seen

    monkeypatch.setattr(folder, "current", look_then_publish)
    # when / then
    assert folder.open().number == 2


def test_an_opener_refused_at_the_old_generation_looks_again_before_it_gives_up(
    folder: ViewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: the old owner still holds generation 1 when its successor publishes generation 2
    folder.open()
    build = folder.next()
    look = folder.current

    def look_then_publish() -> int | None:
        monkeypatch.setattr(folder, "current", look)
        seen = look()
        folder.publish(build)
        build.close()
        return seen

    monkeypatch.setattr(folder, "current", look_then_publish)
    # when / then
    assert folder.open().number == 2


def test_a_builder_does_not_empty_a_generation_published_meanwhile(folder: ViewFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.open().close()
    look = folder.current

    def look_then_publish() -> int | None:
        monkeypatch.setattr(folder, "current", look)
        seen = look()
        build = folder.next()
        build.shard_path(0).mkdir()
        folder.publish(build)
        build.close()
        return seen

    monkeypatch.setattr(folder, "current", look_then_publish)
    assert folder.next().number == 3
    assert (folder.path / "2" / "0").is_dir()


def test_sweep_removes_what_nobody_holds_and_keeps_the_generation_in_use(folder: ViewFolder) -> None:
    # given: 1 held by another process, 2 left behind, 3 in use, 4 half built and left behind
    with another_process(folder.path) as other:
        other.go()
        assert other.says() == "holds 1"
        for _ in range(2):
            build = folder.next()
            build.shard_path(0).mkdir()
            folder.publish(build)
            build.close()
        folder.next().close()
        (folder.path / "notes").mkdir()
        # when / then
        assert folder.sweep() == [2, 4]
        assert sorted(entry.name for entry in folder.path.iterdir()) == ["1", "3", "current", "notes"]
    assert folder.sweep() == [1]
    assert folder.current() == 3
    assert (folder.path / "3" / "0").is_dir()


def test_sweep_leaves_alone_what_this_process_holds(folder: ViewFolder) -> None:
    owner = folder.open()
    build = folder.next()
    folder.publish(build)
    assert folder.sweep() == []
    owner.close()
    assert folder.sweep() == [1]


def test_a_scratch_folder_is_removed_at_its_end_and_swept_when_its_process_was_killed(folder: ViewFolder) -> None:
    # given: one in use here, one in use by another process
    folder.open()
    with another_process(folder.path, "scratch") as other, folder.scratch() as mine:
        (mine / "0").mkdir()
        other.go()
        theirs = folder.path / "checkpoints" / other.says().split()[1]
        assert mine.parent == theirs.parent
        # when / then
        folder.sweep()
        assert {mine, theirs} == set(mine.parent.iterdir())
        other.kill()
        folder.sweep()
        assert [mine] == list(mine.parent.iterdir())
    assert list(mine.parent.iterdir()) == []


def test_scratch_folders_made_while_another_sweeps_are_never_taken_away(folder: ViewFolder) -> None:
    done = Event()
    failed: list[BaseException] = []

    def sweep() -> None:
        try:
            while not done.is_set():
                folder.sweep()
        except BaseException as error:
            failed.append(error)
            raise

    thread = Thread(target=sweep)
    thread.start()
    try:
        for _ in range(200):
            with folder.scratch() as scratch:
                (scratch / "file").write_text("mine")
                assert (scratch / "file").read_text() == "mine"
    finally:
        done.set()
        thread.join(DEADLINE)
    assert failed == []


def test_a_missing_generation_folder_is_made_anew_empty(folder: ViewFolder) -> None:
    folder.open().close()
    (folder.path / "1" / "LOCK").unlink()
    (folder.path / "1").rmdir()
    assert folder.open().number == 1


@pytest.mark.parametrize("text", ["", "one", "0", "-1", "1 2", "٣", "9" * 100])
def test_a_current_that_is_no_number_is_corrupt_and_says_what_to_do(folder: ViewFolder, text: str) -> None:
    folder.open().close()
    (folder.path / "current").write_text(text)
    with pytest.raises(ViewCorrupt, match=r"remove the folder .* the log fills it again"):
        folder.open()


def test_a_view_path_that_is_a_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ViewError, match=r"make it writable .* choose another with view=") as caught:
        ViewFolder(tmp_path / "file").open()
    assert caught.value.reason == "Not a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_view_path_without_the_right_to_write_says_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ViewError, match="Permission denied; make it writable"):
        ViewFolder(tmp_path / "view").open()

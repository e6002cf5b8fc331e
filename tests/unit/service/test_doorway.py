"""The owner's end of the Unix socket, by real sockets."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from time import monotonic

import pytest

from eventresults.errors import ViewUnavailable
from eventresults.service import doorway as doorways
from eventresults.service.doorway import Doorway
from eventresults.view import protocol
from eventresults.view.channel import Gone, Silent, UnixChannel, framed
from eventresults.view.listeners import Listeners
from eventresults.view.remote import RemoteView
from tests.support.events import sent, succeeded
from tests.support.views import until
from tests.unit.service.wire import Heard, Shown


@pytest.fixture
def path():
    folder = tempfile.mkdtemp(prefix="er-")
    yield Path(folder) / "socket"
    shutil.rmtree(folder)


@pytest.fixture
def shown():
    return Shown()


@pytest.fixture
def doorway(path: Path, shown: Shown):
    doorway = Doorway(path, shown.served)
    yield doorway
    doorway.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "eventresults-view-server"]


def connected(path: Path) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(5)
    one.connect(str(path))
    return one


def ended(one: socket.socket) -> bool:
    """Whether the other side ends it, after whatever it says."""
    try:
        while one.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return True


HOSTILE = {
    "too long": b"\xff\xff\xff\xff",
    "garbage": framed(b"\xc1garbage"),
    "of the other side": framed(protocol.encode(protocol.Beat({}))),
    "a wrong kind": framed(b"\x93\x63\x01\x02"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_frame_costs_its_sender_the_connection_and_nobody_else(doorway, shown, path, what: str, caplog):
    # given
    good = RemoteView(UnixChannel(str(path)), Listeners(), name="good")
    caplog.clear()

    # when
    with connected(path) as bad:
        bad.sendall(HOSTILE[what] * 3)

        # then
        assert ended(bad)
    until(lambda: doorway.connections == 1)
    assert len([line for line in caplog.records if line.levelno >= logging.WARNING]) == 1
    shown.tell(succeeded(task_id="a"))
    assert good.call(protocol.Metas, protocol.Tasks, ["a"], "default", {}, timeout=5).tasks[0] is not None
    good.close()


def test_half_a_frame_and_a_sudden_end_leave_nothing_behind(doorway, path, caplog):
    with connected(path) as one:
        one.sendall(b"\x10\x00\x00\x00half")
        until(lambda: doorway.connections == 1)
    until(lambda: doorway.connections == 0)
    assert not [line for line in caplog.records if line.levelno >= logging.WARNING]


def test_who_reads_nothing_is_dropped_in_the_end(doorway, path, monkeypatch, shown, caplog):
    # given
    monkeypatch.setattr(doorways, "PATIENCE_SECONDS", 0.2)
    shown.tell(*(succeeded(task_id=f"t{number}", result="x" * 1000) for number in range(60)))
    with connected(path) as one:
        # when: it asks, and takes no answer
        question = framed(protocol.encode(protocol.Tasks(1, [f"t{number}" for number in range(60)], "default", {}, 1.0)))
        until(lambda: doorway.connections == 1)
        one.sendall(question * 40)

        # then
        until(lambda: doorway.connections == 0)
    assert "next to nothing" in caplog.text


def test_who_leaves_too_many_bytes_unread_is_dropped_at_once(doorway, path, monkeypatch, shown):
    monkeypatch.setattr(doorways, "MAX_UNREAD_BYTES", 100_000)
    shown.tell(*(succeeded(task_id=f"t{number}", result="x" * 1000) for number in range(60)))
    with connected(path) as one:
        until(lambda: doorway.connections == 1)
        one.sendall(framed(protocol.encode(protocol.Tasks(1, [f"t{number}" for number in range(60)], "default", {}, 1.0))) * 40)
        until(lambda: doorway.connections == 0)


def test_its_end_tells_readers_so_and_leaves_no_file_thread_or_listener(doorway, path, shown):
    # given
    heard, lost = Heard("a"), threading.Event()
    view = RemoteView(UnixChannel(str(path)), heard.listeners, name="test", on_lost=lambda _: lost.set())
    until(lambda: shown.view.guests)

    # when
    begun = monotonic()
    doorway.close()

    # then
    assert monotonic() - begun < 1
    assert lost.wait(5)
    assert not view.silent
    assert not path.exists()
    assert not shown.view.guests
    with pytest.raises(Gone):
        UnixChannel(str(path))
    with pytest.raises(ViewUnavailable):
        view.call(protocol.Said, protocol.Reach, {}, timeout=1)


def test_it_unlinks_only_its_own_socket(path, shown):
    # given: a successor listens in its place
    first = Doorway(path, shown.served)
    second = Doorway(path, shown.served)

    # when
    first.close()

    # then
    RemoteView(UnixChannel(str(path)), Listeners(), name="test").close()
    second.close()
    assert not path.exists()


def test_an_owner_that_is_not_sure_to_be_one_says_nothing(path, shown):
    # given
    alive = threading.Event()
    alive.set()
    with_doubt = Doorway(path, shown.served, alive=alive.is_set)
    channel = UnixChannel(str(path), silence=0.8)
    assert isinstance(protocol.reply(channel.receive()), protocol.Hello)
    assert isinstance(protocol.reply(channel.receive()), protocol.Beat)

    # when
    alive.clear()

    # then
    with pytest.raises(Silent):
        for _ in range(3):
            channel.receive()
    channel.close()
    with_doubt.close()


def test_a_listener_that_accepts_nobody_is_silent(path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)
        channel = UnixChannel(str(path), silence=0.05)
        with pytest.raises(Silent):
            channel.receive()
        with pytest.raises(Silent):
            for _ in range(10_000):
                channel.send(b"x" * 10_000)
        channel.close()


def test_a_channel_tells_whether_the_next_message_is_here_whole(path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)
        channel = UnixChannel(str(path))
        accepted, _ = listening.accept()
        with accepted:
            # given: two messages, and the third but for its end
            whole = framed(b"one") + framed(b"two") + framed(b"three")
            accepted.sendall(whole[:-1])

            # then
            assert not channel.pending
            assert channel.receive() == b"one"
            assert channel.pending
            assert channel.receive() == b"two"
            assert not channel.pending

            # when
            accepted.sendall(whole[-1:] + framed(b"four")[:3])

            # then
            assert channel.receive() == b"three"
            assert not channel.pending
        channel.close()


def test_a_forked_child_closes_what_it_inherited_and_no_number_more(doorway, path, shown):
    # given
    view = RemoteView(UnixChannel(str(path)), Heard("a").listeners, name="test")
    until(lambda: doorway.connections == 1)

    # when
    child = os.fork()
    if child == 0:
        code = 1
        try:
            before = len(list(Path("/proc/self/fd").iterdir()))  # here, where no other thread opens any
            own = os.open("/dev/null", os.O_RDONLY)
            doorway.leave_to_parent()
            view.leave_to_parent()
            left = len(list(Path("/proc/self/fd").iterdir()))
            os.fstat(own)
            # listening, accepted, connected, the selector, and the two ends that wake the loop
            code = 0 if left == before + 1 - 6 else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)

    # then
    assert os.waitstatus_to_exitcode(status) == 0
    shown.tell(sent(task_id="a"))
    assert view.call(protocol.Said, protocol.Reach, {}, timeout=5).answer is True
    view.close()


def test_a_connection_that_the_loop_has_yet_to_tell_of_is_closed_in_a_forked_child_too(path: Path, doorway: Doorway):
    # given: one that is accepted, and no more
    busy, over = threading.Event(), threading.Event()
    doorway._loop.call_soon_threadsafe(lambda: (busy.set(), over.wait(5)))
    assert busy.wait(5)
    try:
        with connected(path), doorway._listening.accept()[0] as accepted:
            # when
            child = os.fork()
            if child == 0:
                doorway.leave_to_parent()
                try:
                    os.fstat(accepted.fileno())
                except OSError:
                    os._exit(0)
                os._exit(1)

            # then
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        over.set()

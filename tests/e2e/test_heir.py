"""Where all who read a view are forks of an owner that is gone, a process of its own owns it: one, for as long as it is read."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.test_one_host import CHILD, DEADLINE, OPENING, TAKEOVER, Host, Peer, assert_told_once_each, host, stopped_at
from tests.support.views import until

__all__ = ["host"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")]
IDLE = 1.5

FORKING = f"from eventresults.service import heir\nheir.IDLE_SECONDS = {IDLE}\n{CHILD}"

#: As gevent tells that it has replaced Python's threads.
PATCHED = f"""
import sys, types
sys.modules["gevent"] = types.ModuleType("gevent")
sys.modules["gevent.monkey"] = types.ModuleType("gevent.monkey")
sys.modules["gevent.monkey"].is_module_patched = lambda name: True
{FORKING}
"""


def heirs(host: Host) -> list[int]:
    """The processes that own, or are about to own, for those of this host."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            here = folder.name.isdigit() and f"TMPDIR={host.runtime}\0".encode() in (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().split(b"\0") if here else []
            if b"eventresults.cli.heir" in command and b"-I" not in command:  # with it, a heir is still being sent
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.fixture
def family(host: Host):
    """What forks owners; no heir is left behind, whatever fails."""
    host.environment["EVENTRESULTS_URL"] = "sqlite:////nowhere/at/all.db"  # a fork's settings count, and not the environment
    yield host
    for pid in heirs(host):
        os.kill(pid, signal.SIGKILL)


def forks(host: Host, names: str, **settings) -> tuple[Peer, list[Peer]]:
    """An owner that forked after use, and its children, which read through it."""
    parent = host.start(FORKING, **settings)
    assert parent.ask("[read('t0'), owns()]") == [None, True]
    children = host.children(parent, *names)
    for child in children:
        assert child.ask("[read('t0'), owns()]") == [None, False]
    return parent, children


def read_by_all(children: list[Peer], begun: float, one: str) -> float:
    """Each reads that it succeeded; after how many seconds the last did."""
    for child in children:
        child.begin(f"read({one!r})")
    assert [child.answer() for child in children] == ["SUCCESS"] * len(children)
    took = time.monotonic() - begun
    assert took < TAKEOVER
    return took


def the_heir(host: Host, children: list[Peer]) -> int:
    """The one that all of them read from; there is no other."""
    [pid] = {child.ask("tracker.view.held.pid") for child in children}
    assert heirs(host) == [pid]
    return pid


def test_children_of_a_killed_owner_live_on_by_one_heir_and_then_by_another(family: Host, record_property):
    # given
    parent, children = forks(family, "abcdefgh")
    for child in children:
        child.ask("[promise('t1', 't2', 'later'), watch('t1', 't2'), wait('t2')] and None")
    assert heirs(family) == []

    # when
    begun = family.kill(parent)
    family.succeed("t1")

    # then
    took = [read_by_all(children, begun, "t1")]
    first = the_heir(family, children)
    for child in children:
        child.until("fired == ['t1']")

    # when: it is killed, too
    begun = time.monotonic()
    os.kill(first, signal.SIGKILL)
    family.succeed("t2")

    # then
    took.append(read_by_all(children, begun, "t2"))
    second = the_heir(family, children)
    assert second != first
    family.succeed("later")
    for child in children:
        assert child.until("got") == {"t2": "t2"}
        child.until("len(fired) == 3")
        assert_told_once_each(family, child, "t1", "t2")
        assert child.ask("fired") == ["t1", "t2", "later"]
        # then: nothing is left in them to be waited for
        assert child.ask("os.waitpid(-1, os.WNOHANG)")[0] == "ChildProcessError"
    record_property("seconds", took)
    print("takeover by an heir:", [round(one, 2) for one in took])

    # when: nobody reads any more
    assert heirs(family) == [second]
    for child in children:
        child.begin("os._exit(0)")
    begun = time.monotonic()

    # then
    while heirs(family):
        assert time.monotonic() - begun < IDLE + TAKEOVER
        time.sleep(0.02)
    assert time.monotonic() - begun > IDLE / 2
    last = family.start()
    assert last.ask("tracker.verify()") == []
    assert last.ask("[read('later'), owns()]") == ["SUCCESS", True]
    assert "Traceback" not in family.stderr() + (family.view / "HEIR.log").read_text()


def test_who_captures_what_a_program_says_waits_for_no_heir(family: Host):
    # given
    parent, [child] = forks(family, "a")
    begun = family.kill(parent)
    family.succeed("t1")

    # when
    read_by_all([child], begun, "t1")

    # then: nothing that was open in who had it started is open in it
    open_in = Path(f"/proc/{the_heir(family, [child])}/fd")
    until(lambda: {str((open_in / number).readlink()) for number in "012"} == {os.devnull, str(family.view / "HEIR.log")})


def test_an_owner_that_is_stopped_before_it_listens_is_succeeded_by_an_heir(family: Host):
    # given
    family.succeed("t0")
    owner = family.start(OPENING.format(act="os.kill(os.getpid(), signal.SIGSTOP)") + CHILD)
    owner.begin("read('t0')")
    stopped_at(owner)

    # when / then
    reader = family.start(PATCHED)
    assert reader.ask("[read('t0'), owns()]") == ["SUCCESS", False]
    heir = the_heir(family, [reader])
    os.kill(owner.pid, signal.SIGCONT)
    assert owner.answer() == "SUCCESS"
    assert owner.ask("tracker.view.held.pid") == heir


def test_a_stopped_heir_is_succeeded_and_ends_when_it_is_woken(family: Host, record_property):
    # given
    parent, children = forks(family, "ab")
    for child in children:
        child.ask("promise('t1', 't2')")
    begun = family.kill(parent)
    family.succeed("t1")
    read_by_all(children, begun, "t1")
    first = the_heir(family, children)

    # when
    os.kill(first, signal.SIGSTOP)
    begun = time.monotonic()
    family.succeed("t2")

    # then
    record_property("seconds", read_by_all(children, begun, "t2"))
    for child in children:
        child.until("fired == ['t1', 't2']")
        assert child.ask("tracker.view.held.pid") != first

    # when / then
    os.kill(first, signal.SIGCONT)
    while heirs(family) != [children[0].ask("tracker.view.held.pid")]:
        assert time.monotonic() - begun < DEADLINE
        time.sleep(0.02)
    assert read_by_all(children, time.monotonic(), "t2") < TAKEOVER
    assert "Traceback" not in family.stderr() + (family.view / "HEIR.log").read_text()


def test_an_heir_that_cannot_open_the_log_says_so_to_who_waits_for_it(family: Host):
    # given
    parent, [child] = forks(family, "a", read_timeout=6, connect_timeout=2)
    family.kill(parent)
    log = family.folder / "events.db"
    log.rename(family.folder / "away")
    log.mkdir()

    # when / then: at the latest once nobody else in the process looks for an owner
    begun = time.monotonic()
    message = ""
    while "eventresults serve" not in message:
        assert time.monotonic() - begun < DEADLINE
        kind, message = child.ask("error_of('tracker.read(\"t0\")')")
        assert kind == "ViewStale"
    assert str(log) in message
    assert "the process that was to own a view ends" in family.stderr()

    # when / then: it is there again
    log.rmdir()
    (family.folder / "away").rename(log)
    assert child.ask("read('t0')") is None


def test_own_never_sends_no_heir(family: Host):
    # given
    parent = family.start(FORKING)
    assert parent.ask("[read('t0'), owns()]") == [None, True]
    [child] = family.children(parent, "a")
    family.kill(parent)
    child.ask("globals().update(tracker=eventresults.connect(tracker.settings.url, own='never'))")

    # when / then
    kind, message = child.ask("error_of('tracker.view.get(\"t0\", timeout=1)')")
    assert kind == "ViewLocked"
    assert "eventresults serve" in message
    assert heirs(family) == []


def test_a_process_whose_threads_were_replaced_sends_an_heir_when_nobody_serves(family: Host):
    # given
    family.succeed("t0")
    reader = family.start(PATCHED)

    # when / then
    assert reader.ask("[read('t0'), owns()]") == ["SUCCESS", False]
    the_heir(family, [reader])


def test_no_heir_is_sent_where_another_process_may_own(family: Host):
    # given
    parent, children = forks(family, "abcd")
    other = family.start()
    assert other.ask("[read('t0'), owns()]") == [None, False]

    # when
    begun = family.kill(parent)
    family.succeed("t1")

    # then
    read_by_all([*children, other], begun, "t1")
    assert other.ask("owns()")
    assert heirs(family) == []

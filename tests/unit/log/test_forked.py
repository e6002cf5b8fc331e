"""A fork amid calls into a C library."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from time import monotonic

from eventresults.log import forked
from eventresults.log.forked import Calls

STORM = """
import os, sys, threading, time
from eventresults.log.sqlite import SqliteLog

path = sys.argv[1]
log = SqliteLog(path)
writer = log.writer()
reader = log.reader({0: 0})
stop = threading.Event()

def read():
    while not stop.is_set():
        reader.poll(0.05)

def append():
    while not stop.is_set():
        writer.append(b"key", b"x" * 300).result(10)

def ask():
    while not stop.is_set():
        log.ends([0], 10)

threads = [threading.Thread(target=one) for one in (read, append, ask)]
for thread in threads:
    thread.start()
for _ in range(60):
    child = os.fork()
    if child == 0:
        mine = SqliteLog(path)
        mine.writer().append(b"key", b"child").result(10)
        os._exit(0 if mine.info(10).partitions == 1 else 1)
    deadline = time.monotonic() + 15
    while (status := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os._exit(3)
        time.sleep(0.001)
    if status[1]:
        os._exit(4)
stop.set()
for thread in threads:
    thread.join(10)
reader.close()
writer.close()
log.close()
"""


def test_children_forked_while_threads_are_busy_in_sqlite_can_use_it(tmp_path):
    # Python itself warns of such forks, from 3.12 on.
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", STORM, tmp_path / "log.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fork_waits_for_calls_under_way_and_others_wait_for_the_fork():
    # given
    calls = Calls()
    order = []
    inside, leave = threading.Event(), threading.Event()

    def call():
        with calls:
            inside.set()
            assert leave.wait(10)
            order.append("call")

    thread = threading.Thread(target=call)
    thread.start()
    assert inside.wait(10)

    # when
    threading.Timer(0.05, leave.set).start()
    calls._pause()
    order.append("fork")
    late = threading.Thread(target=lambda: [calls.__enter__(), order.append("late"), calls.__exit__()])
    late.start()

    # then
    thread.join(10)
    assert order == ["call", "fork"]
    calls._resume()
    late.join(10)
    assert order == ["call", "fork", "late"]


def test_a_call_that_does_not_end_delays_a_fork_and_no_more(monkeypatch):
    # given
    monkeypatch.setattr(forked, "FORK_PATIENCE_SECONDS", 0.02)
    calls = Calls()
    calls.__enter__()

    # when
    begun = monotonic()
    child = os.fork()
    if child == 0:
        with calls:  # a child begins anew
            os._exit(0)

    # then
    assert os.waitpid(child, 0)[1] == 0
    assert monotonic() - begun < 5
    calls.__exit__()

from __future__ import annotations

import os
import threading
import time

import pytest

from eventresults.client.asyncresult import AsyncResult

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def in_child(act):
    """Run `act` in a forked child; its exit code must be 0 within the deadline."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    pytest.fail("the child hangs")


def test_a_child_starts_with_free_locks_and_no_promises_of_its_parent(backend, facts, called):
    AsyncResult("parents", backend=backend).then(called)
    held, release = threading.Event(), threading.Event()

    def hold():
        with backend.registry._lock, backend._lock, backend.callbacks._lock:
            held.set()
            release.wait(10)

    holder = threading.Thread(target=hold, name="test-holder")
    holder.start()
    assert held.wait(10)

    def child():
        assert len(backend.registry) == 0
        told = threading.Event()
        AsyncResult("t", backend=backend).then(lambda _: told.set())
        facts.succeeded("parents")
        facts.succeeded("t")
        assert told.wait(5)
        assert AsyncResult("t", backend=backend).get(timeout=5) is None
        assert not called.items

    try:
        in_child(child)
    finally:
        release.set()
        holder.join(10)
    facts.succeeded("parents")
    assert called.wait() == ["parents"]

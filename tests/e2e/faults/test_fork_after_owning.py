"""Found by round 603693: a child of a process that had owned the view once, and did no more, ended by SIGSEGV."""

from __future__ import annotations

import sys
import time

import pytest

from tests.e2e.faults.scene import Scene

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="the text of the owner's lock")]


def test_a_child_of_a_process_that_owned_the_view_once_ends_in_good_order():
    with Scene(1) as scene:
        # given: an owner that resigned, for another process rebuilt the view
        scene.start("writer")
        first = scene.start("reader")
        scene.until(lambda: scene.owner is first, "the first owner")
        second = scene.start("reader")
        scene.served_since(time.monotonic(), within=30.0, who=[second])
        first.freeze()
        scene.until(lambda: scene.owner is second, "the second owner")
        first.thaw()
        scene.served_since(time.monotonic(), within=30.0, who=[first, second])

        # when
        for _ in range(3):
            first.tell("fork")

        # then
        scene.until(lambda: sum(note[0] == "forked" for note in scene.notes(first)) == 3, "the ends of three children")
        assert [note[2] for note in scene.notes(first) if note[0] == "forked"] == [0, 0, 0]

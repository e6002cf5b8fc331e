"""Whoever waits for a task's end, however often and however its facts fall between: each callback is called once, in order."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from eventresults.client.asyncresult import AsyncResult
from eventresults.client.backend import Backend
from eventresults.domain.events import TaskFailed, TaskStarted, TaskSucceeded
from tests.support.told import ToldView

DEADLINE = 10.0
TASKS = ["a", "b", "c"]

tasks = st.sampled_from(TASKS)
#: A result of a task with so many callbacks, strongly or weakly held; who holds it weakly may let it die at once.
waits = st.tuples(tasks, st.integers(1, 3), st.sampled_from(["strong", "weak", "dies"]))
facts = st.tuples(st.sampled_from([TaskStarted, TaskSucceeded, TaskFailed]), tasks)


def settled(backend: Backend) -> None:
    """What was registered is looked at, and what was put is run, when this returns."""
    for runner in (backend.registry._looks, backend.callbacks, backend.callbacks):
        ran = threading.Event()
        assert runner.put(ran.set)
        assert ran.wait(DEADLINE)


def tell(view: ToldView, kind: type, task_id: str) -> None:
    view.tell(kind(task_id=task_id, time=datetime.now(UTC)))


@given(st.lists(waits, max_size=12), st.lists(facts, max_size=8))
def test_each_callback_is_called_once_whenever_its_task_ends_and_nothing_is_left(waiting, told):
    view = ToldView()
    backend = Backend(None, view)
    called: Counter[tuple[int, int]] = Counter()
    kept = []
    writer = threading.Thread(target=lambda: [tell(view, *one) for one in told], name="test-writer")
    try:
        # when: one thread waits, and another one tells
        writer.start()
        for number, (task_id, times, how) in enumerate(waiting):
            result = AsyncResult(task_id, backend=backend)
            for time in range(times):
                result.then(lambda _, key=(number, time): called.update([key]), weak=how != "strong")
            if how == "weak":
                kept.append(result)
            del result
        writer.join(DEADLINE)
        for task_id in TASKS:
            tell(view, TaskSucceeded, task_id)
        settled(backend)

        # then
        assert {key: called[key] for key in called if called[key] != 1} == {}
        due = {(n, time) for n, (_, times, how) in enumerate(waiting) for time in range(times) if how != "dies"}
        assert due <= called.keys()
        assert len(backend.registry) == 0
        assert view.subscriptions == 0
    finally:
        backend.close()


@given(st.lists(tasks, max_size=8), st.permutations(TASKS))
def test_callbacks_are_called_in_the_order_in_which_their_tasks_end(waiting, ends):
    view = ToldView()
    backend = Backend(None, view)
    called: list[tuple[str, int]] = []
    try:
        results = [AsyncResult(task_id, backend=backend) for task_id in waiting]
        for number, result in enumerate(results):
            result.then(lambda r, number=number: called.append((r.id, number)))
        settled(backend)
        for task_id in ends:
            tell(view, TaskSucceeded, task_id)
        settled(backend)
        assert called == [(task_id, number) for task_id in ends for number, one in enumerate(waiting) if one == task_id]
    finally:
        backend.close()

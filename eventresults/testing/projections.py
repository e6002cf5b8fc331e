"""What every projection promises, as tests for any facts: subclass a contract, give it your projection, and run pytest.

    class TestSpend(MergingProjectionContract):
        @pytest.fixture
        def projection(self):
            return Spend()

        def histories(self):
            customers = st.fixed_dictionaries({"customer": st.sampled_from(["ada", "bob"])})
            return histories(kwargs=customers, results=st.integers(0, 10_000))

`ProjectionContract` is for one keyed by task id, `MergingProjectionContract` for one whose keys have facts in many partitions. Needs
`pip install 'eventresults[testing]'`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventresults.codec import plain
from eventresults.codec.events import encode_event
from eventresults.domain.events import TaskEvent, TaskFailed, TaskForgotten, TaskRetried, TaskSent, TaskStarted, TaskSucceeded
from eventresults.domain.projection import Projection, Transition, checked
from eventresults.log.base import Poll, Record
from eventresults.projector import Lifetimes, fold_poll
from eventresults.view import keys
from eventresults.view.memory import MemoryStore
from eventresults.view.shard import Head, Shard

_BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_STEP: Final = timedelta(seconds=1)
_ERROR: Final = {"type": "ValueError", "module": "builtins", "message": "no", "args": ["no"]}
_NAMES: Final = st.sampled_from(["add", "resize"])
_NOTHING: Final = st.none()
_NUMBERS: Final = st.integers(-1000, 1000)
_FEW: Final = settings(max_examples=50, report_multiple_bugs=False, deadline=None, suppress_health_check=list(HealthCheck))
#: Events in the order of a log.
History = Sequence[TaskEvent]


def histories(
    *,
    names: st.SearchStrategy[str] = _NAMES,
    args: st.SearchStrategy[Any] = _NOTHING,
    kwargs: st.SearchStrategy[Any] = _NOTHING,
    results: st.SearchStrategy[Any] = _NUMBERS,
    most_tasks: int = 8,
) -> st.SearchStrategy[list[TaskEvent]]:
    """Lives of up to `most_tasks` tasks, one within another: sent, started, perhaps retried, ended well or badly, perhaps forgotten."""
    return _drawn(names, args, kwargs, results, most_tasks)


# Made once: hypothesis looks at the source of what it decorates.
@st.composite
def _drawn(
    draw: st.DrawFn,
    names: st.SearchStrategy[str],
    args: st.SearchStrategy[Any],
    kwargs: st.SearchStrategy[Any],
    results: st.SearchStrategy[Any],
    most_tasks: int,
) -> list[TaskEvent]:
    lives: list[list[TaskEvent]] = []
    for number in range(draw(st.integers(0, most_tasks))):
        steps: list[tuple[Any, dict[str, Any]]] = [
            (TaskSent, {"name": draw(names), "args": draw(args), "kwargs": draw(kwargs)}),
            (TaskStarted, {"worker": "w1"}),
            *draw(st.sampled_from([[], [(TaskRetried, {}), (TaskStarted, {"worker": "w2"})]])),
            draw(st.sampled_from([(TaskSucceeded, {"result": draw(results)}), (TaskFailed, {"error": _ERROR})])),
            *draw(st.sampled_from([[], [(TaskForgotten, {})]])),
        ]
        lived = steps[: draw(st.integers(1, len(steps)))]
        lives.append([cls(task_id=f"task-{number}", time=_BEGAN + _STEP * at, **fields) for at, (cls, fields) in enumerate(lived)])
    return _mixed(draw, lives)


class ProjectionContract:
    """The contract of `eventresults.Projection`, but for `merge`."""

    @pytest.fixture
    def projection(self) -> Projection:
        """The projection."""
        raise NotImplementedError

    def histories(self) -> st.SearchStrategy[list[TaskEvent]]:
        """What it is to be tried on: see `histories`."""
        return histories()

    def test_it_can_be_run(self, projection: Projection) -> None:
        assert checked([projection]) == (projection,)

    @_FEW
    @given(data=st.data())
    def test_it_fails_on_no_history(self, projection: Projection, data: st.DataObject) -> None:
        folded(projection, data.draw(self.histories()))

    @_FEW
    @given(data=st.data())
    def test_it_depends_on_its_arguments_alone_and_changes_none_of_them(self, projection: Projection, data: st.DataObject) -> None:
        told = _Twice(projection)
        folded(told, data.draw(self.histories()))

    @_FEW
    @given(data=st.data())
    def test_its_states_survive_being_written_and_read_wherever_a_poll_ends(self, projection: Projection, data: st.DataObject) -> None:
        history = data.draw(self.histories())
        cuts = data.draw(st.lists(st.integers(0, len(history)), max_size=4))
        assert alike(folded(projection, history), folded(projection, history, cuts=cuts))


class MergingProjectionContract(ProjectionContract):
    """The contract of a projection whose keys have facts in many partitions."""

    @_FEW
    @given(data=st.data())
    def test_it_does_not_matter_in_which_order_partials_are_merged(self, projection: Projection, data: st.DataObject) -> None:
        for one, other, third in self._partials(projection, data):
            assert alike(_merged(projection, one, other), _merged(projection, other, one))
            assert alike(
                _merged(projection, _merged(projection, one, other), third), _merged(projection, one, _merged(projection, other, third))
            )

    @_FEW
    @given(data=st.data())
    def test_merging_changes_neither_partial_and_gives_a_state(self, projection: Projection, data: st.DataObject) -> None:
        for one, other, _ in self._partials(projection, data):
            before = copy.deepcopy((one, other))
            whole = projection.merge(one, other)
            assert before == (one, other)
            assert alike(plain.unpack(plain.pack(whole)), whole)

    def _partials(self, projection: Projection, data: st.DataObject) -> list[tuple[Any, Any, Any]]:
        """States of three partitions, key for key; where one lacks a key, it has another's."""
        parts = [folded(projection, data.draw(self.histories())) for _ in range(3)]
        if not all(parts):
            return []
        wanted = sorted({key for part in parts for key in part})
        return [tuple(part.get(key, next(iter(part.values()))) for part in parts) for key in wanted]


def folded(projection: Projection, history: History, *, cuts: Sequence[int] = ()) -> dict[str, Any]:
    """The states by key that this history adds up to, polled in pieces that end at `cuts`. Fails if the projection does."""
    store = MemoryStore()
    shard, head = Shard(store, 0), Head(log_id="a-log", partitions=1)
    ends = sorted({*cuts, len(history)})
    for start, end in zip([0, *ends], ends, strict=False):
        records = [
            Record(offset, 1_767_225_600_000 + offset, history[offset].subject.encode(), encode_event(history[offset]))
            for offset in range(start, end)
        ]
        batch = fold_poll(shard, head, Poll(records, end), Lifetimes(), projections=[projection]).batch
        shard.commit(batch)
        head = batch.head
        mark = head.projections[projection.name]
        assert "failed" not in mark, f"{projection.name} failed on {history[mark['failed']['offset']]}: {mark['failed']['reason']}"
    rows = store.scan(keys.projected(projection.name, ""), keys.after(keys.projected(projection.name, "")))
    return {keys.projected_key(row): plain.unpack(raw) for row, raw in rows}


def alike(one: Any, other: Any) -> bool:
    """Whether two states are equal, floats to nine digits: their sums depend on the order."""
    if isinstance(one, float) or isinstance(other, float):
        return isinstance(one, float | int) and isinstance(other, float | int) and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


class _Twice:
    """Asks everything twice, and looks whether that made a difference."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self.name = projection.name
        self.version = projection.version

    def key(self, transition: Transition) -> str | None:
        found = self._projection.key(transition)
        assert self._projection.key(transition) == found, "key() gave another answer to the same question"
        return found

    def apply(self, state: Any, transition: Transition) -> Any:
        before = copy.deepcopy(state)
        found = self._projection.apply(state, transition)
        assert state == before, "apply() changed the state that it was given: return a new one"
        assert alike(self._projection.apply(before, transition), found), "apply() gave another answer to the same question"
        return found

    def merge(self, one: Any, other: Any) -> Any:
        return self._projection.merge(one, other)


def _merged(projection: Projection, one: Any, other: Any) -> Any:
    return projection.merge(copy.deepcopy(one), copy.deepcopy(other))


def _mixed(draw: st.DrawFn, lives: list[list[TaskEvent]]) -> list[TaskEvent]:
    """One within another, each in its own order."""
    mixed: list[TaskEvent] = []
    while lives := [life for life in lives if life]:
        mixed.append(lives[draw(st.integers(0, len(lives) - 1))].pop(0))
    return mixed

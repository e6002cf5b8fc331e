"""What holds of the fold for any facts in any order."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta, timezone

from hypothesis import assume, example, given
from hypothesis import strategies as st

from eventresults.domain.events import (
    DataErased,
    TaskFailed,
    TaskForgotten,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskRevokeRequested,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    TaskUpdated,
    UnknownEvent,
)
from eventresults.domain.fold import apply, reason_dropped
from eventresults.domain.meta import TaskMeta
from eventresults.domain.position import Position
from eventresults.domain.states import READY_STATES
from tests.support.events import EPOCH, LOG_EPOCH, TASK, failed, forgotten, moment, revoke_requested, sent, started, succeeded, unknown

UNFINISHED = 50

# Few values, so that facts meet each other; now and then any value at all.
texts = st.none() | st.sampled_from(["a", "b", TASK]) | st.text(max_size=3)
wires = st.none() | st.integers() | st.lists(st.integers(), max_size=2) | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
times = st.integers(0, 6).map(moment) | st.datetimes(
    timezones=st.sampled_from([EPOCH.tzinfo, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])
)
lifetimes = st.none() | st.sampled_from([0, 0.003, 0.02]) | st.floats(min_value=0, allow_nan=False, allow_infinity=False)
errors = st.none() | st.just({"type": "E", "module": "m", "message": "x", "args": []})
counts = st.none() | st.integers(0, 4) | st.integers(0, 2**63 - 1)
children = st.none() | st.lists(st.just([["c", None], None]), max_size=1)
about = {"event_id": st.uuids().map(lambda uuid: uuid.hex), "time": times, "observed": st.booleans(), "source": texts}
task = {**about, "task_id": st.just(TASK)}
ends = {"runtime": st.none() | st.floats(0, 9), "worker": texts, "children": children, "result_expires": lifetimes}

KINDS = {
    TaskSent: {
        **dict.fromkeys(("name", "queue", "parent_id", "previous_id", "root_id", "group_id"), texts),
        "args": wires,
        "kwargs": wires,
        "group_index": counts,
        "eta": times,
        "retries": counts,
        "ignore_result": st.booleans(),
    },
    TaskReceived: {"worker": texts},
    TaskStarted: {"worker": texts, "pid": counts, "attempt": counts},
    TaskUpdated: {"state": st.sampled_from(["PROGRESS", "PENDING", "RETRY", "REJECTED", "STARTED"]), "meta": wires},
    TaskSucceeded: {"result": wires, **ends},
    TaskFailed: {"error": errors, "traceback": texts, **ends},
    TaskRetried: {"error": errors, "traceback": texts, "when": st.none() | times},
    TaskRevoked: {"reason": texts, "terminated": st.none() | st.booleans(), "signal": texts, "result_expires": lifetimes},
    TaskRejected: {"requeue": st.none() | st.booleans()},
    TaskRevokeRequested: {"terminate": st.booleans(), "signal": texts, "reason": texts, "by": texts},
    TaskForgotten: {"reason": texts},
    DataErased: {"key_id": st.just("0" * 32), "reason": texts, "by": texts},
}
LIFE = [st.builds(cls, **task, **fields) for cls, fields in KINDS.items() if cls is not TaskForgotten]
FORGET = st.builds(TaskForgotten, **task, **KINDS[TaskForgotten])
OTHER = st.builds(UnknownEvent, **about, subject=st.just(TASK), named=st.just("task-teleported"), fields=st.just({}))
events = st.one_of(*LIFE, FORGET, OTHER)
#: Facts with the milliseconds of log time that passed before each; now and then enough to outlast a life.
logs = st.lists(st.tuples(st.sampled_from([0, 1, 1, 30, 60]), events), max_size=25)


def told(log):
    """Positions, log times and events, offsets two apart."""
    log_time = LOG_EPOCH
    for number, (passed, event) in enumerate(log):
        log_time += passed
        yield event, Position(0, 2 * number), log_time


def step(meta, record):
    event, at, log_time = record
    return apply(meta, event, at, log_time, unfinished_expires=UNFINISHED)


def states(records, meta=None):
    """What is known after each record, beginning with before the first."""
    known = [meta]
    for record in records:
        known.append(step(known[-1], record))
    return known


def walk(log):
    """Each record, with what is known before and after it."""
    records = list(told(log))
    known = states(records)
    return list(zip(records, known, known[1:], strict=False))


def lives_on(before, after):
    """The same life, one fact later."""
    return before is not None and after is not before and after.facts == before.facts + 1 and after.phase != "forgotten"


@given(logs)
def test_any_facts_fold_to_a_meta_or_nothing_and_keep_the_books(log):
    for (event, at, log_time), before, after in walk(log):
        if after is before:
            assert reason_dropped(before, event, at) in {"duplicate", "after-forgotten", "nothing-there"}
            continue
        assert type(after) is TaskMeta
        assert (after.task_id, after.partition, after.last_offset, after.log_time) == (TASK, 0, at.offset, log_time)
        assert len(after.seen) % 8 == 0
        assert after.facts == 1 or after.facts == before.facts + 1
        assert (after.facts == 1) == (after.first_offset == at.offset)
        assert after.expires_at is None or after.expires_at > after.born_at or after.phase == "forgotten"


@given(logs)
def test_the_fold_is_pure(log):
    # given
    records = list(told(log))
    known = states(records)
    kept = deepcopy((records, known))

    # when
    again = [step(meta, record) for meta, record in zip(known, records, strict=False)]

    # then
    assert again == known[1:]
    assert (records, known) == kept


@given(logs, st.data())
def test_folding_in_two_parts_is_folding_at_once(log, data):
    records = list(told(log))
    cut = data.draw(st.integers(0, len(records)))
    first = states(records[:cut])[-1]
    # whether an instance stores its defaults makes no difference
    first = None if first is None else TaskMeta(**{name: getattr(first, name) for name in TaskMeta.__struct_fields__})

    assert states(records[cut:], first)[-1] == states(records)[-1]


@given(logs, st.data())
def test_folding_a_prefix_again_changes_nothing(log, data):
    records = list(told(log))
    known = states(records)
    end = data.draw(st.integers(0, len(records)))
    begin = data.draw(st.integers(0, end))

    assert all(meta is known[end] for meta in states(records[begin:end], known[end]))


@given(logs, st.data())
def test_a_repeated_fact_changes_nothing(log, data):
    records = list(told(log))
    known = states(records)
    folded = [n for n, record in enumerate(records) if known[n + 1] is not known[n]]
    assume(folded)

    # when each of some facts comes again, behind itself and any of the others
    copies = data.draw(st.lists(st.sampled_from(folded), max_size=8))
    repeated = list(records)
    for number in copies:
        place = data.draw(st.integers(number, len(records) - 1))
        repeated.append((records[number][0], Position(0, 2 * place + 1), records[place][2]))
    repeated.sort(key=lambda record: record[1])

    # then
    assert states(repeated)[-1] == known[-1]


#: What `sent` and `received` tell, which may come after the success.
OF_ITS_WAY = (
    *("name", "args", "kwargs", "queue", "retries", "root_id", "group_id", "group_index", "eta", "expires", "ignore_result"),
    *("parent_id", "previous_id", "sent_at", "received_at"),
)


@given(logs)
def test_success_gives_way_to_forgetting_and_expiry_alone(log):
    for _, before, after in walk(log):
        if before is not None and before.state == "SUCCESS" and lives_on(before, after):
            books = {"last_offset": after.last_offset, "log_time": after.log_time, "facts": after.facts, "seen": after.seen}
            told_late = {name: getattr(after, name) for name in OF_ITS_WAY if getattr(before, name) is None}
            assert after == before.evolve(**books, **told_late)


@given(logs)
def test_observed_facts_never_change_state_result_or_what_else_an_attempt_left(log):
    for record, before, after in walk(log):
        if record[0].observed and lives_on(before, after):
            for name in ("state", "result", "error", "traceback", "children", "progress", "date_done", "revocation", "revoke_request"):
                assert getattr(after, name) == getattr(before, name), name
            if before.ready:
                assert after.expires_at == before.expires_at


@given(logs)
def test_an_id_exists_from_a_fact_that_tells_of_it_until_it_is_forgotten(log):
    exists = False
    for (event, _, log_time), before, after in walk(log):
        if before is not None and before.expired(log_time):
            exists = False
        if after is not before:
            if isinstance(event, TaskForgotten) and not event.observed:
                exists = False
            elif not isinstance(event, TaskForgotten | TaskRevokeRequested | DataErased | UnknownEvent):
                exists = True
        assert (after is not None and not after.expired(log_time) and after.exists) == exists


@given(logs)
@example([(0, sent(name="secret")), (0, failed(result_expires=5)), (0, forgotten()), (0, started(observed=True))])
def test_a_tombstone_keeps_no_payload_and_gives_way_to_a_new_life_alone(log):
    for (event, at, log_time), before, after in walk(log):
        if after is not None and after.phase == "forgotten":
            assert (after.state, after.name, after.args, after.kwargs, after.result, after.error) == ("PENDING", *[None] * 5)
        if before is None or before.phase != "forgotten" or before.expired(log_time):
            continue
        if isinstance(event, TaskSent) and event.observed:
            begins = event.time > before.date_done
        else:
            kinds = TaskSent | TaskReceived | TaskStarted | TaskSucceeded | TaskFailed | TaskRevoked
            begins = isinstance(event, kinds) and not event.observed
        assert (after is not before) == begins
        if begins:
            assert after == step(None, (event, at, log_time)).evolve(seen=after.seen)


@given(logs)
@example([(0, failed(result_expires=0.01)), (30, revoke_requested())])
@example([(0, succeeded(result_expires=0.01)), (30, unknown())])
def test_a_row_that_expired_folds_as_if_the_sweep_had_taken_it(log):
    for record, before, after in walk(log):
        if before is not None and before.expired(record[2]):
            fresh = step(None, record)
            assert after is before if fresh is None else after == fresh.evolve(seen=after.seen)


@given(logs)
def test_what_is_not_ready_expires_after_its_latest_fact(log):
    for meta in states(told(log)):
        if meta is not None and meta.phase != "forgotten" and meta.state not in READY_STATES:
            assert meta.expires_at == meta.log_time + UNFINISHED


@given(logs)
def test_what_is_known_agrees_with_itself(log):
    for meta in states(told(log)):
        if meta is None or meta.phase == "forgotten":
            continue
        if meta.ready:
            assert meta.date_done is not None
            assert meta.revoke_request is None or not meta.finished
        assert not meta.finished or meta.date_done is not None
        assert (meta.revocation is not None) == (meta.state == "REVOKED")
        assert meta.error is None or meta.state in {"FAILURE", "RETRY"}
        assert (meta.started_at is None) == (meta.first_started_at is None)
        assert TASK not in (meta.parent_id, meta.previous_id)

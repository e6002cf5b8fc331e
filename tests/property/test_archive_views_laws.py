"""The view `tasks` of an archive is what the fold makes of the same facts, wherever they come in an order that a worker writes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from eventresults.archive.archive import Archive
from eventresults.archive.sql.session import Session
from tests.support.archives import append, archived, memory_log
from tests.support.events import failed, fold, received, retried, revoked, sent, started, succeeded, updated

#: How an attempt goes on after its start, but the last.
RETRIES = st.sampled_from([[retried], [updated, retried], []])  # [] is a worker that died
#: How the last attempt ends.
ENDS = st.sampled_from([[succeeded], [failed], [revoked], [updated], [updated, succeeded], [], [succeeded, failed], [failed, succeeded]])


@st.composite
def lives(draw):
    """The facts of one task, as a client and its workers write them."""
    makers = [sent, *draw(st.sampled_from([[], [received]]))]
    attempts = draw(st.integers(0, 3))
    facts = [make(second=place) for place, make in enumerate(makers)]
    for attempt in range(1, attempts + 1):
        last = attempt == attempts
        facts.append(started(second=len(facts), attempt=attempt, worker=f"w{attempt}"))
        facts += [make(second=len(facts) + place) for place, make in enumerate(draw(ENDS if last else RETRIES))]
    if draw(st.booleans()):
        facts.append(replace(draw(st.sampled_from(facts)), observed=True, event_id="again"))
    if draw(st.booleans()):
        facts.append(draw(st.sampled_from(facts)))  # told twice
    return facts


@settings(max_examples=20, deadline=None)
@given(st.lists(lives(), min_size=1, max_size=8))
def test_tasks_are_what_the_fold_makes_of_them(told):
    # given
    told = [[replace(fact, task_id=f"t{number}") for fact in life] for number, life in enumerate(told)]
    log = memory_log()
    append(log, [fact for life in told for fact in life])

    # when
    with tempfile.TemporaryDirectory() as folder:
        archived(log, Path(folder))
        with Session(Archive(folder)) as session:
            rows = {row["task_id"]: row for row in session.ask("FROM tasks").rows}

    # then
    for life in told:
        meta = fold(*life)
        row = rows[meta.task_id]
        assert (row["state"], row["attempts"], row["worker"]) == (meta.state, meta.attempts, meta.worker), [type(one).kind for one in life]
        assert row["wait_seconds"] == meta.queue_time

"""Tasks by time, newest first, page by page, over several shards."""

from __future__ import annotations

import pytest

from eventresults.log.partition import partition_of
from eventresults.view import listing
from tests.support.events import LOG_EPOCH, failed, forgotten, sent, started, succeeded
from tests.support.views import Folding

NOW = LOG_EPOCH + 1_000


def shards(count: int, partitions: int) -> list[Folding]:
    """`count` tasks t0, t1, … of one millisecond each; those divisible by 3 have succeeded, those by 5 are named "five"."""
    foldings = [Folding(partition=number) for number in range(partitions)]
    for number in range(count):
        task_id = f"t{number}"
        folding = foldings[partition_of(task_id.encode(), partitions)]
        folding.log_time = LOG_EPOCH + number
        folding.tell(sent(task_id=task_id, name="five" if number % 5 == 0 else "other"))
        if number % 3 == 0:
            folding.log_time = LOG_EPOCH + number
            folding.tell(succeeded(task_id=task_id))
    return foldings


def page(foldings: list[Folding], **query):
    query = {"state": None, "name": None, "since": None, "until": None, "limit": 100, "cursor": None, "now": NOW, **query}
    found = listing.recent([folding.shard for folding in foldings], **query)
    return [meta.task_id for meta in found.items], found.cursor


def every_page(foldings: list[Folding], **query) -> list[str]:
    found, cursor = page(foldings, **query)
    while cursor is not None:
        more, cursor = page(foldings, cursor=cursor, **query)
        found += more
    return found


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("limit", [1, 7, 16, 300])
def test_the_pages_together_are_every_task_once_newest_first(partitions: int, limit: int):
    foldings = shards(100, partitions)
    assert every_page(foldings, limit=limit) == [f"t{number}" for number in reversed(range(100))]


def test_pages_are_as_long_as_asked():
    foldings = shards(50, 2)
    ids, cursor = page(foldings, limit=20)
    assert len(ids) == 20
    assert cursor is not None
    assert page(foldings, limit=20, cursor=cursor)[0] == [f"t{number}" for number in range(29, 9, -1)]


def test_an_empty_view_has_an_empty_last_page():
    assert page([Folding()]) == ([], None)


def test_tasks_of_the_same_millisecond_are_neither_lost_nor_told_twice():
    # given
    foldings = [Folding(), Folding(partition=1)]
    for folding, letter in zip(foldings, "ab", strict=True):
        for number in range(10):
            folding.log_time = LOG_EPOCH
            folding.tell(sent(task_id=f"{letter}{number}"))

    # when / then
    found = every_page(foldings, limit=3)
    assert sorted(found) == sorted(f"{letter}{number}" for letter in "ab" for number in range(10))


def test_filters_by_state_and_name():
    foldings = shards(60, 3)
    assert every_page(foldings, state="SUCCESS", limit=4) == [f"t{number}" for number in range(57, -1, -3)]
    assert every_page(foldings, name="five") == [f"t{number}" for number in range(55, -1, -5)]
    assert every_page(foldings, state="SUCCESS", name="five") == [f"t{number}" for number in range(45, -1, -15)]
    assert every_page(foldings, state="FAILURE") == []


def test_since_is_included_and_until_is_not():
    foldings = shards(60, 3)
    assert every_page(foldings, since=LOG_EPOCH + 10, until=LOG_EPOCH + 20, limit=4) == [f"t{number}" for number in range(19, 9, -1)]


def test_a_cursor_does_not_lead_out_of_the_span():
    foldings = shards(60, 3)
    _, cursor = page(foldings, limit=10)
    assert page(foldings, cursor=cursor, until=LOG_EPOCH + 3)[0] == ["t2", "t1", "t0"]
    assert page(foldings, cursor=cursor, since=LOG_EPOCH + 47)[0] == ["t49", "t48", "t47"]


@pytest.mark.parametrize(("since", "until"), [(LOG_EPOCH + 20, LOG_EPOCH + 10), (None, 0), (None, -5), (2**70, None)])
def test_a_span_without_time_holds_nothing(since, until):
    assert page(shards(30, 2), since=since, until=until) == ([], None)


def test_any_span_may_be_asked_for():
    foldings = shards(30, 2)
    assert len(every_page(foldings, since=-(2**70), until=2**70)) == 30


def test_a_page_reads_a_bounded_number_of_rows_and_a_short_one_with_a_cursor_is_not_the_end(monkeypatch):
    # given: the only failure is the oldest task
    monkeypatch.setattr(listing, "ROWS_PER_PAGE", 10)
    folding = Folding()
    folding.tell(failed(task_id="rare"), *(sent(task_id=f"t{number}") for number in range(25)))

    # when
    ids, cursor = page([folding], state="FAILURE")

    # then
    assert ids == []
    assert cursor is not None
    assert every_page([folding], state="FAILURE") == ["rare"]


def test_forgotten_and_expired_tasks_are_hidden():
    # given
    folding = Folding()
    folding.tell(sent(task_id="forgotten"), succeeded(task_id="brief", result_expires=1.0), sent(task_id="there"))
    folding.tell(forgotten(task_id="forgotten"))

    # when / then
    assert page([folding], now=LOG_EPOCH + 10)[0] == ["there", "brief"]
    assert page([folding], now=LOG_EPOCH + 1_010)[0] == ["there"]


def test_a_task_is_listed_by_its_latest_life():
    # given
    folding = Folding()
    folding.tell(sent(task_id="again"), sent(task_id="once"))
    folding.tell(forgotten(task_id="again"))
    folding.tell(started(task_id="again", second=9))

    # when / then
    assert page([folding])[0] == ["again", "once"]


def test_a_task_whose_row_changes_between_pages_is_told_once():
    # given
    folding = Folding()
    folding.tell(*(sent(task_id=f"t{number}") for number in range(6)))
    first, cursor = page([folding], limit=3)

    # when: one of each half goes on, and a new one comes
    folding.tell(succeeded(task_id="t5"), succeeded(task_id="t1"), sent(task_id="new"))

    # then
    assert first + every_page([folding], cursor=cursor) == ["t5", "t4", "t3", "t2", "t1", "t0"]


@pytest.mark.parametrize("cursor", ["", "x", "abc", "!!!!", "é", "AAAA", "AAAAAAAAAAA", "AAAAAAAAAAAA\n", "AAAAAAAAAAAA="])
def test_a_cursor_that_no_page_gave_is_refused(cursor: str):
    with pytest.raises(ValueError, match="no cursor"):
        page([Folding()], cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_without_room_is_refused(limit: int):
    with pytest.raises(ValueError, match="at least one"):
        page([Folding()], limit=limit)

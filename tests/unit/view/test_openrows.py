"""What stands open: listed from the commit that opens it to the one that sees to it, by id, page by page, over several shards."""

from __future__ import annotations

import pytest

from eventresults.log.partition import partition_of
from eventresults.projector import Lifetimes
from eventresults.view import keys, openrows
from eventresults.view.base import OpenPage, OpenRow
from tests.support.events import (
    GROUP,
    LOG_EPOCH,
    TASK,
    failed,
    forgotten,
    group_dispatched,
    group_dispatching,
    group_forgotten,
    group_part,
    group_sized,
    moment,
    rejected,
    revoke_requested,
    revoked,
    sent,
    started,
    succeeded,
)
from tests.support.views import Folding, rows

NOW = LOG_EPOCH + 1_000


def page(foldings: list[Folding], kind: str, *, limit: int = 100, cursor: str | None = None, now: int = NOW) -> OpenPage:
    return openrows.opened([folding.shard for folding in foldings], kind, limit=limit, cursor=cursor, now=now)


def ids(folding: Folding, kind: str, **query) -> list[str]:
    return [row.subject for row in page([folding], kind, **query).items]


def test_a_group_stands_open_from_its_last_part_until_its_body_was_sent():
    folding = Folding()

    folding.tell(group_sized(2), group_part("a"))
    assert ids(folding, "group") == []

    folding.tell(group_part("b"))
    assert page([folding], "group").items == [OpenRow(GROUP, {"completed_by": 2, "run": 0, "claim": None})]

    folding.tell(group_dispatching("w", body_id="body", until=30))
    [row] = page([folding], "group").items
    assert row.facts["claim"] == {"by": "w", "body_id": "body", "until": moment(30)}

    folding.tell(group_dispatched())
    assert ids(folding, "group") == []
    assert rows(folding.store, keys.OPEN) == {}


def test_a_group_that_opens_and_is_seen_to_in_one_poll_leaves_no_trace():
    folding = Folding()

    folding.tell(group_sized(1), group_part("a"), group_dispatched())

    assert rows(folding.store, keys.OPEN) == {}


def test_a_group_that_grew_stands_open_no_more():
    folding = Folding()
    folding.tell(group_sized(1), group_part("a"))
    assert ids(folding, "group") == [GROUP]

    folding.tell(group_sized(2))

    assert ids(folding, "group") == []


def test_a_group_whose_results_are_forgotten_stands_open_until_its_body_was_sent():
    folding = Folding()

    folding.tell(group_sized(1), group_part("a"), group_forgotten())
    assert ids(folding, "group") == [GROUP]
    folding.tell(group_dispatched(), group_forgotten())

    assert ids(folding, "group") == []


@pytest.mark.parametrize("end", [succeeded, failed, revoked, forgotten])
def test_a_request_to_revoke_stands_open_until_the_task_has_ended_or_is_forgotten(end):
    folding = Folding()

    folding.tell(sent(), revoke_requested(terminate=True, reason="late"))
    [row] = page([folding], "revoke").items
    assert (row.subject, row.facts["terminate"], row.facts["reason"]) == (TASK, True, "late")
    folding.tell(started(), rejected())
    assert ids(folding, "revoke") == [TASK]

    folding.tell(end())
    assert ids(folding, "revoke") == []


def test_a_request_for_a_task_nobody_knows_yet_stands_open_and_for_one_that_ended_does_not():
    folding = Folding()

    folding.tell(revoke_requested(task_id="early"), succeeded(task_id="over"), revoke_requested(task_id="over"))

    assert ids(folding, "revoke") == ["early"]
    assert ids(folding, "group") == []


def test_what_has_expired_is_not_told_and_leaves_with_its_row():
    folding = Folding(lifetimes=Lifetimes(unfinished=100_000, history=10_000))
    folding.tell(group_sized(1, result_expires=1), group_part("a"))

    assert ids(folding, "group", now=LOG_EPOCH + 999) == [GROUP]
    assert ids(folding, "group", now=LOG_EPOCH + 1_000) == []

    folding.tell(sent(), after=20_000)
    assert rows(folding.store, keys.OPEN) == {}


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_the_pages_together_are_all_that_stands_open_by_id(limit: int):
    # given
    foldings = [Folding(partition=number) for number in range(3)]
    names = sorted(f"g{number}" for number in range(20))
    for name in names:
        foldings[partition_of(name.encode(), 3)].tell(group_sized(0, group_id=name))

    # when
    found, cursor = [], None
    while True:
        items, cursor = page(foldings, "group", limit=limit, cursor=cursor)
        assert len(items) <= limit
        found += [row.subject for row in items]
        if cursor is None:
            break

    # then
    assert found == names


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_of_several_views_make_one(limit: int):
    # given
    foldings = [Folding(partition=number) for number in range(2)]
    for number, name in enumerate("abcdefg"):
        foldings[number % 3 == 0].tell(group_sized(0, group_id=name))

    # when
    found, cursor = [], None
    while True:
        asked = [page([folding], "group", limit=limit, cursor=cursor) for folding in foldings]
        items, cursor = openrows.merged(asked, limit)
        found += [row.subject for row in items]
        if cursor is None:
            break

    # then
    assert found == list("abcdefg")


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"cursor": "?"}, {"cursor": ""}, {"kind": "door"}], ids=["limit", "cursor", "no cursor", "kind"]
)
def test_what_cannot_be_listed_is_refused(query):
    with pytest.raises(ValueError):
        page([Folding()], **{"kind": "group", **query})

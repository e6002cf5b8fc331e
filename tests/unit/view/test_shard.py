"""Typed rows over a store: the head, what is kept decoded, history, and the one batch."""

from __future__ import annotations

import pytest

from eventresults.codec import plain, rows
from eventresults.domain.meta import TaskMeta
from eventresults.errors import ViewCorrupt, ViewError
from eventresults.view import keys
from eventresults.view.memory import MemoryStore
from eventresults.view.shard import SCHEMA, Batch, Head, Shard
from tests.support.events import TASK, sent, started, succeeded, updated
from tests.support.views import Folding


class CountingStore(MemoryStore):
    """A store that counts, and can be out of order."""

    def __init__(self):
        super().__init__()
        self.commits = []
        self.gets = 0
        self.broken = False

    def commit(self, puts, deletes=()):
        if self.broken:
            raise ViewError("the disk is full")
        deletes = list(deletes)
        self.commits.append((dict(puts), deletes))
        super().commit(puts, deletes)

    def get(self, key):
        self.gets += 1
        return super().get(key)


def meta(task_id: str = TASK, **fields) -> TaskMeta:
    return TaskMeta(task_id=task_id, **fields)


def test_a_new_shard_has_no_head():
    assert Shard(MemoryStore(), 0).head() is None


def test_the_head_is_read_back_as_it_was_committed():
    # given
    store = MemoryStore()
    head = Head(log_id="x", partitions=3, next_offset=8, last_offset=6, fingerprint=b"\x00\xff", log_time=5, counts={"folded": 7})

    # when
    Shard(store, 0).commit(Batch(head))

    # then
    assert Shard(store, 0).head() == head


def test_the_head_of_another_version_is_read_as_far_as_it_is_understood():
    # given: a version that knows more
    store = MemoryStore()
    store.commit({keys.HEAD: plain.pack({"log_id": "x", "partitions": 1, "next_offset": 4, "schema": SCHEMA + 1, "colour": "red"})})

    # when
    head = Shard(store, 0).head()

    # then
    assert head is not None
    assert (head.schema, head.next_offset) == (SCHEMA + 1, 4)


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"garbage", plain.pack([1, 2]), plain.pack({"partitions": 1})])
def test_a_damaged_head_says_so(raw: bytes):
    store = MemoryStore()
    store.commit({keys.HEAD: raw})
    with pytest.raises(ViewCorrupt, match="view rebuild"):
        Shard(store, 0).head()


def test_a_damaged_row_says_so():
    store = MemoryStore()
    store.commit({keys.state(TASK): b"\x01\xc1"})
    with pytest.raises(ViewCorrupt, match="view rebuild"):
        Shard(store, 0).task(TASK)
    with pytest.raises(ViewCorrupt, match="view rebuild"):
        Shard(store, 0).tasks([TASK])


def test_a_poll_is_one_commit_of_rows_history_listing_expiry_and_head():
    # given
    store = CountingStore()
    folding = Folding(store)

    # when
    folding.tell(sent(), started(), succeeded(result_expires=60.0))

    # then
    [(puts, _)] = store.commits
    assert {key[:1] for key in puts} == {keys.STATE, keys.HISTORY, keys.RECENT, keys.EXPIRY, keys.META}
    assert Head.decode(puts[keys.HEAD]).next_offset == 3


def test_a_commit_that_fails_changes_nothing_that_is_read():
    # given
    store = CountingStore()
    folding = Folding(store)
    folding.tell(sent())
    before = folding.shard.task(TASK)

    # when
    store.broken = True
    with pytest.raises(ViewError):
        folding.tell(succeeded())

    # then
    assert folding.shard.task(TASK) == before
    assert folding.shard.head().next_offset == 1


def test_rows_touched_lately_are_served_without_a_question_to_the_store():
    # given
    store = CountingStore()
    shard = Shard(store, 0)
    shard.commit(Batch(Head("x", 1), tasks={TASK: meta(name="add")}))

    # when
    store.gets = 0
    found = shard.task(TASK)

    # then
    assert found == meta(name="add")
    assert store.gets == 0


@pytest.mark.parametrize("bound", [{"cached_rows": 10}, {"cached_bytes": 1_000}])
def test_what_is_kept_decoded_is_bounded_and_the_rest_is_read_from_the_store(bound: dict[str, int]):
    # given
    store = CountingStore()
    shard = Shard(store, 0, **bound)

    # when
    for number in range(100):
        shard.commit(Batch(Head("x", 1), tasks={f"t{number}": meta(f"t{number}", name="n" * 50)}))

    # then: every row is right, and few of them came without a question
    store.gets = 0
    assert all(shard.task(f"t{number}") == meta(f"t{number}", name="n" * 50) for number in range(100))
    assert 70 <= store.gets < 100


def test_a_row_that_was_removed_is_not_served_from_memory():
    # given
    shard = Shard(MemoryStore(), 0)
    shard.commit(Batch(Head("x", 1), tasks={TASK: meta()}))

    # when
    shard.commit(Batch(Head("x", 1), deletes=[keys.state(TASK)]))

    # then
    assert shard.task(TASK) is None
    assert shard.tasks([TASK]) == {}


def test_many_rows_are_found_whether_kept_or_stored():
    # given
    store = MemoryStore()
    Shard(store, 0).commit(Batch(Head("x", 1), tasks={"stored": meta("stored")}))
    shard = Shard(store, 0)
    shard.commit(Batch(Head("x", 1), tasks={"kept": meta("kept")}))

    # when / then
    assert shard.tasks(["kept", "nobody", "stored"]) == {"kept": meta("kept"), "stored": meta("stored")}


def test_history_is_walked_backwards_through_the_segments():
    # given: two tasks interleaved over three polls
    folding = Folding()
    folding.tell(sent(), sent(task_id="other"))
    folding.tell(started(task_id="other"), started())
    folding.tell(*(updated() for _ in range(70)), succeeded())

    # when / then
    assert folding.history(TASK) == [0, 3, *range(4, 75)]
    assert folding.history("other") == [1, 2]


def test_history_ends_where_the_shard_holds_no_more():
    # given
    folding = Folding()
    folding.tell(sent())
    folding.tell(started())
    folding.store.commit({}, [keys.history(0)])

    # when / then
    assert folding.history(TASK) == [1]


def test_a_history_that_runs_in_a_circle_says_so():
    # given
    folding = Folding()
    folding.tell(sent())
    [(key, raw)] = folding.store.scan(keys.HISTORY, keys.after(keys.HISTORY))
    [(_, offset, log_time, value)] = rows.decode_segment(raw)
    folding.store.commit({key: rows.encode_segment([(offset, offset, log_time, value)])})

    # when / then
    with pytest.raises(ViewCorrupt, match="circle"):
        folding.history(TASK)

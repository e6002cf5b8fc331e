from datetime import UTC, datetime

import pytest

from eventresults.codec import rows
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.states import TaskState
from eventresults.errors import ViewCorrupt
from tests.golden.corpus import ERROR, LATER, TIME

TASK = TaskMeta(
    task_id="t",
    state=TaskState.SUCCESS,
    args=[1, {"$type": "tuple", "value": [2]}],
    result={"a": [None, True, 0.5, -(2**63), 2**64 - 1, "ß"]},
    error=ERROR,
    children=[[["u", None], None]],
    sent_at=TIME,
    date_done=LATER,
    runtime=0.25,
    attempts=1,
    finished=True,
    first_offset=7,
    last_offset=2**40,
    expires_at=2**42,
    seen=bytes(range(64)) * 8,
)
GROUP = GroupMeta(group_id="g", size=2, parts={"t/0": ["SUCCESS", 3]}, claim={"by": "w", "body_id": None, "until": TIME}, seen=b"12345678")


@pytest.mark.parametrize("meta", [TaskMeta(task_id="t"), TASK, TaskMeta(task_id="t").evolve(result=1)])
def test_a_task_row_reads_as_it_was_written(meta):
    assert rows.decode_task(rows.encode_task(meta)) == meta


@pytest.mark.parametrize("meta", [GroupMeta(group_id="g"), GROUP])
def test_a_group_row_reads_as_it_was_written(meta):
    assert rows.decode_group(rows.encode_group(meta)) == meta


def test_a_sparse_row_holds_only_what_differs():
    row = rows.encode_task(TaskMeta(task_id="t"))
    assert len(row) < 16
    assert rows.decode_task(row) == TaskMeta(task_id="t")


@pytest.mark.parametrize(
    "time",
    [TIME, LATER, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC)],
)
def test_times_of_any_century_survive_as_utc(time):
    back = rows.decode_task(rows.encode_task(TaskMeta(task_id="t", sent_at=time)))
    assert back.sent_at == time
    assert back.sent_at.tzinfo is UTC


@pytest.mark.parametrize("entries", [[], [(-1, 0, 1_764_000_000_000, b"{}")], [(i - 1, i, 5, bytes([i])) for i in range(64)]])
def test_a_segment_reads_as_it_was_written(entries):
    assert rows.decode_segment(rows.encode_segment(entries)) == entries


@pytest.mark.parametrize("decode", [rows.decode_task, rows.decode_group, rows.decode_segment])
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x01",
        b"\x02\x80",
        b"\x00",
        b"garbage",
        b"\x01\xc1",
        b"\x01\x80",
        b"\x01\x91\xc0",
        b"\x01\x81\x01\x02",
        b"\x01\x81\xa7task_id\x05",
        b"\x01" + b"\x91" * 100_000,
    ],
)
def test_garbage_and_other_layouts_are_corrupt_and_say_what_to_do(decode, raw):
    with pytest.raises(ViewCorrupt, match="view rebuild") as caught:
        decode(raw)
    assert caught.value.reason


@pytest.mark.parametrize(
    ("decode", "row"),
    [
        (rows.decode_task, rows.encode_task(TASK)),
        (rows.decode_group, rows.encode_group(GROUP)),
        (rows.decode_segment, rows.encode_segment([])),
    ],
)
def test_another_layout_is_named(decode, row):
    with pytest.raises(ViewCorrupt, match="its layout is 2, this version reads 1"):
        decode(b"\x02" + row[1:])


def test_a_cut_row_is_corrupt():
    whole = rows.encode_task(TASK)
    for length in range(len(whole)):
        with pytest.raises(ViewCorrupt):
            rows.decode_task(whole[:length])

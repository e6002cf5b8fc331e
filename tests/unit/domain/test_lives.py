"""The eight bytes of an event id, and how a life finds them again."""

from __future__ import annotations

from eventresults.domain.lives import expiry, mark_of, remember, repeated


def test_an_event_id_has_eight_bytes_of_its_own():
    marks = {mark_of(text) for text in ("a", "b", "0:42", "0" * 32, "ä", "\ud800")}

    assert {len(mark) for mark in marks} == {8}
    assert len(marks) == 6
    assert mark_of("") == b""


def test_marks_are_the_same_in_every_process_and_release():
    assert mark_of("0190c0ffee") == bytes.fromhex("b1dbff8c0e5323ab")


def test_a_mark_is_found_where_it_begins_and_not_across_two():
    assert repeated(b"aaaaaaaabbbbbbbb", b"bbbbbbbb")
    assert not repeated(b"aaaaaaaabbbbbbbb", b"aaaabbbb")
    assert repeated(b"xxxxxxxaaaaaaaaa", b"aaaaaaaa")
    assert not repeated(b"xxxxxxxaaaaaaaax", b"aaaaaaaa")
    assert not repeated(b"aaaaaaaa", b"")


def test_the_oldest_of_64_marks_leaves():
    seen = b""
    for number in range(65):
        seen = remember(seen, number.to_bytes(8, "big"))

    assert seen == b"".join(number.to_bytes(8, "big") for number in range(1, 65))
    assert remember(seen, b"") == seen


def test_a_lifetime_ends_at_least_a_millisecond_later_or_never():
    assert [expiry(1000, seconds) for seconds in (60, 0.25, 1e-9)] == [61_000, 1250, 1001]
    assert [expiry(1000, seconds) for seconds in (None, 0, 1e300, float("inf"), float("nan"))] == [None] * 5

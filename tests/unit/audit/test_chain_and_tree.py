"""The laws of the chain and of the Merkle tree."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventresults.audit import merkle
from eventresults.audit.chain import genesis, link_of, links
from eventresults.log.base import Record

raw = st.none() | st.binary(max_size=8)
records = st.lists(st.builds(Record, offset=st.integers(0, 2**63 - 1), log_time=st.integers(0, 2**63 - 1), key=raw, value=raw), max_size=12)
leaves = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40)


def reference(level: list[bytes]) -> bytes:
    """RFC 6962, section 2.1: split at the largest power of two below the number of leaves."""
    if len(level) == 1:
        return level[0]
    half = 1
    while half * 2 < len(level):
        half *= 2
    return sha256(b"\x01" + reference(level[:half]) + reference(level[half:])).digest()


@given(records)
def test_each_link_covers_the_one_before_it(some: list[Record]):
    before = genesis("log", 0)
    for record, link in zip(some, links(before, some), strict=True):
        assert link == link_of(before, record)
        before = link


@given(records, records)
def test_only_equal_records_have_equal_links(some: list[Record], others: list[Record]):
    same = links(genesis("log", 0), some) == links(genesis("log", 0), others)
    assert same == (some == others)


def test_a_key_does_not_pass_for_a_part_of_the_value():
    assert link_of(b"", Record(0, 0, b"ab", b"c")) != link_of(b"", Record(0, 0, b"a", b"bc"))
    assert link_of(b"", Record(0, 0, None, b"")) != link_of(b"", Record(0, 0, b"", b""))


def test_chains_of_other_logs_and_partitions_begin_elsewhere():
    assert len({genesis("log", 0), genesis("log", 1), genesis("other", 0)}) == 3


@given(leaves)
def test_the_root_is_that_of_rfc_6962(some: list[bytes]):
    assert merkle.root(some) == reference(some)


@given(leaves, st.data())
def test_every_path_leads_to_the_root_and_from_no_other_leaf_or_place(some: list[bytes], data: st.DataObject):
    # given
    index = data.draw(st.integers(0, len(some) - 1))
    path = merkle.path(some, index)
    root = merkle.root(some)
    # then
    assert merkle.climb(some[index], index, len(some), path) == root
    assert merkle.climb(b"\xff" * 31 + b"x", index, len(some), path) != root
    assert merkle.climb(some[index], index, len(some), [*path, b"\0" * 32]) is None
    other = data.draw(st.integers(-1, len(some)))
    if other != index and len(set(some)) == len(some):
        assert merkle.climb(some[index], other, len(some), path) != root


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_a_path_that_is_too_short_leads_nowhere(count: int):
    some = [bytes([number]) * 32 for number in range(count)]
    assert merkle.climb(some[0], 0, count, merkle.path(some, 0)[:-1]) is None

"""Facts in a file: what is whole is read, what is torn or damaged is known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventresults.log import frames
from eventresults.log.frames import Frame, FrameReader, Gap, framed


def read(data: bytes, path: Path) -> list[Frame | Gap]:
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = FrameReader(descriptor, 0)
        found = []
        while (each := reader.read(len(data))) is not None:
            found.append(each)
        return found
    finally:
        os.close(descriptor)


def pairs(found: list[Frame | Gap]) -> list[tuple[bytes, bytes]]:
    return [(each.key, each.value) for each in found if isinstance(each, Frame)]


FACTS = [(b"a", b""), (b"\xff" * 65_535, b"v"), ("schlüssel".encode(), os.urandom(3_000)), (b"", b"x" * 300_000), (b"z", b"last")]
WHOLE = [framed(number, key, value) for number, (key, value) in enumerate(FACTS)]


def test_what_was_written_is_read(tmp_path: Path):
    found = read(b"".join(WHOLE), tmp_path / "f")
    assert pairs(found) == FACTS
    assert [each.number for each in found] == [0, 1, 2, 3, 4]
    assert found[-1].end == sum(map(len, WHOLE))


@pytest.mark.parametrize("left", [1, 3, 4, 21, 22, 25])
def test_a_fact_that_was_torn_off_is_a_torn_gap(tmp_path: Path, left: int):
    found = read(WHOLE[0] + WHOLE[4][:left], tmp_path / "f")
    assert pairs(found) == FACTS[:1]
    assert found[1] == Gap(len(WHOLE[0]), len(WHOLE[0]) + left, torn=True)


@pytest.mark.parametrize("at", [0, 5, 10, 20, 40, 2_000])
def test_a_damaged_fact_is_a_gap_and_those_around_it_are_read(tmp_path: Path, at: int):
    damaged = bytearray(WHOLE[2])
    damaged[at] ^= 0x55
    found = read(WHOLE[0] + bytes(damaged) + WHOLE[3] + WHOLE[4], tmp_path / "f")
    assert pairs(found) == [FACTS[0], FACTS[3], FACTS[4]]
    assert found[1] == Gap(len(WHOLE[0]), len(WHOLE[0]) + len(damaged), torn=False)


def test_a_magic_within_a_value_misleads_nobody(tmp_path: Path):
    value = frames.MAGIC * 10
    data = framed(0, b"k", value)
    found = read(b"?" + data + b"rubbish", tmp_path / "f")
    assert pairs(found) == [(b"k", value)]
    assert [each for each in found if isinstance(each, Gap)] == [Gap(0, 1, torn=False), Gap(1 + len(data), 8 + len(data), torn=False)]


@given(data=st.binary(max_size=200), cut=st.integers(0, 400), hit=st.integers(0, 399), mask=st.integers(0, 255))
def test_whatever_the_bytes_are_every_byte_is_in_a_frame_or_a_gap(tmp_path_factory, data: bytes, cut: int, hit: int, mask: int):
    whole = bytearray(framed(1, b"a", b"1") + data + framed(2, b"b", b"2" * 100))[:cut]
    if hit < len(whole):
        whole[hit] ^= mask
    found = read(bytes(whole), tmp_path_factory.getbasetemp() / "any")
    at = 0
    for each in found:
        if isinstance(each, Gap):
            assert each.start == at
        assert each.end > at
        at = each.end
    assert at == len(whole)

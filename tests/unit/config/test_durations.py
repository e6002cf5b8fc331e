from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventresults.config.durations import seconds, words


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (30, 30), (0.5, 0.5), ("30", 30), ("30s", 30), ("500ms", 0.5), ("5m", 300), ("2h", 7200), ("7d", 604_800), ("1w", 604_800),
        ("1h30m", 5400), ("1.5h", 5400), (" 2 H ", 7200), (timedelta(minutes=1), 60), (0, 0), (-1, -1),
    ],
)  # fmt: skip
def test_a_duration_is_read_as_people_write_it(value, expected):
    assert seconds(value) == expected


@pytest.mark.parametrize("value", ["", "soon", "5 parsecs", "m5", "5mm", "-5m", None, True, float("nan"), float("inf"), "inf", [1]])
def test_what_is_no_duration_says_which_forms_there_are(value):
    with pytest.raises(ValueError, match="write seconds, or 500ms, 30s"):
        seconds(value)


@given(st.integers(0, 10**12))
def test_a_duration_in_words_reads_back(milliseconds):
    assert round(seconds(words(milliseconds / 1000)) * 1000) == milliseconds

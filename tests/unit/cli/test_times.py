from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from eventresults.cli.times import duration, iso, moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T20:44:56Z", datetime(2026, 11, 22, 20, 44, 56, tzinfo=UTC)),
        ("2026-11-22T20:44:56+02:00", datetime(2026, 11, 22, 18, 44, 56, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22 20:44", datetime(2026, 11, 22, 20, 44, tzinfo=UTC)),
    ],
)
def test_a_time_is_iso_and_in_utc_unless_it_says_otherwise(text, expected):
    assert moment(text) == expected


@pytest.mark.parametrize(("text", "ago"), [("2h ago", 7200), ("30s ago", 30), ("1h30m ago", 5400), ("now", 0)])
def test_a_time_may_be_counted_from_now(text, ago):
    expected = datetime.now(UTC) - timedelta(seconds=ago)
    assert abs((moment(text) - expected).total_seconds()) < 5


@pytest.mark.parametrize("text", ["yesterday", "soon ago", "2026-13-01", "", "12"])
def test_what_is_no_time_says_how_to_write_one(text):
    with pytest.raises(typer.BadParameter, match="write"):
        moment(text)


def test_a_duration_takes_units():
    assert duration("5m") == 300
    with pytest.raises(typer.BadParameter, match="30s"):
        duration("a while")


def test_times_are_written_in_utc():
    assert iso(datetime(2026, 11, 22, 20, 44, 56, 123456, tzinfo=UTC)) == "2026-11-22T20:44:56.123Z"
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(None) is None

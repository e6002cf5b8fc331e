"""What a run of the benchmarks found is told rightly."""

import pytest

from benchmarks import report
from benchmarks.figures import Figures, shown
from benchmarks.goals import GOALS, AtLeast, AtMost
from benchmarks.peers.contestants import BYTEWAX_SINK, CONFLUENT
from benchmarks.peers.folds import Folds
from benchmarks.peers.job import Answer

FOLD = "fold from Kafka, confluent, events/s"
LATENCY = "append → callback at 1,000/s, confluent, p50 ms"


def answer(*, wall, checksum="0" * 16):
    return Answer(events=300_000, wall=wall, cpu=wall / 2, checksum=checksum)


def document(tmp_path, figures, folds=None):
    path = tmp_path / "RESULTS.md"
    report.write(report.Run({"python": "3.11"}, 100_000, 3, figures, folds or Folds()), path)
    return path.read_text("utf-8")


def test_a_goal_is_met_at_its_very_figure():
    assert AtLeast(2).met(2)
    assert not AtLeast(2).met(1.99)
    assert AtMost(2).met(2)
    assert not AtMost(2).met(2.01)


def test_a_figure_is_the_median_of_its_rounds_and_stands_beside_its_goal(tmp_path):
    figures = Figures({FOLD: [90_000, 160_000, 155_000], LATENCY: [1.5, 0.9, 1.2]})

    told = document(tmp_path, figures)

    assert f"| {FOLD} | 155,000 (90,000 to 160,000) | ≥ 150,000 | met |" in told
    assert f"| {LATENCY} | 1.20 (0.9 to 1.50) | ≤ 1 | short |" in told


def test_every_goal_is_told_even_when_nothing_was_measured(tmp_path):
    told = document(tmp_path, Figures())

    assert told.count("| not measured |") == len(GOALS)


def test_what_fails_is_told_with_its_reason_and_the_rest_goes_on(tmp_path, capsys):
    figures = Figures()

    def broken():
        yield "one", 1.0
        raise RuntimeError("no broker")

    figures.measure("append", broken)
    figures.measure("startup", lambda: [("two", 2.0)])

    told = document(tmp_path, figures)
    assert "- append: RuntimeError: no broker" in told
    assert "| one | 1.00 |" in told
    assert "| two | 2.00 |" in told


def test_a_peer_stands_beside_ours_by_its_ratio(tmp_path):
    folds = Folds({(CONFLUENT.name, 1): [answer(wall=2.0)] * 3, (BYTEWAX_SINK.name, 1): [answer(wall=4.0)] * 3})

    told = document(tmp_path, Figures(), folds)

    assert f"| {CONFLUENT.name} | 150,000 | 300,000 |  |  |" in told
    assert f"| {BYTEWAX_SINK.name} | 75,000 | 150,000 | 2.00 × | 2.00 × |" in told
    assert "All came to the same final state." in told


def test_who_did_not_do_the_same_work_is_told_by_name(tmp_path):
    folds = Folds(
        {
            (CONFLUENT.name, 1): [answer(wall=2.0), answer(wall=2.0)],
            (BYTEWAX_SINK.name, 1): [answer(wall=4.0), answer(wall=4.0, checksum="f" * 16)],
        }
    )

    assert f"are worth nothing (partitions): {BYTEWAX_SINK.name} (1).**" in document(tmp_path, Figures(), folds)


@pytest.mark.parametrize(("figure", "text"), [(123_456.7, "123,457"), (12.345, "12.35"), (0.12345, "0.123"), (-0.5, "-0.5")])
def test_a_figure_is_shown_with_no_more_digits_than_tell_something(figure, text):
    assert shown(figure) == text

"""Contestants do the same work, and one that cannot is no harm to the others."""

import json
import sys

import pytest

from benchmarks.bench import Bench
from benchmarks.figures import Figures
from benchmarks.peers.contestants import OURS, PEERS, Contestant
from benchmarks.peers.environments import Unavailable
from benchmarks.peers.folds import Race
from benchmarks.peers.job import Job
from benchmarks.peers.sameness import checksum, step
from benchmarks.work import facts


def test_the_work_is_three_events_a_task_in_the_bytes_that_were_agreed():
    work = list(facts(1_500))

    assert len(work) == 4_500
    assert all(200 <= len(fact.value) <= 350 for fact in work)


def test_the_checksum_is_the_same_in_whatever_order_the_rows_come_and_differs_when_one_event_is_missing():
    rows: dict[str, dict] = {}
    for fact in facts(20):
        rows[fact.task_id] = step(rows.get(fact.task_id), json.loads(fact.value))
    whole = checksum(rows.values())
    assert whole == checksum(reversed(rows.values()))

    del rows[next(iter(rows))]["started_at"]
    assert whole != checksum(rows.values())


def test_a_whole_second_is_summed_as_any_other_time():
    row = {"task_id": "x", "sent_at": "2026-11-22T20:44:56Z"}

    assert checksum([row]) == checksum([row | {"sent_at": "2026-11-22T20:44:56.000000Z"}])


def test_all_have_names_of_their_own():
    names = [one.name for one in (*OURS, *PEERS)]

    assert len(set(names)) == len(names)


def test_a_contestant_that_fails_is_missed_by_what_it_said(tmp_path):
    one = Contestant("broken", lambda: [sys.executable, "-c", "raise SystemExit('no such store')"])
    job = Job(bootstrap="127.0.0.1:1", topic="none", partitions=1, events=1, folder=tmp_path)

    with pytest.raises(Unavailable, match="no such store"):
        one.fold(one.prepare(), job)


def test_a_peer_that_cannot_be_installed_is_told_by_name_with_the_reason(capsys):
    def prepare():
        raise Unavailable("it needs java")

    figures = Figures()
    with Bench(10) as bench:
        race = Race(bench, [Contestant("Kafka Streams", prepare)], [1], figures)

    assert figures.missing == {"Kafka Streams": "it needs java"}
    assert not race.folds.answers

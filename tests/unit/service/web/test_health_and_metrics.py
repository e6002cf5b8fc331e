"""Health, and the figures for Prometheus."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eventresults.errors import LogUnavailable, ViewError
from eventresults.log.memory import MemoryLog
from eventresults.projector import Step
from eventresults.service.afresh import rebuild
from eventresults.service.web.health import Health
from eventresults.service.web.metrics import Metrics
from eventresults.service.web.vitals import PartitionVitals, Pulse, Vitals
from eventresults.view.shard import Head
from tests.support.views import tell_life, until
from tests.unit.service.web.conftest import Web, serving


class Steady:
    """A pulse that the test sets."""

    def __init__(self, vitals: Vitals | Exception | None) -> None:
        self.vitals = vitals

    def take(self) -> Vitals | None:
        if isinstance(self.vitals, Exception):
            raise self.vitals
        return self.vitals


def vitals(position: int = 10, end: int | None = 10, trouble: str | None = None) -> Vitals:
    lag = None if end is None else end - position
    return Vitals(3, {0: PartitionVitals(position, 4096, end, lag, None if lag is None else lag / 10)}, trouble)


def health(pulse: Steady, *, max_lag: int = 5, min_free: int = 0, folder: Path | None = None) -> Health:
    return Health(pulse, max_lag=max_lag, min_free=min_free, folder=folder)


def bad(one: Health) -> dict[str, str]:
    return {name: check.found for name, check in one.ready().items() if not check.ok}


def test_a_view_at_the_end_of_its_log_is_ready():
    one = health(Steady(vitals()), folder=Path())
    assert bad(one) == {}
    assert set(one.ready()) == {"view", "caught_up", "lag", "disk"}


def test_a_view_is_not_ready_until_it_was_where_the_log_ended_at_first():
    # given
    pulse = Steady(vitals(7, 10))
    one = health(pulse)
    assert bad(one) == {"caught_up": "3 records to go"}

    # when
    pulse.vitals = vitals(10, 14)

    # then
    assert bad(one) == {}
    pulse.vitals = vitals(10, 15)
    assert bad(one) == {}


def test_a_view_too_far_behind_is_not_ready():
    pulse = Steady(vitals())
    one = health(pulse)
    assert bad(one) == {}
    pulse.vitals = vitals(10, 16)
    assert bad(one) == {"lag": "6 records, of 5 allowed"}


def test_what_holds_the_view_up_is_told():
    assert "held up: disk full" in bad(health(Steady(vitals(trouble="disk full"))))["view"]


def test_a_log_that_cannot_be_asked_is_not_ready():
    assert set(bad(health(Steady(vitals(end=None, trouble="gone"))))) == {"view", "caught_up", "lag"}


def test_a_view_that_cannot_be_opened_is_not_ready():
    assert bad(health(Steady(ViewError("cannot be opened")))) == {"view": "cannot be opened"}


def test_too_little_room_on_the_disk_is_not_ready(tmp_path):
    assert set(bad(health(Steady(vitals()), min_free=2**60, folder=tmp_path / "not" / "yet"))) == {"disk"}


def test_livez_answers_while_nothing_else_can():
    class Gone(MemoryLog):
        def info(self, timeout):
            raise LogUnavailable("gone", url=self.url, reason="gone")

    with serving(Gone()) as web:
        assert web.get("/livez") == {"status": "alive"}
        answer = web.ask("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["view"] == {"ok": False, "found": "gone"}


def test_readyz_of_a_real_view(web: Web):
    tell_life(web.recorder, ["a"])
    web.get("/api/v1/tasks/a")
    assert web.get("/readyz")["status"] == "ready"


# Vitals


def test_vitals_are_those_of_the_owner(web: Web):
    # given
    tell_life(web.recorder, ["a"])
    web.get("/api/v1/tasks/a")

    # when
    found = Pulse(lambda: web.reader.owner, web.log).take()

    # then
    assert found is not None
    assert sum(one.position for one in found.partitions.values()) == 3
    assert found.lag == 0
    assert found.trouble is None
    assert all(one.lag_seconds == 0 for one in found.partitions.values())


class HeldBack(MemoryLog):
    """A log whose readers get nothing while `held`."""

    held = False

    def reader(self, positions):
        log, reader = self, super().reader(positions)
        poll = reader.poll

        def maybe(timeout):
            polled = poll(min(timeout, 0.01))
            if log.held and polled:
                raise LogUnavailable("held", url=log.url, reason="held")
            return polled

        reader.poll = maybe
        return reader


def test_lag_is_told_in_records_and_in_how_long_the_first_of_them_has_waited():
    # given
    log = HeldBack()
    with serving(log) as web:
        web.reader.get("a")
        log.held = True
        position = web.recorder.sent("a", name="n").result(5)
        web.recorder.started("a").result(5)
        record = log.read(position, 1)
        assert record is not None

        # when
        pulse = Pulse(lambda: web.reader.owner, log, clock=lambda: record.log_time / 1000 + 2.5)
        until(lambda: web.reader.owner.view.trouble is not None)
        found = pulse.take()

        # then
        assert found is not None
        assert found.lag == 2
        assert found.partitions[position.partition].lag_seconds == pytest.approx(2.5)
        assert "held" in str(found.trouble)


def test_the_log_is_asked_at_most_once_a_second(web: Web):
    asked = []
    pulse = Pulse(lambda: asked.append(1) or web.reader.owner, web.log)
    for _ in range(20):
        pulse.take()
    assert len(asked) == 1


# Metrics


def figures(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, flags=re.MULTILINE)}


def told(metrics: Metrics) -> dict[str, float]:
    return figures(metrics.text().decode())


def step(before: int, after: int, *, log_id: str = "l", already: dict[str, int] | None = None, **counts: int) -> Step:
    had = already or {}
    total = {name: had.get(name, 0) + number for name, number in counts.items()}
    return Step(0, Head(log_id, 1, before, counts=had), Head(log_id, 1, after, counts={**had, **total}), 0.002, 0.0004)


def test_what_was_folded_rejected_and_repeated_is_counted():
    # given
    metrics = Metrics(Steady(vitals()))

    # when
    metrics.observe(step(0, 5, folded=3, dead=1, duplicate=1, records=5))
    metrics.observe(step(5, 6, folded=1, records=1, already={"folded": 3, "dead": 1, "duplicate": 1, "records": 5}))

    # then
    found = told(metrics)
    assert found['eventresults_folded_events_total{partition="0"}'] == 4
    assert found['eventresults_rejected_events_total{partition="0"}'] == 1
    assert found['eventresults_duplicate_events_total{partition="0"}'] == 1
    assert found['eventresults_projected_records_total{partition="0"}'] == 6
    assert found["eventresults_fold_seconds_count"] == 2
    assert found["eventresults_fold_seconds_sum"] == pytest.approx(0.004)
    assert found['eventresults_commit_seconds_bucket{le="0.0005"}'] == 2


def test_what_is_folded_again_in_another_generation_is_not_counted_again():
    # given
    metrics = Metrics(Steady(vitals()))
    metrics.observe(step(0, 5, folded=5))

    # when
    metrics.observe(step(0, 3, folded=3))
    metrics.observe(step(3, 5, folded=2, already={"folded": 3}))
    metrics.observe(step(5, 7, folded=2, already={"folded": 5}))

    # then
    assert told(metrics)['eventresults_folded_events_total{partition="0"}'] == 7


def test_another_log_is_counted_from_its_beginning():
    metrics = Metrics(Steady(vitals()))
    metrics.observe(step(0, 5, folded=5))
    metrics.observe(step(0, 3, folded=3, log_id="another"))
    assert told(metrics)['eventresults_folded_events_total{partition="0"}'] == 8


def test_where_the_view_stands_is_told():
    found = told(Metrics(Steady(vitals(7, 10))))
    assert found['eventresults_position{partition="0"}'] == 7
    assert found['eventresults_lag_records{partition="0"}'] == 3
    assert found['eventresults_lag_seconds{partition="0"}'] == pytest.approx(0.3)
    assert found['eventresults_view_bytes{partition="0"}'] == 4096
    assert found["eventresults_view_generation"] == 3
    assert found["eventresults_view_up"] == 1


def test_figures_are_told_while_the_view_cannot_be_asked():
    assert told(Metrics(Steady(ViewError("closed"))))["eventresults_view_up"] == 0
    assert told(Metrics(Steady(vitals(trouble="full"))))["eventresults_view_up"] == 0


def test_the_service_tells_of_itself(web: Web):
    answer = web.ask("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = figures(answer.text)
    assert found['eventresults_connections{kind="request"}'] == 1
    assert found['eventresults_connections{kind="stream"}'] == 0
    assert found["eventresults_waiters"] == 0
    assert found["eventresults_watchers"] == 0


def test_what_the_log_was_appended_is_counted_by_its_end():
    found = told(Metrics(Steady(vitals())))
    ends = {key: value for key, value in found.items() if key.startswith("eventresults_appended_events_total")}
    assert ends
    assert all(value > 0 for value in ends.values())


def test_a_rebuild_moves_no_counter(web: Web):
    # given
    owner = web.reader.owner
    if "observer" not in vars(owner):
        pytest.skip("the owner has no observer yet")
    owner.observer = web.metrics.observe
    tell_life(web.recorder, [f"t{n}" for n in range(50)])
    web.get("/api/v1/tasks?freshness=latest")

    def counters() -> dict[str, float]:
        found = told(web.metrics)
        return {name: value for name, value in found.items() if "_total" in name and "events" in name}

    before = counters()
    assert sum(value for name, value in before.items() if "folded" in name) == 150

    # when
    rebuild(owner)
    web.get("/api/v1/tasks?freshness=latest")

    # then
    assert counters() == before


def test_projections_that_failed_are_told_and_a_service_without_any_says_nothing_of_them():
    told = vitals()._replace(projections={("spend", 0): False, ("by-state", 0): True})
    text = Metrics(Steady(told)).text().decode()
    assert 'eventresults_projection_failed{partition="0",projection="spend"} 0.0' in text
    assert 'eventresults_projection_failed{partition="0",projection="by-state"} 1.0' in text
    assert "projection" not in Metrics(Steady(vitals())).text().decode()

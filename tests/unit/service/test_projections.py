"""Projections of a whole view: added, changed, failed, read by other processes."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import pytest

import eventresults
from eventresults.codec import plain
from eventresults.errors import ConfigError, ProjectionFailed, ProjectionUnknown, ViewStale
from eventresults.projector.registered import Registered
from eventresults.service import rebuilding
from eventresults.view import keys
from tests.support.projections import ByState, Spend
from tests.support.views import until

NAME = "spend-by-customer"


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/events.db"


@contextmanager
def connected(url, *projections, **settings):
    with eventresults.connect(url, projections=projections, **settings) as tracker:
        yield tracker


def buy(tracker, customer, cents, *tasks):
    recorder = tracker.recorder()
    for one in tasks:
        recorder.sent(one, kwargs={"customer": customer})
        recorder.succeeded(one, result=cents)


def test_a_read_sees_what_this_process_has_just_written_in_whatever_partition():
    with connected("memory://?partitions=4", Spend(), ByState()) as tracker:
        for number in range(20):
            buy(tracker, "ada", 5, f"t{number}")
            assert tracker.projection(NAME).get("ada") == 5 * (number + 1)
        assert tracker.projection(NAME).get("nobody", 0) == 0
        assert tracker.projection("by-state").get("all") == {"SUCCESS": 20}


def test_all_keys_are_walked_in_pages(monkeypatch):
    monkeypatch.setattr("eventresults.client.projected.PAGE", 3)
    with connected("memory://?partitions=4", Spend()) as tracker:
        for number in range(10):
            buy(tracker, f"c{number}", number, f"t{number}", f"u{number}")
        reader = tracker.projection(NAME)
        assert list(reader.items()) == [(f"c{number}", 2 * number) for number in range(10)]
        assert list(reader.items("c7")) == [("c7", 14)]
        assert reader.page(limit=2, after="c3").items == [("c4", 8), ("c5", 10)]


@pytest.mark.parametrize("before", [[], [Spend(version=1)]])
def test_one_that_is_added_or_changed_is_built_from_the_log_in_a_new_generation(url, before):
    # given
    with connected(url, *before) as tracker:
        buy(tracker, "ada", 5, "a", "b")
        assert tracker.read("b").state == "SUCCESS"
        generation = tracker.view_stats()["generation"]

    # when
    with connected(url, Spend(version=2)) as tracker:
        buy(tracker, "ada", 1, "c")

        # then
        assert tracker.projection(NAME).get("ada") == 11
        until(lambda: tracker.view_stats()["generation"] == generation + 1)
        assert tracker.read("a").state == "SUCCESS"


def test_one_that_stays_as_it_was_is_not_built_again(url):
    for expected in (5, 10):
        with connected(url, Spend()) as tracker:
            buy(tracker, "ada", 5, f"t{expected}")
            assert tracker.projection(NAME).get("ada") == expected
            assert tracker.view_stats()["generation"] == 1


def test_while_it_is_built_its_reads_wait_and_all_others_are_answered(url, monkeypatch):
    monkeypatch.setattr(rebuilding, "RETRY_SECONDS", 0.01)
    with connected(url) as tracker:
        buy(tracker, "ada", 5, "a")
        tracker.read("a")
    with connected(url, Spend()) as tracker:
        # given: somebody else is building the view
        with tracker._place.draft():
            assert tracker.read("a").state == "SUCCESS"

            # when, then
            with pytest.raises(ViewStale, match="'spend-by-customer' is being built from the log"):
                tracker.projection(NAME).get("ada", timeout=0.1)
        assert tracker.projection(NAME).get("ada") == 5


def test_who_watches_is_told_nothing_twice_when_the_view_is_built_anew(url):
    with connected(url) as tracker:
        buy(tracker, "ada", 5, "a")
        tracker.read("a")
    told = []
    with connected(url, Spend()) as tracker:
        subscription = tracker.view.subscribe(["a", "b"], told.append)
        assert tracker.projection(NAME).get("ada") == 5
        buy(tracker, "ada", 5, "b")
        assert tracker.projection(NAME).get("ada") == 10
        subscription.close()
    assert [(change.subject, change.fact.event.kind) for change in told] == [("b", "task-sent"), ("b", "task-succeeded")]


def test_another_process_reads_it_from_the_owner(url):
    with connected(url, Spend()) as owner:
        buy(owner, "ada", 5, "a")
        assert owner.read("a") is not None
        with connected(url, own="never") as reader:
            buy(reader, "bob", 7, "b")
            assert reader.projection(NAME).get("bob") == 7
            assert list(reader.projection(NAME).items()) == [("ada", 5), ("bob", 7)]
            assert reader.projection(NAME).page(limit=1).after == "ada"
            with pytest.raises(ProjectionUnknown, match="no projection 'other'"):
                reader.projection("other").get("x")
        with connected(url, Spend(version=2), own="never") as reader, pytest.raises(ProjectionUnknown, match="runs version 1"):
            reader.projection(NAME).get("ada")


def test_an_owner_that_does_not_have_it_says_so_and_keeps_it_up_no_more(url, caplog):
    with connected(url, Spend()) as tracker:
        buy(tracker, "ada", 5, "a")
        assert tracker.projection(NAME).get("ada") == 5
    with connected(url) as tracker:
        buy(tracker, "ada", 5, "b")
        assert tracker.read("b").state == "SUCCESS"
        with pytest.raises(ProjectionUnknown, match="it runs: none"):
            tracker.projection(NAME).get("ada")
        assert caplog.text.count("goes on without the projection spend-by-customer") == 1
    with connected(url, Spend()) as tracker:
        assert tracker.projection(NAME).get("ada") == 10


def test_one_that_failed_goes_on_once_the_view_is_rebuilt_or_its_version_is_raised(url, caplog):
    with connected(url, Spend()) as tracker:
        buy(tracker, "ada", 5, "a")
        tracker.recorder().succeeded("no-customer", result=1)
        assert tracker.read("no-customer").state == "SUCCESS"
        with pytest.raises(ProjectionFailed, match="failed at 0:2: TypeError"):
            tracker.projection(NAME).get("ada")
        with connected(url, own="never") as reader, pytest.raises(ProjectionFailed) as caught:
            reader.projection(NAME).get("ada")
        assert (caught.value.name, caught.value.position) == (NAME, "0:2")

        # mended
        monkey = Spend.key
        try:
            Spend.key = lambda self, transition: monkey(self, transition) if (transition.after and transition.after.kwargs) else None
            with pytest.raises(ProjectionFailed):
                tracker.projection(NAME).get("ada")
            tracker.rebuild()
            assert tracker.projection(NAME).get("ada") == 5
        finally:
            Spend.key = monkey
    assert "failed at 0:2" in caplog.text


def test_a_snapshot_brings_it_along(url, tmp_path):
    with connected(url, Spend()) as tracker:
        buy(tracker, "ada", 5, "a")
        assert tracker.projection(NAME).get("ada") == 5
        tracker.snapshot(tmp_path / "snapshots")
        buy(tracker, "ada", 5, "b")
        tracker.restore(tmp_path / "snapshots")
        assert until(lambda: tracker.projection(NAME).get("ada")) == 10


def test_verifying_a_view_compares_them_too(url):
    with connected(url, Spend()) as tracker:
        buy(tracker, "ada", 5, "a")
        buy(tracker, "bob", 7, "b")
        assert tracker.projection(NAME).get("ada") == 5
        assert tracker.verify() == []

        shard = tracker.view.owner.view.shard(0)
        shard._store.commit({keys.projected(NAME, "ada"): plain.pack(6), keys.projected(NAME, "eve"): plain.pack(1)})

        found = tracker.verify()
        assert sorted((one.subject, one.field, one.live, one.fresh) for one in found) == [
            (f"{NAME}/ada", "projection", 6, 5),
            (f"{NAME}/eve", "projection", 1, None),
        ]
        # who does not have it cannot say
        with connected(url) as other:
            assert other.verify() == []


# Which a process has


def test_settings_name_them_by_import_path(url, monkeypatch):
    monkeypatch.setenv("EVENTRESULTS_PROJECTIONS", "tests.support.projections:SPEND")
    with eventresults.connect(url) as tracker:
        buy(tracker, "ada", 5, "a")
        assert tracker.projection(NAME).get("ada") == 5


def test_connect_takes_objects_and_import_paths_together():
    with eventresults.connect("memory://", projections=[ByState(), "tests.support.projections:SPEND"]) as tracker:
        buy(tracker, "ada", 5, "a")
        assert tracker.projection(NAME).get("ada") == 5
        assert tracker.projection("by-state").get("all") == {"SUCCESS": 1}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package that brings a projection."""
    (tmp_path / "shop-1.0.dist-info").mkdir()
    (tmp_path / "shop-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    entry = "[eventresults.projections]\nspend = tests.support.projections:SPEND\n"
    (tmp_path / "shop-1.0.dist-info" / "entry_points.txt").write_text(entry)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


def test_installed_packages_bring_them_by_entry_point(installed):
    assert [one.name for one in Registered()()] == [NAME]


def test_one_that_is_given_takes_the_place_of_an_installed_one(installed):
    mine = Spend(version=9)
    assert Registered([mine])() == (mine,)
    assert Registered([mine]).get(NAME) is mine


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nonsense", "write module:object"),
        ("no.such.module:X", "ModuleNotFoundError"),
        ("tests.support.projections:NOPE", "AttributeError"),
        ("tests.support.projections:Spend", "pass an instance"),
    ],
)
def test_one_that_cannot_be_loaded_says_why(path, says):
    with pytest.raises(ConfigError, match=says):
        Registered(paths=[path])()


def test_one_that_cannot_be_run_is_refused_by_connect():
    with pytest.raises(ConfigError, match="no projection"):
        eventresults.connect("memory://", projections=[object()])

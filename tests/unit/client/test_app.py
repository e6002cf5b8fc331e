from __future__ import annotations

import contextvars
import threading

import pytest

from eventresults.client import joins
from eventresults.client.app import backend_of, current_app, set_current, unset_current, url_of
from eventresults.client.asyncresult import AsyncResult
from eventresults.errors import ConfigError, WouldBlock


class Tracker:
    def __init__(self, backend):
        self.backend = backend
        self.url = "kafka://h/t"


def test_the_latest_app_is_the_current_one_until_it_is_taken_back(backend):
    one, other = Tracker(backend), Tracker(backend)
    set_current(one)
    set_current(other)
    try:
        assert current_app() is other
        unset_current(one)
        unset_current(one)
        assert current_app() is other
        set_current(one)
        assert current_app() is one
        unset_current(one)
        assert current_app() is other
    finally:
        unset_current(one)
        unset_current(other)


def test_without_an_app_the_error_says_what_to_do():
    with pytest.raises(ConfigError, match=r"eventresults\.connect"):
        current_app()


def test_the_backend_of_a_tracker_of_a_backend_and_of_a_celery_app(backend):
    class CeleryBackend:
        tracker = Tracker(backend)

    class CeleryApp:
        backend = CeleryBackend()

    assert backend_of(Tracker(backend)) is backend
    assert backend_of(backend) is backend
    assert backend_of(CeleryApp()) is backend
    assert url_of(CeleryApp()) == "kafka://h/t"
    assert url_of(Tracker(backend)) == "kafka://h/t"
    assert url_of(object()) is None
    assert AsyncResult("t", backend=CeleryBackend()).backend is backend
    with pytest.raises(ConfigError, match="no tracker"):
        backend_of(object())


def test_a_subclass_may_name_its_app(backend):
    class Bound(AsyncResult):
        app = Tracker(backend)

    assert Bound("t").backend is backend
    assert Bound("t").app is Bound.app


def test_nothing_is_attached_before_it_is_used(backend):
    result = AsyncResult("t")
    assert AsyncResult.app is None
    assert AsyncResult.backend is None
    assert vars(result) == {"id": "t"}

    other = AsyncResult("t", backend=backend)
    assert other.app is backend


def test_the_mark_of_a_task_stays_in_its_context():
    seen = []
    with joins.denied_join_result():
        assert joins.task_join_will_block()
        thread = threading.Thread(target=lambda: seen.append(joins.task_join_will_block()), name="test-other")
        thread.start()
        thread.join(5)
        seen.append(contextvars.copy_context().run(joins.task_join_will_block))
        with joins.allow_join_result():
            joins.assert_will_not_block()
        with pytest.raises(WouldBlock):
            joins.assert_will_not_block()
    assert not joins.task_join_will_block()
    assert seen == [False, True]


def test_the_mark_is_put_back_after_an_exception():
    with pytest.raises(KeyError), joins.denied_join_result():
        raise KeyError
    assert not joins.task_join_will_block()


def test_another_holder_of_the_mark_can_be_shared():
    class Flag:
        value = False

        def get(self):
            return self.value

        def set(self, value):
            self.value = value

    flag = Flag()
    joins.share_flag(flag)
    with joins.denied_join_result():
        assert flag.value
    flag.value = True
    with pytest.raises(WouldBlock):
        joins.assert_will_not_block()
    with joins.allow_join_result():
        joins.assert_will_not_block()
        assert not flag.value
    flag.value = False
    with joins.inside_task():
        assert joins.task_join_will_block()
        assert not flag.value

"""The future of an append is a Future in all that its users can see."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, InvalidStateError, ThreadPoolExecutor, as_completed, wait
from concurrent.futures import TimeoutError as FutureTimeoutError

import pytest

from eventresults.domain.position import Position
from eventresults.errors import LogError
from eventresults.log.appends import Append

HERE = Position(0, 1)


def settled(outcome: Position | Exception = HERE) -> Append:
    future = Append()
    future.settle(outcome)
    return future


def test_it_gives_its_position_or_raises_its_error() -> None:
    assert (settled().result(), settled().exception()) == (HERE, None)
    failed = settled(LogError("why"))
    assert isinstance(failed.exception(0), LogError)
    with pytest.raises(LogError, match="why"):
        failed.result(0)


def test_before_it_is_done_it_waits_for_as_long_as_it_was_told() -> None:
    future = Append()
    assert (future.done(), future.running(), future.cancelled()) == (False, True, False)
    began = time.monotonic()
    with pytest.raises(FutureTimeoutError):
        future.result(0.05)
    with pytest.raises(FutureTimeoutError):
        future.exception(0.0)
    assert time.monotonic() - began >= 0.05
    future.settle(HERE)
    assert (future.done(), future.running(), future.result(0)) == (True, False, HERE)


def test_a_waiter_is_woken() -> None:
    future = Append()
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(future.result, 30) for _ in range(3)]
        while len(future._condition._waiters) < 3:
            time.sleep(0.001)
        future.settle(HERE)
        assert [each.result(30) for each in waiting] == [HERE] * 3


def test_it_is_settled_once() -> None:
    future = settled()
    with pytest.raises(InvalidStateError):
        future.set_result(Position(0, 2))
    with pytest.raises(InvalidStateError):
        future.set_exception(LogError("late"))
    future.settle(LogError("late"))
    assert future.result() == HERE
    assert not future.cancel()


def test_callbacks_are_called_once_in_order_before_or_after() -> None:
    future, called = Append(), []
    future.add_done_callback(lambda done: called.append(("first", done)))
    future.add_done_callback(lambda done: called.append(("second", done)))
    future.settle(HERE)
    future.add_done_callback(lambda done: called.append(("late", done)))
    assert called == [("first", future), ("second", future), ("late", future)]


def test_a_callback_that_raises_is_logged_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("in a callback")

    future, called = Append(), []
    future.add_done_callback(fail)
    future.add_done_callback(called.append)
    with caplog.at_level(logging.ERROR):
        future.settle(HERE)
        future.add_done_callback(fail)
    assert called == [future]
    assert caplog.text.count("RuntimeError: in a callback") == 2


def test_it_can_be_waited_for_among_others() -> None:
    done, pending = settled(), Append()
    assert wait([done, pending], timeout=0.01) == ({done}, {pending})
    assert wait([done, pending], return_when=FIRST_COMPLETED).done == {done}
    failed = settled(LogError("why"))
    assert failed in wait([failed, pending], return_when=FIRST_EXCEPTION).done
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: list(as_completed([done, pending], timeout=30)))
        while not pending._waiters:
            time.sleep(0.001)
        pending.settle(HERE)
        assert waiting.result(30) == [done, pending]


def test_it_can_be_awaited() -> None:
    async def append() -> Position:
        future = Append()
        threading.Timer(0.01, future.settle, (HERE,)).start()
        return await asyncio.wait_for(asyncio.wrap_future(future), 30)

    assert asyncio.run(append()) == HERE


def test_it_says_what_it_is() -> None:
    assert "pending" in repr(Append())
    assert "finished" in repr(settled())
    with pytest.raises(AttributeError):
        Append().nothing  # type: ignore[attr-defined] # noqa: B018


def test_settling_waiting_and_adding_callbacks_at_once_loses_nothing() -> None:
    # given many futures, each settled by one thread while another waits and a third adds a callback
    futures, called = [Append() for _ in range(2_000)], []
    begin = threading.Barrier(4)

    def act(do: object) -> None:
        begin.wait(30)
        for future in futures:
            do(future)  # type: ignore[operator]

    acts = [
        lambda future: future.settle(HERE),
        lambda future: future.result(30),
        lambda future: future.add_done_callback(called.append),
        lambda future: wait([future], timeout=30),
    ]
    # when
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, acts))
    # then
    assert sorted(map(id, called)) == sorted(map(id, futures))


def test_many_are_settled_each_as_if_alone() -> None:
    # given: one that nobody looks at, one waited for, one with a callback, one settled before
    plain, waited_for, told, before = Append(), Append(), Append(), settled(Position(0, 7))
    called = []
    told.add_done_callback(called.append)
    failure = LogError("why")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waited_for.result, 30)
        while waited_for._made is None:
            time.sleep(0.001)

        # when
        Append.settle_all([(plain, HERE), (waited_for, HERE), (told, failure), (before, HERE)])

        # then
        assert waiting.result(30) == HERE
    assert (plain.outcome, told.outcome, before.outcome) == (HERE, failure, Position(0, 7))
    assert called == [told]

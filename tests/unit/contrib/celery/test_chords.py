"""Chords: parts are counted in log order, and the body is sent once, by whoever completed the count, or by who comes after them."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from celery import chain, chord, group, signals
from celery.exceptions import ChordError

from eventresults.contrib.celery.rescue import Rescuer
from eventresults.domain.events import GroupDispatched, GroupDispatching
from eventresults.recorder import Recorder
from tests.support.celerybench import Bench, bench
from tests.support.views import until

SIZED, PART, CLAIMED, SENT = "group-sized", "part", "group-dispatching", "group-dispatched"


@pytest.fixture
def desk():
    with bench() as desk:
        yield desk


class Killed(BaseException):
    """The process ends here."""


def killed_when(signal, name="total"):
    """Die whenever this signal is sent for a message of this task."""

    def die(sender=None, **_):
        if sender == name:
            raise Killed

    signal.connect(die, weak=False)
    return lambda: signal.disconnect(die)


def brief(claim_timeout: float) -> dict[str, object]:
    """Settings by which a claim ends soon: else it holds for as long as publishing may be retried."""
    options = {"claim_timeout": claim_timeout}
    return {"result_backend_transport_options": options, "broker_connection_timeout": 0.01, "task_publish_retry": False}


def begun(desk: Bench, count: int = 3, body=None):
    """A chord of this many additions, sent: its result, and what was sent."""
    result = chord([desk.add.s(number, number) for number in range(count)], app=desk.app)(body or desk.total.s())
    return result, desk.sent()


def claim(desk: Bench, group_id: str, *, seconds: float, by: str = "another") -> None:
    until = Recorder.now() + timedelta(seconds=seconds)
    desk.backend.record(GroupDispatching(group_id=group_id, time=Recorder.now(), by=by, until=until))


def end_claim(desk: Bench, group_id: str) -> None:
    """The claim's time is over."""
    claim(desk, group_id, seconds=-1, by=desk.group(group_id).claim["by"])


# Without a crash


def test_the_last_part_sends_the_body_with_all_values_in_order_of_the_header(desk: Bench):
    # given
    result, parts = begun(desk, 5)

    # when
    for request in reversed(parts):
        assert desk.sent() == []
        desk.succeed(request)

    # then
    [body] = desk.sent()
    assert (body.id, body.args) == (result.id, [[0, 2, 4, 6, 8]])
    assert (body.parent_id, body.root_id) == (parts[0].id, parts[0].id)
    assert desk.kinds(result.parent.id) == [SIZED, SIZED, *[PART] * 5, CLAIMED, SENT]
    assert desk.group(result.parent.id).dispatched == result.id
    assert desk.backend.tracker.read(result.id).previous_id == result.parent.id


def test_the_values_come_as_they_arrived_when_the_order_is_not_asked_for():
    with bench(result_backend_transport_options={"result_chord_ordered": False}) as desk:
        _, parts = begun(desk, 3)

        for request in reversed(parts):
            desk.succeed(request)

        [body] = desk.sent()
        assert body.args == [[4, 2, 0]]


def test_parts_that_end_together_send_the_body_once(desk: Bench):
    # given
    result, parts = begun(desk, 16)
    start = threading.Barrier(8)

    def work(mine):
        start.wait()
        for request in mine:
            desk.succeed(request)

    # when
    threads = [threading.Thread(target=work, args=(parts[at::8],)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # then
    [body] = desk.sent()
    assert body.args == [[2 * number for number in range(16)]]
    assert desk.kinds(result.parent.id).count(CLAIMED) == 1


def test_a_part_that_comes_again_counts_once_before_and_after_the_body_was_sent(desk: Bench):
    # given
    result, parts = begun(desk, 2)

    # when
    desk.succeed(parts[0])
    desk.succeed(parts[0], 99)
    assert desk.sent() == []
    desk.succeed(parts[1])
    desk.succeed(parts[1])

    # then
    [body] = desk.sent()
    assert body.args == [[0, 2]]
    assert desk.kinds(result.parent.id).count(SENT) == 1


def test_an_ignored_result_is_kept_as_a_part_alone(desk: Bench):
    # given
    result, parts = begun(desk, 1)

    # when
    desk.backend.mark_as_done(parts[0].id, 7, request=parts[0], store_result=False)

    # then
    [body] = desk.sent()
    assert body.args == [[7]]
    assert desk.backend.get_state(parts[0].id) == "PENDING"
    assert desk.group(result.parent.id).parts[f"{parts[0].id}/0"][0] == "SUCCESS"


def test_a_size_that_comes_after_the_parts_sends_the_body(desk: Bench):
    # given: parts that were faster than who sent them
    result, parts = begun(desk, 2)
    for request in parts:
        request.group = "other"
    body = desk.total.s().set(task_id="body")
    desk.backend.apply_chord(("other", []), body)
    for request in parts:
        desk.succeed(request)
    assert desk.sent() == []

    # when
    desk.backend.set_chord_size("other", 2)

    # then
    [sent] = desk.sent()
    assert (sent.id, sent.args, sent.parent_id) == ("body", [[0, 2]], parts[1].id)
    assert result.id != "body"


def test_a_frozen_chord_that_is_applied_again_runs_again_also_when_its_first_parts_are_faster_than_its_size(desk: Bench):
    # given
    frozen = chord([desk.add.s(1, 1), desk.add.s(2, 2)], desk.total.s(), app=desk.app)
    frozen.freeze()
    first = frozen.apply_async()
    for request in desk.sent():
        desk.succeed(request)
    assert [body.args for body in desk.sent()] == [[[2, 4]]]

    # when: the first task of the next run ends before its last is sent
    sized, heard = desk.backend.set_chord_size, []

    def late(group_id, size):
        early = desk.sent()
        heard.extend(early)
        for request in early:
            desk.succeed(request, 10)
        return sized(group_id, size)

    desk.backend.set_chord_size = late
    again = frozen.apply_async()
    for request in desk.sent():
        desk.succeed(request, 20)

    # then
    assert len(heard) == 1
    assert again.parent.id == first.parent.id
    assert [body.args for body in desk.sent()] == [[[10, 20]]]
    assert desk.group(first.parent.id).run == 1


def test_a_task_that_joins_is_waited_for(desk: Bench):
    # given
    result, parts = begun(desk, 2)
    joining = desk.add.s(5, 5).set(group_id=result.parent.id, group_index=1, chord=parts[0].chord)
    desk.backend.add_to_chord(result.parent.id, joining.freeze())

    # when / then
    for request in parts:
        desk.succeed(request)
    assert desk.sent() == []
    joining.delay()
    [added] = desk.sent()
    desk.succeed(added)
    [body] = desk.sent()
    assert body.args == [[0, 2, 10]]


def test_a_header_with_groups_within_keeps_its_form(desk: Bench):
    # given
    header = [desk.add.s(1, 1), chain(desk.add.s(2, 2), group(desk.add.s(1), desk.add.s(2)))]
    chord(header, app=desk.app)(desk.echo.s())
    for request in desk.sent():
        if request.chain:
            [step] = request.chain
            desk.app.signature(step).apply_async((4,))
        else:
            desk.succeed(request)

    # when
    inner = desk.sent()
    assert len(inner) == 2
    for request in reversed(inner):
        desk.succeed(request)

    # then
    [body] = desk.sent()
    assert body.args == [[2, [5, 6]]]


def test_a_header_that_is_made_while_it_is_sent_is_not_unrolled_early(desk: Bench):
    # given
    made = []

    def header():
        for number in range(6):
            made.append(number)
            yield desk.add.s(number, 0)

    begin, seen = desk.backend.apply_chord, []

    def told(*args, **kwargs):
        seen.append(len(made))
        begin(*args, **kwargs)
        seen.append(len(made))

    desk.backend.apply_chord = told

    # when
    chord(header(), app=desk.app)(desk.total.s())

    # then
    assert seen[0] == seen[1] < 6
    for request in desk.sent():
        desk.succeed(request)
    [body] = desk.sent()
    assert body.args == [[0, 1, 2, 3, 4, 5]]


def test_a_chord_in_the_header_of_another_returns_its_body_to_it(desk: Bench):
    # given
    inner = chord([desk.add.s(1, 1), desk.add.s(2, 2)], desk.total.s(), app=desk.app)
    outer = chord([inner, desk.add.s(3, 3)], app=desk.app)(desk.echo.s())

    # when
    while requests := desk.sent():
        for request in requests:
            if request.id == outer.id:
                assert request.args == [[6, 6]]
                return
            desk.succeed(request, sum(request.args[0]) if request.task == "total" else None)

    # then
    pytest.fail("the outer body was not sent")


def test_group_facts_live_as_long_as_chords_are_to():
    with bench(result_chord_expires=60, result_expires=3600) as desk:
        result, _ = begun(desk)

        facts = desk.backend.home.reader.history(result.parent.id)
        assert {fact.event.result_expires for fact in facts} == {60}


# Failing


def test_a_failing_part_fails_the_body_once_all_have_ended_and_calls_errbacks(desk: Bench):
    # given
    heard = []

    @desk.app.task(name="errback", shared=False)
    def errback(request, error, traceback):
        heard.append((request.id, type(error)))

    result, parts = begun(desk, 3, desk.total.s().on_error(errback.s()))

    # when
    desk.fail(parts[0], ValueError("broken"))
    desk.succeed(parts[1])
    assert desk.backend.get_state(result.id) == "PENDING"
    desk.succeed(parts[2])

    # then
    assert desk.sent() == []
    error = desk.backend.get_result(result.id)
    assert isinstance(error, ChordError)
    assert "broken" in str(error)
    assert heard == [(result.id, ChordError)]
    assert desk.kinds(result.parent.id)[-2:] == [CLAIMED, SENT]

    desk.succeed(parts[2])
    assert len(heard) == 1


def test_what_is_chained_behind_a_body_fails_with_it(desk: Bench):
    # given
    last = chain(group(desk.add.s(1, 1), desk.add.s(2, 2)), desk.total.s(), desk.echo.s(), app=desk.app).apply_async()
    parts = desk.sent()

    # when
    for request in parts:
        desk.fail(request, KeyError("gone"))

    # then
    assert desk.backend.get_state(last.id) == "FAILURE"
    assert desk.sent() == []


def test_a_body_that_cannot_be_sent_fails_and_is_not_tried_for_ever(desk: Bench):
    # given
    result, parts = begun(desk, 1, desk.total.s().set(serializer="nobody knows"))

    # when
    desk.succeed(parts[0])

    # then
    error = desk.backend.get_result(result.id)
    assert isinstance(error, ChordError)
    assert "Callback error" in str(error)
    assert desk.kinds(result.parent.id)[-1] == SENT


# After a crash


@pytest.mark.parametrize(("dies", "copies"), [(signals.before_task_publish, 1), (signals.after_task_publish, 2)], ids=["before", "after"])
def test_who_dies_holding_a_claim_is_followed_once_it_has_ended(desk: Bench, dies, copies):
    # given
    result, parts = begun(desk, 2)
    desk.succeed(parts[0])
    revive = killed_when(dies)
    with pytest.raises(Killed):
        desk.succeed(parts[1])
    revive()
    rescuer = Rescuer(desk.backend)

    # when: the claim holds
    rescuer.look()
    assert desk.kinds(result.parent.id)[-1] == CLAIMED

    # when: it has ended
    end_claim(desk, result.parent.id)
    rescuer.look()

    # then: the same body, in the name of the task whose part was the last
    bodies = desk.sent()
    assert [(body.id, body.args, body.parent_id) for body in bodies] == [(result.id, [[0, 2]], parts[1].id)] * copies
    assert desk.kinds(result.parent.id)[-2:] == [CLAIMED, SENT]
    rescuer.look()
    assert desk.sent() == []


def test_the_next_look_is_when_the_first_claim_ends_or_half_a_lease_later(desk: Bench):
    # given
    result, parts = begun(desk, 1)
    rescuer = Rescuer(desk.backend)
    assert 15 <= rescuer.look() <= 18

    # when
    claim(desk, result.parent.id, seconds=5)
    desk.succeed(parts[0])

    # then
    assert rescuer.look() <= 6


def test_a_claim_holds_for_as_long_as_publishing_may_be_retried():
    with bench(**brief(0.3) | {"broker_connection_timeout": 20, "task_publish_retry": True}) as desk:
        # given
        result, parts = begun(desk, 1)
        revive = killed_when(signals.before_task_publish)
        before = Recorder.now()
        with pytest.raises(Killed):
            desk.succeed(parts[0])
        revive()

        # then: four attempts to connect, and one more for the broker's word
        held = desk.group(result.parent.id).claim["until"] - before
        assert 100 <= held.total_seconds() <= 103


def test_who_dies_before_claiming_is_followed_at_once(desk: Bench):
    # given: parts that were recorded by processes which were no more when these had been folded
    result, parts = begun(desk, 2)
    dispatch = desk.backend._dispatch_if_last
    desk.backend._dispatch_if_last = lambda *_: None
    for request in parts:
        desk.succeed(request)
    desk.backend._dispatch_if_last = dispatch
    assert desk.sent() == []

    # when
    Rescuer(desk.backend).look()

    # then
    [body] = desk.sent()
    assert (body.id, body.args, body.parent_id, body.root_id) == (result.id, [[0, 2]], parts[1].id, parts[1].id)


def test_who_completed_the_count_leaves_the_body_to_who_claimed_it_before(desk: Bench):
    # given
    result, parts = begun(desk, 1)
    claim(desk, result.parent.id, seconds=30)

    # when
    desk.succeed(parts[0])
    Rescuer(desk.backend).look()

    # then
    assert desk.sent() == []


def test_of_many_that_look_at_once_one_sends_the_body(desk: Bench):
    # given
    result, parts = begun(desk, 1)
    claim(desk, result.parent.id, seconds=30)
    desk.succeed(parts[0])
    end_claim(desk, result.parent.id)

    # when
    rescuers = [threading.Thread(target=Rescuer(desk.backend).look) for _ in range(6)]
    for thread in rescuers:
        thread.start()
    for thread in rescuers:
        thread.join()

    # then
    assert [body.id for body in desk.sent()] == [result.id]


def test_a_failed_chord_that_was_left_is_told_to_have_failed(desk: Bench):
    # given
    result, parts = begun(desk, 1)
    claim(desk, result.parent.id, seconds=30)
    desk.fail(parts[0], ValueError("broken"))
    assert desk.backend.get_state(result.id) == "PENDING"
    end_claim(desk, result.parent.id)

    # when
    Rescuer(desk.backend).look()

    # then
    assert isinstance(desk.backend.get_result(result.id), ChordError)


def test_a_worker_looks_from_its_start_to_its_end():
    with bench(**brief(0.2)) as desk:
        # given
        rescuer = Rescuer(desk.backend)
        rescuer.start()

        # when
        _, parts = begun(desk, 1)
        revive = killed_when(signals.before_task_publish)
        with pytest.raises(Killed):
            desk.succeed(parts[0])
        revive()

        # then
        assert [body.args for body in until(desk.sent)] == [[[0]]]
        rescuer.stop()
        assert "eventresults-chords" not in {thread.name for thread in threading.enumerate()}


def test_a_task_that_succeeded_before_it_was_delivered_again_records_its_part_again(desk: Bench):
    # given: a worker that died between the result and the part
    _, parts = begun(desk, 1)
    desk.backend.store_result(parts[0].id, 5, "SUCCESS", request=parts[0])
    rescuer = Rescuer(desk.backend)
    rescuer.start()

    # when
    rescuer.repeat(parts[0])

    # then
    assert [body.args for body in until(desk.sent)] == [[[5]]]
    rescuer.stop()


def test_a_group_that_was_seen_to_is_claimed_no_more(desk: Bench):
    # given
    result, parts = begun(desk, 1)
    desk.succeed(parts[0])
    desk.sent()
    desk.backend.record(GroupDispatched(group_id=result.parent.id, time=Recorder.now()))

    # when
    Rescuer(desk.backend).look()

    # then
    assert desk.sent() == []
    assert desk.kinds(result.parent.id).count(CLAIMED) == 1


def test_a_chord_whose_body_is_not_in_the_log_is_left_to_its_parts_which_is_said_once(desk: Bench, caplog):
    # given: a body that cannot be recorded, and a part whose worker died
    desk.backend.set_chord_size("g", 1)
    desk.backend._dispatch_if_last = lambda *_: None
    _, [part] = begun(desk, 1)
    part.group = "g"
    desk.succeed(part)
    rescuer = Rescuer(desk.backend)

    # when
    rescuer.look()
    rescuer.look()

    # then
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["the chord g cannot be seen to by this worker"]
    assert desk.kinds("g") == [SIZED, PART]


def test_a_part_that_cannot_be_followed_by_the_body_raises_nothing(desk: Bench, caplog):
    # given
    _, [part] = begun(desk, 1)
    part.chord = "no signature"

    # when
    desk.succeed(part)

    # then
    assert "is left to another worker" in caplog.text
    assert desk.sent() == []


def test_with_an_outbox_the_body_is_sent_once_the_parts_were_forwarded(tmp_path):
    with bench(result_backend_transport_options={"outbox": str(tmp_path)}) as desk:
        # given
        result, parts = begun(desk, 3)

        # when
        for request in parts:
            desk.succeed(request)

        # then
        [body] = until(desk.sent)
        assert (body.id, body.args) == (result.id, [[0, 2, 4]])
        until(lambda: desk.group(result.parent.id).dispatched)

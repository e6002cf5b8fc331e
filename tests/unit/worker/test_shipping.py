from __future__ import annotations

import threading

import pytest

from eventresults.errors import NotPicklable
from eventresults.worker import shipping
from eventresults.worker.job import Call
from tests.support import tasks


def test_a_call_travels_by_reference():
    call = shipping.unpack_call(shipping.pack_call(Call(tasks.add, (1,), {"y": 2}), "add"), "add")
    assert call.fn is tasks.add
    assert call.make() == 3


@pytest.mark.parametrize("call", [Call(lambda: 1), Call(tasks.add, (threading.Lock(), 1))])
def test_a_call_that_cannot_travel_is_refused_with_advice(call):
    with pytest.raises(NotPicklable, match="top level of a module") as caught:
        shipping.pack_call(call, "the.name")
    assert caught.value.what == "the.name"
    assert isinstance(caught.value, TypeError)


def test_a_call_that_cannot_be_found_on_the_other_side_says_so():
    with pytest.raises(NotPicklable, match="__main__"):
        shipping.unpack_call(b"c__main__\nnot_there\n.", "the.name")


def test_a_value_that_cannot_travel_says_whose_it_is():
    with pytest.raises(NotPicklable, match="What it returned is a lock"):
        shipping.pack_value(threading.Lock(), "What it returned")
    with pytest.raises(NotPicklable, match="cannot be rebuilt"):
        shipping.unpack_value(shipping.pack_value(tasks.Shapeless(), "What it returned"), "What it returned")

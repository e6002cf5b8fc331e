"""The contracts shipped for projections: ours keep them, and what breaks a rule is found."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from eventresults.testing.projections import MergingProjectionContract, ProjectionContract, histories
from tests.support.projections import ByState, Spend


def purchases():
    return histories(kwargs=st.fixed_dictionaries({"customer": st.sampled_from(["ada", "bob"])}), results=st.integers(0, 10_000))


class TestSpend(MergingProjectionContract):
    @pytest.fixture
    def projection(self):
        return Spend()

    def histories(self):
        return purchases()


class TestByState(MergingProjectionContract):
    @pytest.fixture
    def projection(self):
        return ByState()


class Attempts:
    """Keyed by task: there is nothing to merge."""

    name, version = "attempts", 1

    def key(self, transition) -> str:
        return transition.event.subject

    def apply(self, state, transition) -> Any:
        return [*(state or []), transition.event.kind]

    def merge(self, one, other):
        raise NotImplementedError


class TestAttempts(ProjectionContract):
    @pytest.fixture
    def projection(self):
        return Attempts()


# What breaks a rule


class Mutating(Attempts):
    def apply(self, state, transition):
        state = [] if state is None else state
        state.append(transition.event.kind)
        return state


class Counting(Attempts):
    def __init__(self):
        self.calls = 0

    def apply(self, state, transition):
        self.calls += 1
        return self.calls


class Typed(Attempts):
    def apply(self, state, transition):
        return (1, 2)


class Subtracting(Spend):
    def merge(self, one, other):
        return one - other


class Halving(Spend):
    def merge(self, one, other):
        return (one + other) / 2


def suite(contract, made):
    class Suite(contract):
        def histories(self):
            return purchases()

    return Suite(), made()


@pytest.mark.parametrize(
    ("made", "broken", "says"),
    [
        (Mutating, "test_it_depends_on_its_arguments_alone_and_changes_none_of_them", "changed the state"),
        (Counting, "test_it_depends_on_its_arguments_alone_and_changes_none_of_them", "another answer"),
        (Typed, "test_it_fails_on_no_history", "ValueNotEncodable"),
        (Subtracting, "test_it_does_not_matter_in_which_order_partials_are_merged", None),
        (Halving, "test_it_does_not_matter_in_which_order_partials_are_merged", None),
    ],
)
def test_what_breaks_a_rule_is_found(made, broken, says):
    tests, projection = suite(MergingProjectionContract, made)
    with pytest.raises(AssertionError, match=says):
        for _ in range(10):  # what one run of hypothesis happens to miss, the next finds
            getattr(tests, broken)(projection)

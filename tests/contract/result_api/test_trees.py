"""Children and parents: trees of results, given or restored from the log."""

from __future__ import annotations

import pytest

from eventresults import (
    GroupResult,
    IncompleteStream,
)
from tests.support.collected import SOON

# trees


def child_tuples(*results):
    return [result.as_tuple() for result in results]


@pytest.fixture
def tree(tracker, recorder):
    """top -> (left -> group(leaf1, leaf2), right)."""
    left, right = tracker.AsyncResult("left"), tracker.AsyncResult("right")
    group = tracker.GroupResult("g", [tracker.AsyncResult("leaf1"), tracker.AsyncResult("leaf2")])
    recorder.succeeded("top", result="T", children=child_tuples(left, right))
    recorder.succeeded("left", result="L", children=child_tuples(group))
    recorder.succeeded("right", result="R")
    recorder.succeeded("leaf1", result=1)
    recorder.succeeded("leaf2", result=2)
    return tracker.AsyncResult("top")


def test_children_are_results(tracker, tree):
    assert tree.children == [tracker.AsyncResult("left"), tracker.AsyncResult("right")]
    (group,) = tree.children[0].children
    assert isinstance(group, GroupResult)
    assert group.id == "g"
    assert group.app is tracker


def test_collect_walks_the_tree(tree):
    assert [(str(result), value) for result, value in tree.collect(timeout=SOON)] == [
        ("top", "T"),
        ("left", "L"),
        ("right", "R"),
        ("g", [1, 2]),
        ("leaf1", 1),
        ("leaf2", 2),
    ]
    assert tree.get_leaf() == 2


def test_iterdeps_tells_the_parents(tree):
    assert [(str(parent) if parent else None, str(node)) for parent, node in tree.iterdeps()] == [
        (None, "top"),
        ("top", "left"),
        ("top", "right"),
        ("left", "g"),
        ("g", "leaf1"),
        ("g", "leaf2"),
    ]


def test_an_unfinished_tree_is_incomplete_unless_that_is_fine(tracker, recorder):
    recorder.succeeded("top", children=child_tuples(tracker.AsyncResult("slow")))
    recorder.sent("slow")
    top = tracker.AsyncResult("top")

    with pytest.raises(IncompleteStream) as caught:
        list(top.iterdeps())
    assert caught.value.task_id == "slow"
    assert [str(node) for _, node in top.iterdeps(intermediate=True)] == ["top", "slow"]


def test_a_task_that_is_its_own_descendant_is_walked_once(tracker, recorder):
    recorder.succeeded("a", result=1, children=child_tuples(tracker.AsyncResult("b")))
    recorder.succeeded("b", result=2, children=child_tuples(tracker.AsyncResult("a")))

    assert [str(node) for _, node in tracker.AsyncResult("a").iterdeps()] == ["a", "b"]
    assert [value for _, value in tracker.AsyncResult("a").collect(timeout=SOON)] == [1, 2]


def test_the_graph_of_a_tree(tree, tmp_path):
    graph = tree.graph

    assert [str(node) for node in graph] == ["top", "left", "right", "g", "leaf1", "leaf2"]
    assert {str(node): [str(one) for one in below] for node, below in graph.items()}["top"] == ["left", "right"]
    assert [str(node) for node in graph.edges()] == ["top", "left", "g"]
    order = [str(node) for node in graph.topsort()]
    assert order.index("leaf1") < order.index("g") < order.index("left") < order.index("top")
    with (tmp_path / "tree.dot").open("w+") as file:
        graph.to_dot(file)
        file.seek(0)
        drawn = file.read()
    assert drawn.startswith("digraph")
    assert '"top" -> "left"' in drawn
    assert tree.graph is graph


# parents from the log


def test_a_parent_is_restored_from_the_log(tracker, recorder):
    recorder.sent("a")
    recorder.sent("b", previous_id="a", parent_id="sender")
    recorder.sent("c", previous_id="b")
    last = tracker.AsyncResult("c")

    assert last.parent.id == "b"
    assert last.parent.parent.id == "a"
    assert last.parent.parent.parent is None
    assert last.parent.app is tracker


def test_the_walk_along_restored_parents_ends_in_a_circle(tracker, recorder):
    recorder.sent("a", previous_id="b")
    recorder.sent("b", previous_id="a")
    recorder.sent("own", previous_id="own")

    node, walked = tracker.AsyncResult("a"), []
    while node is not None:
        walked.append(node.id)
        assert len(walked) < 5
        node = node.parent

    assert walked == ["a", "b"]
    assert tracker.AsyncResult("own").parent is None


def test_a_saved_group_is_restored_as_parent(tracker, recorder):
    tracker.GroupResult("g", [tracker.AsyncResult("m")]).save()
    recorder.sent("c", previous_id="g")

    parent = tracker.AsyncResult("c").parent

    assert isinstance(parent, GroupResult)
    assert [member.id for member in parent] == ["m"]


def test_a_given_parent_comes_before_the_logs(tracker, recorder):
    recorder.sent("c", previous_id="a")

    assert tracker.AsyncResult("c", parent=tracker.AsyncResult("given")).parent == "given"


def test_tuples_hold_only_given_parents(tracker, recorder):
    recorder.sent("c", previous_id="a")

    assert tracker.AsyncResult("c").as_tuple() == (("c", None), None)
    assert tracker.AsyncResult("c", parent=tracker.AsyncResult("p")).as_tuple() == (("c", (("p", None), None)), None)
    assert tracker.AsyncResult("c", parent=tracker.AsyncResult("p")).as_list() == ["c", "p"]

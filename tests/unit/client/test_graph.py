from __future__ import annotations

import io

from eventresults.client.graph import DependencyGraph, GraphFormatter


def test_a_graph_is_its_nodes_and_what_they_depend_on():
    graph = DependencyGraph([("a", ["b", "c"]), ("b", ["c"]), ("c", [])])

    assert list(graph) == ["a", "b", "c"]
    assert dict(graph.items()) == {"a": ["b", "c"], "b": ["c"], "c": []}
    assert list(graph.edges()) == ["a", "b"]
    assert graph["a"] == ["b", "c"]
    assert len(graph) == 3
    assert "a" in graph
    assert "x" not in graph
    assert graph.valency_of("a") == 3
    assert graph.valency_of("x") == 0


def test_a_topological_sort_puts_dependencies_first():
    graph = DependencyGraph([("d", ["b", "c"]), ("b", ["a"]), ("c", ["a"]), ("a", [])])

    order = graph.topsort()

    assert sorted(order) == ["a", "b", "c", "d"]
    for node, dependencies in graph.items():
        assert all(order.index(one) < order.index(node) for one in dependencies)


def test_a_cycle_ends():
    graph = DependencyGraph([("a", ["b"]), ("b", ["a"])])

    assert sorted(graph.topsort()) == ["a", "b"]
    assert graph.valency_of("a") == 2
    assert "a(2)" in repr(graph)


def test_a_long_chain_needs_no_deep_stack():
    graph = DependencyGraph([(n, [n + 1] if n < 5000 else []) for n in range(5001)])

    assert graph.topsort() == list(range(5000, -1, -1))


def test_graphs_can_be_joined():
    graph = DependencyGraph([("a", [])])
    graph.connect(DependencyGraph([("b", ["a"])]))

    assert list(graph) == ["a", "b"]


def test_dot_quotes_what_it_draws():
    out = io.StringIO()
    DependencyGraph([('say "a"', ["b"]), ("b", [])], formatter=GraphFormatter(root="r", shape="oval")).to_dot(out)

    drawn = out.getvalue()
    assert drawn.startswith("digraph dependencies {")
    assert r'"say \"a\"" -> "b"' in drawn
    assert 'shape="oval"' in drawn
    assert drawn.rstrip().endswith("}")


def test_celerys_formatter_draws_too():
    import pytest

    theirs = pytest.importorskip("celery.utils.graph")
    out = io.StringIO()

    DependencyGraph([("a", ["b"]), ("b", [])]).to_dot(out, formatter=theirs.GraphFormatter(root="a"))

    assert '"a" -> "b"' in out.getvalue()

"""Walking what a task sent: its children, their children, and so on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from eventresults.client.base import ResultBase
from eventresults.client.graph import DependencyGraph, Formatter, GraphFormatter
from eventresults.errors import IncompleteStream

Path = tuple[Any, Any]


class ResultTree(ResultBase):
    """The walks of an `AsyncResult`, breadth first. A result that is its own descendant is not followed again."""

    id: str

    def collect(self, intermediate: bool = False, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """Yield (result, value) of this result and of all below it, waiting for each; keywords go to `get`.

        With `intermediate` a task that is not ready yet is waited for, and then followed no further; else it raises `IncompleteStream`.
        """
        for _, node in self.iterdeps(intermediate=intermediate):
            yield node, node.get(**kwargs)

    def get_leaf(self) -> Any:
        """The value of the last result in the tree."""
        value = None
        for _, node in self.iterdeps():
            value = node.get()
        return value

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[Any, Any]]:
        """Yield (parent, result) for this result (whose parent is None) and all below it.

        Raises `IncompleteStream` at a task that is not ready, unless `intermediate`: then what is below it is left out.
        """
        walk: deque[tuple[Any, Any, _Above | None]] = deque([(None, self, None)])
        while walk:
            parent, node, above = walk.popleft()
            yield parent, node
            if node.ready():
                here = _Above(node.id, above)
                walk.extend((node, child, here) for child in node.children or () if child.id not in here)
            elif not intermediate:
                raise IncompleteStream(
                    f"Task {node.id} is not ready, so what it sends is not known yet: wait for it first, or pass intermediate=True.",
                    task_id=node.id,
                )

    def build_graph(self, intermediate: bool = False, formatter: Formatter | None = None) -> DependencyGraph:
        """The tree as a graph; raises `IncompleteStream` like `iterdeps`."""
        graph = DependencyGraph(formatter=formatter or GraphFormatter(root=self.id, shape="oval"))
        for parent, node in self.iterdeps(intermediate=intermediate):
            graph.add_arc(node)
            if parent:
                graph.add_edge(parent, node)
        return graph

    @cached_property
    def graph(self) -> DependencyGraph:
        """The tree as a graph, built once."""
        return self.build_graph()


class _Above:
    """The ids on the way from the root down to a node; siblings share theirs."""

    __slots__ = ("above", "id")

    def __init__(self, id: str | None, above: _Above | None) -> None:
        self.id = id
        self.above = above

    def __contains__(self, id: object) -> bool:
        at: _Above | None = self
        while at is not None:
            if at.id == id:
                return True
            at = at.above
        return False

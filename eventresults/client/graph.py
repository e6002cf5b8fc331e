"""The tree of a task and what it sent, as a graph: in order of dependence, or drawn by Graphviz."""

from __future__ import annotations

from collections.abc import Callable, Hashable, ItemsView, Iterable, Iterator
from typing import Any, Protocol


class DependencyGraph:
    """A directed graph: each object with those it depends on.

    `formatter` draws it, see `GraphFormatter`. Objects are compared by equality: two results of one id are one node.
    """

    def __init__(self, it: Iterable[tuple[Hashable, Iterable[Hashable]]] | None = None, formatter: Formatter | None = None) -> None:
        self.formatter: Formatter = formatter or GraphFormatter()
        self.adjacent: dict[Hashable, list[Hashable]] = {}
        if it is not None:
            self.update(it)

    def add_arc(self, obj: Hashable) -> None:
        """Add an object."""
        self.adjacent.setdefault(obj, [])

    def add_edge(self, A: Hashable, B: Hashable) -> None:
        """`A`, which is in the graph, depends on `B`."""
        self.adjacent[A].append(B)

    def connect(self, graph: DependencyGraph) -> None:
        """Take over the nodes of another graph."""
        self.adjacent.update(graph.adjacent)

    def update(self, it: Iterable[tuple[Hashable, Iterable[Hashable]]]) -> None:
        """Add objects, each with those it depends on."""
        pairs = [(obj, list(dependencies)) for obj, dependencies in it]
        for obj, _ in pairs:
            self.add_arc(obj)
        for obj, dependencies in pairs:
            self.adjacent[obj].extend(dependencies)

    def topsort(self) -> list[Hashable]:
        """All objects, each after those it depends on. Of a cycle, each object comes once, at its first visit."""
        done: list[Hashable] = []
        seen: set[Hashable] = set()
        for start in self.adjacent:
            if start in seen:
                continue
            seen.add(start)
            # a stack of our own: a chain of results may be longer than Python's
            stack = [(start, iter(self.adjacent[start]))]
            while stack:
                node, rest = stack[-1]
                following = next((one for one in rest if one not in seen), None)
                if following is None:
                    stack.pop()
                    done.append(node)
                else:
                    seen.add(following)
                    stack.append((following, iter(self.adjacent.get(following, ()))))
        return done

    def valency_of(self, obj: Hashable) -> int:
        """How many edges lead on from this object, to the end of each path; an edge back into the path counts, and is not followed."""
        return self._valency(obj, frozenset())

    def _valency(self, obj: Hashable, above: frozenset[Hashable]) -> int:
        following = self.adjacent.get(obj, ())
        path = above | {obj}
        return len(following) + sum(self._valency(one, path) for one in following if one not in path)

    def edges(self) -> Iterator[Hashable]:
        """The objects that depend on others."""
        return (obj for obj, dependencies in self.adjacent.items() if dependencies)

    def items(self) -> ItemsView[Hashable, list[Hashable]]:
        """Pairs of an object and those it depends on."""
        return self.adjacent.items()

    iteritems = items

    def to_dot(self, fh: Any, formatter: Formatter | None = None) -> None:
        """Write the graph to the text file `fh` in Graphviz' DOT language."""
        draw = formatter or self.formatter
        drawn: set[Any] = set()

        def once(make: Callable[[Any], str | bytes], obj: Hashable) -> None:
            label = draw.label(obj)
            if label not in drawn:
                drawn.add(label)
                print(_text(make(obj)), file=fh)

        print(_text(draw.head()), file=fh)
        for obj, dependencies in self.adjacent.items():
            if not dependencies:
                once(draw.terminal_node, obj)
            for other in dependencies:
                once(draw.node, obj)
                print(_text(draw.edge(obj, other)), file=fh)
        print(_text(draw.tail()), file=fh)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.adjacent)

    def __getitem__(self, node: Hashable) -> list[Hashable]:
        return self.adjacent[node]

    def __len__(self) -> int:
        return len(self.adjacent)

    def __contains__(self, obj: object) -> bool:
        return obj in self.adjacent

    def __repr__(self) -> str:
        return "\n".join(line for node in self.adjacent for line in self._lines(node, 0, frozenset()))

    def _lines(self, obj: Hashable, level: int, above: frozenset[Hashable]) -> Iterator[str]:
        yield f"{'     ' * level}{obj}({self.valency_of(obj)})"
        if obj not in above:
            for other in self.adjacent.get(obj, ()):
                yield from self._lines(other, level + 1, above | {obj})


class Formatter(Protocol):
    """Draws a graph, piece by piece. Celery's `GraphFormatter` is one too."""

    def label(self, obj: Any) -> Any:
        """What stands for the object."""

    def head(self) -> str | bytes:
        """The beginning."""

    def node(self, obj: Any) -> str | bytes:
        """An object that depends on others."""

    def terminal_node(self, obj: Any) -> str | bytes:
        """An object that depends on none."""

    def edge(self, a: Any, b: Any) -> str | bytes:
        """`a` depends on `b`."""

    def tail(self) -> str | bytes:
        """The end."""


class GraphFormatter:
    """Draws a graph of boxes. Further keywords are attributes of its nodes (`shape`, `fillcolor`, …)."""

    def __init__(self, root: Any = None, type: str | None = None, id: str | None = None, **scheme: Any) -> None:
        self.root = root
        self.type = type or "digraph"
        self.id = id or "dependencies"
        self.direction = "--" if self.type == "graph" else "->"
        self.scheme = {"shape": "box", "style": "filled", "fontname": "HelveticaNeue", **scheme}

    def label(self, obj: Any) -> Any:
        """The object itself, whose text is drawn."""
        return obj

    def head(self) -> str:
        """See `Formatter`."""
        return f"{self.type} {self.id} {{\n    graph [{_attributes({'bgcolor': 'mintcream', 'root': self.label(self.root)})}]"

    def node(self, obj: Any) -> str:
        """See `Formatter`."""
        return self._node(obj, fillcolor="palegreen3", color="palegreen4")

    def terminal_node(self, obj: Any) -> str:
        """See `Formatter`."""
        return self._node(obj, fillcolor="palegreen1", color="palegreen2")

    def edge(self, a: Any, b: Any) -> str:
        """See `Formatter`."""
        return f"    {_quoted(self.label(a))} {self.direction} {_quoted(self.label(b))} [{_attributes({'color': 'darkseagreen4'})}]"

    def tail(self) -> str:
        """See `Formatter`."""
        return "}"

    def _node(self, obj: Any, **colors: str) -> str:
        return f"    {_quoted(self.label(obj))} [{_attributes({**colors, **self.scheme})}]"


def _attributes(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_quoted(value)}" for name, value in values.items())


def _quoted(value: Any) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(line: str | bytes) -> str:
    return line.decode() if isinstance(line, bytes) else line

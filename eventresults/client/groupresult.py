"""`GroupResult`: a `ResultSet` with an id, which can be saved in the log and found again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eventresults.client import pending
from eventresults.client.app import backend_of, current_app, ours
from eventresults.client.base import ResultBase
from eventresults.client.resultset import ResultSet


@pending.register
class GroupResult(ResultSet):
    """The results of one group. `parent` is the result before the group in a chain; further keywords are `ResultSet`'s."""

    #: The group's id.
    id: str | None = None

    def __init__(
        self, id: str | None = None, results: Iterable[Any] | None = None, parent: ResultBase | None = None, **kwargs: Any
    ) -> None:
        self.id = id if id is None or isinstance(id, str) else str(id)
        self.parent = parent
        super().__init__(results, **kwargs)

    def save(self, backend: Any = None) -> GroupResult:
        """Record which results the group has, so that `restore` finds it, in any process. Returns when the log has it."""
        return self._backend(backend).save_group(self.id, self)  # type: ignore[no-any-return]

    def delete(self, backend: Any = None) -> None:
        """Forget the saved group, not its tasks. Returns when the log has it."""
        self._backend(backend).delete_group(self.id)

    @classmethod
    def restore(cls, id: str, backend: Any = None, app: Any = None) -> GroupResult | None:
        """The group that was saved under this id; None when none was, or it was deleted or has expired."""
        if backend is not None:
            return (ours(backend) or backend).restore_group(id)  # type: ignore[no-any-return]
        if app is None:
            app = current_app() if isinstance(cls.app, property) else cls.app
        return backend_of(app).restore_group(id, app=app)  # type: ignore[no-any-return]

    @property
    def children(self) -> list[Any]:
        """Its results."""
        return self.results

    def as_tuple(self) -> Any:
        """((id, the parent's tuple or None), [the results' tuples])."""
        parent = self.parent
        return (self.id, None if parent is None else parent.as_tuple()), [result.as_tuple() for result in self.results]

    def __bool__(self) -> bool:
        return bool(self.id or self.results)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return other.id == self.id and other.results == self.results and other.parent == self.parent
        if isinstance(other, str):
            return other == self.id
        return NotImplemented

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self.id)

    def __str__(self) -> str:
        return str(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id} [{', '.join(str(result.id) for result in self.results)}]>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.__reduce_args__()

    def __reduce_args__(self) -> tuple[Any, ...]:
        return self.id, self.results, self.parent

    def _backend(self, backend: Any) -> Any:
        return self.backend if backend is None else ours(backend) or backend

"""Which task a result stands for, and through which app: naming, comparing, copying, pickling."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from eventresults.client.app import App, backend_of, current_app, ours, url_of
from eventresults.client.base import Late, ResultBase
from eventresults.client.parents import restored_parent
from eventresults.errors import ConfigError

if TYPE_CHECKING:
    from eventresults.client.backend import Backend
    from eventresults.domain.meta import TaskMeta


class TaskIdentity(ResultBase):
    """The id, app, backend and parent of an `AsyncResult`. Two of one id are equal, and equal to the id itself."""

    #: The task's id.
    id: str = None  # type: ignore[assignment]
    app: Late[Any] = Late(lambda result: result._attach())  # noqa: SLF001 - our own
    backend: Late[Backend] = Late(lambda result: backend_of(result.app))

    _parent: ResultBase | None = None
    _restored: ResultBase | None = None
    #: The ids from which this result was reached as a restored parent: (nearest, (next, …)).
    _descendants: tuple[str, Any] | None = None
    _task_name: str | None = None
    _url: str | None = None

    def __init__(
        self, id: str, backend: Any = None, task_name: str | None = None, app: Any = None, parent: ResultBase | None = None
    ) -> None:
        if id is None:
            raise ValueError(f"{type(self).__name__} requires a valid id, not None")
        self.id = id if isinstance(id, str) else str(id)
        # Only what was given is kept, for results are made by the thousand.
        if backend is not None:
            self.backend = ours(backend) or backend
        if app is not None:
            self.app = app
        if parent is not None:
            self._parent = parent
        if task_name is not None:
            self._task_name = task_name

    @property
    def task_id(self) -> str:
        """The id, under its old name."""
        return self.id

    @task_id.setter
    def task_id(self, id: str) -> None:
        self.id = id

    @property
    def parent(self) -> Any:
        """The result before this one in a chain: as given, else as the log tells. Never one that comes after this one."""
        if self._parent is not None:
            return self._parent
        if self._restored is None:
            self._restored = restored_parent(self)
        return self._restored

    @parent.setter
    def parent(self, parent: ResultBase | None) -> None:
        self._parent = parent
        self._restored = None

    @property
    def given_parent(self) -> ResultBase | None:
        """The parent that this result was made with; asks nothing."""
        return self._parent

    def task_meta(self) -> TaskMeta | None:
        """All that is known of the task, at once; None for an unknown, expired or forgotten id."""
        raise NotImplementedError

    def as_tuple(self) -> Any:
        """((id, the given parent's tuple or None), None)."""
        parent: Any = self._parent
        return (self.id, None if parent is None else parent.as_tuple()), None

    def as_list(self) -> list[str]:
        """This id and those of the given parents, nearest first."""
        ids: list[str] = []
        node: Any = self
        while node is not None and node.id not in ids:
            ids.append(node.id)
            node = node.given_parent
        return ids

    def __str__(self) -> str:
        return str(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TaskIdentity):
            return other.id == self.id
        if isinstance(other, str):
            return other == self.id
        return NotImplemented

    def __copy__(self) -> Any:
        own = self.__dict__
        return type(self)(self.id, own.get("backend"), self._task_name, own.get("app"), self._parent)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        url = url_of(self.app) if "app" in self.__dict__ else self._url
        return type(self), self.__reduce_args__(), {"_url": url}

    def __reduce_args__(self) -> tuple[Any, ...]:
        return self.id, None, self._task_name, None, self._parent

    __class_getitem__: Any = classmethod(types.GenericAlias)

    def _attach(self) -> App:
        """The app of a result that was given none."""
        own = self.__dict__.get("backend")
        if own is not None:
            return own  # type: ignore[no-any-return]
        try:
            return current_app()
        except ConfigError as error:
            if self._url is None:
                raise
            raise ConfigError(
                f"This result of {self._url} was unpickled where there is no tracker: call eventresults.connect({self._url!r}) first "
                "(with the password, if it needs one).",
                setting="app",
            ) from error

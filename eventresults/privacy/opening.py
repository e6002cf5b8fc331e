"""Reading what was encrypted, where the keys are."""

from __future__ import annotations

from typing import Any, Final

from eventresults.codec.sealed import is_sealed
from eventresults.domain.meta import TaskMeta
from eventresults.privacy.encryption import opened_value
from eventresults.privacy.keyring import Keyring


class Opener:
    """Decrypts wire values by the keys of a keyring; without one it knows an encrypted value, and says so."""

    def __init__(self, keyring: Keyring | None = None) -> None:
        self._keyring = keyring

    def wire(self, wire: Any) -> Any:
        """This wire value, decrypted if it is encrypted. Raises `ValueErased`, `ValueSealed`."""
        return opened_value(wire, self._keyring) if is_sealed(wire) else wire

    def error(self, meta: TaskMeta) -> TaskMeta:
        """The same task with its error and traceback decrypted. Raises as `wire`."""
        error = meta.error
        if error is None or not is_sealed(error.get("sealed")):
            return meta
        inside = self.wire(error["sealed"])
        return meta.evolve(error=inside["error"], traceback=inside["traceback"])

    def request(self, meta: TaskMeta) -> TaskMeta:
        """The same task with a framework's request decrypted. Raises as `wire`."""
        if meta.request is None or not any(map(is_sealed, meta.request.values())):
            return meta
        return meta.evolve(request={name: self.wire(value) for name, value in meta.request.items()})

    def whole(self, meta: TaskMeta) -> TaskMeta:
        """The same task with all of it decrypted. Raises as `wire`."""
        told = {name: self.wire(getattr(meta, name)) for name in ("args", "kwargs", "result", "progress") if is_sealed(getattr(meta, name))}
        return self.request(self.error(meta.evolve(**told) if told else meta))

    @staticmethod
    def without(meta: TaskMeta) -> TaskMeta:
        """The same task without what is encrypted."""
        none = {name: None for name in ("args", "kwargs", "result", "progress") if is_sealed(getattr(meta, name))}
        if meta.request is not None:
            none["request"] = {name: value for name, value in meta.request.items() if not is_sealed(value)}  # type: ignore[assignment]
        return meta.evolve(**none) if none else meta


#: For a process that was given no keys.
NO_KEYS: Final = Opener()

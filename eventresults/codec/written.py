"""Facts as they are written: the same fields, bounds and types as their classes have, in the order of the wire, without what goes unsaid.

So msgspec checks a fact and writes it, and nothing here has to know what its fields are.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType, defstruct
from msgspec.structs import FieldInfo, fields

from eventresults.codec.shapes import SHAPES, Shape


def _written(shape: Shape) -> type[Struct]:
    """A class whose instances are written without any field that is None, and `observed` when it is false."""
    known = {field.name: field for field in fields(shape.cls)}
    return defstruct(
        shape.cls.__name__,
        [_field(known[name]) for name in shape.names],
        tag_field="kind",
        tag=shape.cls.kind,
        forbid_unknown_fields=True,
        omit_defaults=True,
        kw_only=True,
        gc=False,
    )


def _field(field: FieldInfo) -> tuple[str, Any] | tuple[str, Any, Any]:
    if field.required:
        return (field.name, field.type)
    if field.default is None or field.name == "observed":
        return (field.name, field.type, field.default)
    return (field.name, field.type | UnsetType, UNSET)


class _Written(dict[str, type[Struct]]):
    """Kind -> class, each made when it is first asked for: that takes most of a millisecond."""

    def __missing__(self, kind: str) -> type[Struct]:
        return self.setdefault(kind, _written(SHAPES[kind]))


WRITTEN: Final = _Written()

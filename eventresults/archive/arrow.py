"""The one door to pyarrow. Importing this module loads it, or raises `ConfigError` that says how to install it."""

from __future__ import annotations

from typing import Any

from eventresults.archive.extra import extra

with extra("archive"):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from pyarrow import fs

__all__ = ["datasets", "fs", "pa", "pc", "pq"]


def datasets() -> Any:
    """`pyarrow.dataset`, loaded by the first who asks: it brings pandas along where that is installed."""
    from pyarrow import dataset  # noqa: PLC0415

    return dataset

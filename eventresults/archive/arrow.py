"""The one door to pyarrow. Importing this module loads it, or raises `ConfigError` that says how to install it."""

from __future__ import annotations

from eventresults.archive.extra import extra

with extra("archive"):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq
    from pyarrow import fs

__all__ = ["ds", "fs", "pa", "pc", "pq"]

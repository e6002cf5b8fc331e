"""The one door to DuckDB. Importing this module loads it, or raises `ConfigError` that says how to install it."""

from __future__ import annotations

from eventresults.archive.extra import extra

with extra("archive"):
    import duckdb

__all__ = ["duckdb"]

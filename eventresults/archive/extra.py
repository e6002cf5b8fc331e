"""What is said where an extra is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eventresults.errors import ConfigError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around an import of what this extra brings: raises `ConfigError` with the cure when it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(f"This needs {error.name}: run `pip install 'eventresults[{name}]'`.", setting=name) from error

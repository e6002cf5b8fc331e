"""Freshness: how new an answer is. A view, a log's end and this process's own writes make a `ViewReader` that keeps its promises."""

from eventresults.reading.abreast import repartitioned
from eventresults.reading.fresh import FreshReader
from eventresults.reading.remote import RemoteReader

__all__ = ["FreshReader", "RemoteReader", "repartitioned"]

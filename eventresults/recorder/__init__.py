"""Where every fact passes on its way into the log: ids, own writes, bounds, encoding."""

from eventresults.recorder.appender import Appender
from eventresults.recorder.recorder import Recorder

__all__ = ["Appender", "Recorder"]

"""What was known earlier: of one task, of all tasks of a shard, and what changed between two moments."""

from eventresults.past.fold import When, as_of, folded
from eventresults.past.survey import Cut, Survey
from eventresults.past.task import Histories, Past, Source, TimeTravel

__all__ = ["Cut", "Histories", "Past", "Source", "Survey", "TimeTravel", "When", "as_of", "folded"]

"""What was known earlier: of one task, of the whole system, and what changed between two moments."""

from eventresults.past.fold import When, as_of, folded
from eventresults.past.task import Past, TimeTravel

__all__ = ["Past", "TimeTravel", "When", "as_of", "folded"]

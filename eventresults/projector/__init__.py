"""The projector: read the log in order, fold, commit, tell."""

from eventresults.projector.batch import Folded, fingerprint, fold_poll
from eventresults.projector.projector import Projector
from eventresults.projector.states import Lifetimes

__all__ = ["Folded", "Lifetimes", "Projector", "fingerprint", "fold_poll"]

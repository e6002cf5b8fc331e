"""The projector: read the log in order, fold, commit, tell."""

from eventresults.projector.batch import Folded, fingerprint, fold_poll
from eventresults.projector.projector import Observer, Projector, Step, unobserved
from eventresults.projector.replay import Gate, replay
from eventresults.projector.states import Lifetimes

__all__ = ["Folded", "Gate", "Lifetimes", "Observer", "Projector", "Step", "fingerprint", "fold_poll", "replay", "unobserved"]

"""The chart of a run, drawn by matplotlib in an environment of its own, so that nobody has to install it who does not draw."""

from __future__ import annotations

import json
import subprocess

from benchmarks.figures import Figures
from benchmarks.peers import environments
from benchmarks.peers.environments import REPOSITORY, Unavailable
from benchmarks.peers.folds import Folds
from benchmarks.report import CHART

REQUIREMENTS = ("matplotlib==3.11.2",)


def draw(folds: Folds, figures: Figures) -> None:
    """Put it in place of the one before; where it cannot be drawn, that is noted among what is missing."""
    bars = [
        {
            "name": name,
            "partitions": partitions,
            "rate": folds.median(name, partitions, lambda one: one.rate),
            "per_cpu": folds.median(name, partitions, lambda one: one.rate_per_cpu),
        }
        for name, partitions in folds.answers
    ]
    try:
        python = environments.python("chart", REQUIREMENTS)
        subprocess.run([str(python), "-m", "benchmarks.drawing", str(CHART)], input=json.dumps(bars), cwd=REPOSITORY, text=True, check=True)
    except (Unavailable, subprocess.CalledProcessError) as error:
        figures.miss("the chart", str(error))

"""`python -m benchmarks.drawing FILE.svg`: bars from JSON on standard input. Runs in the chart's own environment."""

from __future__ import annotations

import json
import sys

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

COLOURS = {True: ("#1f6f8b", "#99c4d3"), False: ("#7a7a7a", "#c9c9c9")}


def main() -> None:
    """A panel for each number of partitions; of each contestant, events per second and per second of the processor."""
    bars = json.load(sys.stdin)
    panels = sorted({bar["partitions"] for bar in bars})
    plt.rcParams["svg.hashsalt"] = "eventresults"  # the same figures give the same file
    figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels) + 1.5, 4.2), sharey=True, squeeze=False, layout="constrained")
    for axis, partitions in zip(axes[0], panels, strict=True):
        shown = [bar for bar in bars if bar["partitions"] == partitions]
        for place, bar in enumerate(shown):
            wall, cpu = COLOURS[bar["name"].startswith("eventresults")]
            for shift, value, colour in ((-0.2, bar["rate"], wall), (0.2, bar["per_cpu"], cpu)):
                drawn = axis.barh(place + shift, value / 1000, height=0.38, color=colour)
                axis.bar_label(drawn, fmt="%.0f", padding=3, fontsize=8)
        axis.set_yticks(range(len(shown)), [bar["name"] for bar in shown])
        axis.set_xlabel("thousand events per second (dark), per CPU second (light)")
        axis.set_title("one partition" if partitions == 1 else f"{partitions} partitions")
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.12)
    axes[0][0].invert_yaxis()
    figure.savefig(sys.argv[1], metadata={"Date": None})


if __name__ == "__main__":
    main()

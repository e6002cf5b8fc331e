"""Measured, not asserted: `python -m benchmarks` prints the machine's facts and the figures.

Every figure is a median of interleaved rounds in one run, and ratios compare what ran side by side: machines are shared and noisy.
"""

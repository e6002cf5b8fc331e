"""Deployable processes, each one file that wires parts of the library."""

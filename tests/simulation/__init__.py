"""Owner, readers and log under one scheduler that a seed drives: the interleavings that processes cannot be forced into.

The real parts (projector, live view, listeners, sessions, feeds, gates, remote views) run on a loop, a pool, a network and a clock of the
simulation's own. Wherever a thread could be interrupted by another (a store is read, a commit done, something waited for), other actors may
take steps in between. `python -m tests.simulation --seeds 100000` looks for longer.
"""

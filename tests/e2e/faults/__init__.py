"""Faults on purpose: processes that write by a ledger and read with promises, while a script, from a seed, does harm.

`writer` and `reader` are the processes, `scene` starts and watches them, `actions` do the harm, `truth` folds the log in one go, and
`checker` proves that nothing was lost, told twice, or left hanging. `python -m tests.e2e.faults --seconds 3600` is the long run.
"""

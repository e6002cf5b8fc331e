"""Those that we are measured against, each a file or folder that does the same work in a process and an environment of its own.

`job` is what each is asked and answers, `sameness` the fold that all do and the checksum that proves it, `contestants` the list of
all. The programs themselves (`ours`, `bytewax_rocksdict`, `quix`, `kafka_streams/`) import nothing of the library that they are
not.
"""

"""The log: where facts are appended, and read back in order."""

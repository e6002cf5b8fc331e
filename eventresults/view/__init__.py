"""The view: what the log adds up to, ready to be read."""

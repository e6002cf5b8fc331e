"""Bytes and what they mean: events on the wire, values and errors inside them, rows of the view."""

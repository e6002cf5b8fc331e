"""What a task is: states, events, positions and the fold. No I/O, no clock, no threads."""

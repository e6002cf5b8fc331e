"""What does the work: `TrackedExecutor` over threads and processes, `current_task`, and `run` around any block.

A call becomes a job (submitter, jobs), which a worker thread (crew) takes up at its time (schedule), unless it was revoked (revokes). The
worker's runner makes the attempt: in the thread itself (threads), or over a pipe in a process (processes; child is its other end). What
becomes of each job is recorded (facts). What a running task asks goes to its home (context): the executor, or the pipe that leads to it.
"""

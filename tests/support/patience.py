"""How long a test waits for another process before it calls that a failure."""

# Seconds. Nothing takes as long unless it hangs, not even on a machine that is busy with other work.
PATIENCE = 600

"""How long a test waits for another process before it calls that a failure."""

# Seconds. Nothing takes this long unless it hangs, not even on a busy machine.
PATIENCE = 600

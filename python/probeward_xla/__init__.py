"""Runs probeward's programs on XLA: a worker that a probeward process starts and speaks to over a socket."""

# The form of messages and calls; both sides refuse to go on where it differs.
PROTOCOL = 3

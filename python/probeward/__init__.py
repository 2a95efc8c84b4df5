"""Runs a Python file that a study names: a task, a reward or a monitor. It needs nothing but Python; taps need numpy.

A probeward process starts this one and speaks to it over pipes. What a file may define is in docs/python.md.
"""

# The form of frames and calls; both sides refuse to go on where it differs.
PROTOCOL = 1

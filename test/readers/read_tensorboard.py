"""Prints what TensorBoard's own reader finds in a folder of logs, as JSON: {run: {tag: [[step, value], ...]}}."""

import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

root = pathlib.Path(sys.argv[1])
runs = {}
for file in sorted(root.rglob("*tfevents*")):
    accumulator = EventAccumulator(str(file.parent), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    tags = accumulator.Tags()
    found = {tag: [[e.step, e.value] for e in accumulator.Scalars(tag)] for tag in tags["scalars"]}
    for tag in tags["tensors"]:
        found[tag] = [[e.step, float(e.tensor_proto.float_val[0])] for e in accumulator.Tensors(tag)]
    runs[file.parent.relative_to(root).as_posix()] = found
json.dump(runs, sys.stdout)

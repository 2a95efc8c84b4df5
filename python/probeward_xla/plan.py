"""Programs compiled ahead of time for devices that are not there: what they would need, by XLA's own count. Nothing is run."""

import math
import re

import jax
import numpy as np

from .decode import decoder
from .devices import FSDP
from .program import Program, spec
from .worker import Worker

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8}
# An operation that moves arrays between devices, with its results; those that are done in two steps are counted as they begin.
COLLECTIVE = re.compile(
    r"= (?P<results>\(.*?\)|\S+) (?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\((?P<rest>.*)"
)
ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")


class Planner(Worker):
    """A worker that computes nothing: it says how arrays would be divided, and what programs would take."""

    ANSWERED = {"sizes", "measure", "close"}
    UNANSWERED = set()

    def sizes(self, call, _):
        """The elements that a device holds of each of some arrays."""
        specs = [spec(one) for one in call["specs"]]
        parts = [self.devices.sharding(*one).shard_shape(one[0]) for one in specs]
        return {"elements": [math.prod(part) for part in parts]}, {}

    def measure(self, call, tensors):
        """What a program takes. Of one that decodes, with the drawing of a token and the writing of the caches around it: a token's."""
        program = Program(call["program"], tensors, self.dtype)
        inputs = [self._kept(one, rounded) for (_, one), rounded in zip(program.inputs, call["rounded"])]
        if "caches" in call:
            jitted, inputs = self._decoding(program, inputs, call["caches"])
        else:
            outputs = [self.devices.sharding(*spec(one)) for one in call["outputs"]]
            jitted = jax.jit(program, donate_argnums=tuple(call["donated"]), out_shardings=outputs)
        return measured(jitted.lower(*inputs).compile(), self.devices.sizes[FSDP]), {}

    def _kept(self, one, rounded):
        """An array as a worker would keep it: rounded or not, divided by one rule."""
        shape, dtype = one
        return jax.ShapeDtypeStruct(shape, jax.numpy.bfloat16 if rounded else dtype, sharding=self.devices.sharding(*one))

    def _decoding(self, program, inputs, count):
        """As `Worker.decode` does it; weights come first, then token and position, caches, and a mask."""
        weights, caches = inputs[: -count - 3], inputs[-count - 1 : -1]
        rows = caches[0].shape[0]
        whole = lambda shape, dtype: jax.ShapeDtypeStruct(shape, dtype, sharding=self.devices.whole)
        numbers = whole((rows, 6), np.uint32), whole((rows,), np.bool_), whole((1,), np.int32)
        jitted = jax.jit(decoder(program, greedy=False), donate_argnums=1)
        return jitted, (weights, caches, *numbers, np.int32(1), np.float32(1))


def measured(compiled, group):
    """Bytes and operations of one device, of groups of `group` that hold all weights. What is done in a loop is counted once."""
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    cost = cost[0] if isinstance(cost, list) else cost
    return {
        "operations": float(cost.get("flops", 0)),
        "moved": float(cost.get("bytes accessed", 0)),
        **exchanged(compiled.as_text(), group),
        "inputs": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes,
        "shared": memory.alias_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
    }


def exchanged(text, group):
    """Bytes that a device sends to others, in rings: for an array of n bytes on k devices, (k - 1) / k n to gather it, twice that to add it up.

    Those, too, that rings send which are not within a group of `group` devices, one behind the other.
    """
    total = outside = 0.0
    for line in text.splitlines():
        found = COLLECTIVE.search(line)
        if found is None:
            continue
        size, ring = _bytes(found["results"]), _ring(found["rest"])
        count = len(ring)
        sent = size * {
            "all-gather": (count - 1) / count,
            "all-reduce": 2 * (count - 1) / count,
            # Its result is a part of what is sent.
            "reduce-scatter": count - 1,
            "all-to-all": (count - 1) / count,
            "collective-permute": 1,
        }[found["kind"]]
        total += sent
        outside += sent if min(ring) // group != max(ring) // group else 0
    return {"exchanged": total, "outside": outside}


def _bytes(results):
    """Of the arrays of a result."""
    return sum(BYTES.get(kind, 4) * math.prod(map(int, filter(None, sizes.split(",")))) for kind, sizes in ARRAY.findall(results))


def _ring(rest):
    """Devices that exchange with each other, by their numbers; where that is not said, all."""
    by_axes = re.search(r"replica_groups=mesh\[(.*?)\] ?\{(.*?)\}", rest)
    if by_axes:
        sizes = [(name, int(size)) for name, size in re.findall(r"'(\w+)'=(\d+)", by_axes[1])]
        named = re.findall(r"'(\w+)'", by_axes[2])
        ids = np.arange(math.prod(size for _, size in sizes)).reshape([size for _, size in sizes])
        return ids[tuple(slice(None) if name in named else 0 for name, _ in sizes)].ravel().tolist()
    by_shape = re.search(r"replica_groups=\[(\d+),(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", rest)
    if by_shape:
        shape = [int(size) for size in by_shape[3].split(",")]
        order = [int(axis) for axis in by_shape[4].split(",")] if by_shape[4] else range(len(shape))
        ids = np.arange(math.prod(shape)).reshape(shape).transpose(order)
        return ids.reshape(int(by_shape[1]), int(by_shape[2]))[0].tolist()
    listed = re.search(r"(?:replica_groups|source_target_pairs)=\{\{([\d,]*)\}", rest)
    return [int(one) for one in listed[1].split(",")] if listed else list(range(jax.device_count()))

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

    And those of them that go beyond a group of `group` devices, one behind the other.
    """
    total = outside = 0.0
    for line in text.splitlines():
        found = COLLECTIVE.search(line)
        if found is None:
            continue
        size, kind = _bytes(found["results"]), found["kind"]
        if kind == "collective-permute":
            pairs = [tuple(map(int, pair)) for pair in re.findall(r"\{(\d+),(\d+)\}", found["rest"])]
            each = size / max(1, len(pairs))
            total += each * sum(a != b for a, b in pairs)
            outside += each * sum(a // group != b // group for a, b in pairs)
            continue
        ring = _ring(found["rest"])
        count = len(ring)
        sent = size * {
            "all-gather": (count - 1) / count,
            "all-reduce": 2 * (count - 1) / count,
            # Its result is a part of what is sent.
            "reduce-scatter": count - 1,
            "all-to-all": (count - 1) / count,
        }[kind]
        total += sent
        outside += sent if min(ring) // group != max(ring) // group else 0
    return {"exchanged": total, "outside": outside}


def _bytes(results):
    """Of the arrays of a result."""
    return sum(BYTES.get(kind, 4) * math.prod(map(int, filter(None, sizes.split(",")))) for kind, sizes in ARRAY.findall(results))


# How devices are listed: their numbers in an order, as [4,2]T(1,0); axes of a mesh of them; groups of equal size; or each group.
ORDER = r"\[(?P<shape>[\d,]+)\](?:T\((?P<order>[\d,]+)\))?"
BY_AXES = re.compile(r"replica_groups=mesh\[(?P<mesh>[^\]]*)\](?:, device_ids=\(" + ORDER + r"\))? ?\{(?P<along>[^}]*)\}")
BY_SIZE = re.compile(r"replica_groups=\[(?P<groups>\d+),(?P<size>\d+)\]<=" + ORDER)
LISTED = re.compile(r"replica_groups=\{\{([\d,]*)\}")


def _ring(rest):
    """The first of the groups of devices that exchange with each other, by their numbers; where that is not said, all."""
    if found := BY_AXES.search(rest):
        sizes = [(name, int(size)) for name, size in re.findall(r"'(\w+)'=(\d+)", found["mesh"])]
        along = re.findall(r"'(\w+)'", found["along"])
        ids = _in_order(found, math.prod(size for _, size in sizes)).reshape([size for _, size in sizes])
        return ids[tuple(slice(None) if name in along else 0 for name, _ in sizes)].ravel().tolist()
    if found := BY_SIZE.search(rest):
        return _in_order(found).reshape(int(found["groups"]), int(found["size"]))[0].tolist()
    found = LISTED.search(rest)
    return _numbers(found[1]) if found else list(range(jax.device_count()))


def _in_order(found, count=None):
    shape = _numbers(found["shape"]) if found["shape"] else [count]
    order = _numbers(found["order"]) if found["order"] else range(len(shape))
    return np.arange(math.prod(shape)).reshape(shape).transpose(order).ravel()


def _numbers(text):
    return [int(one) for one in text.split(",")]

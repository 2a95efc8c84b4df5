"""The verbs: what a worker does for each call. Arrays and programs are kept by the numbers that the caller gave them."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np

from .decode import by_calls, decoder
from .devices import Devices
from .draw import draw_tokens, likeliest
from .message import Malformed, Stored
from .program import TYPES, Program, as_numpy, spec

# The caller gives inputs up whether or not their memory can serve.
warnings.filterwarnings("ignore", message="Some donated buffers were not usable")

LONGEST_ERROR = 4000
# Pairs of arrays that are copied by one program: what is compiled does not grow with a model's depth.
COPIED = 16


class Failed(Exception):
    """What stands in place of an array that a call was to make, and could not: why, with the call's name."""


class Worker:
    """Calls take effect in their order. Those with an answer return it, a table and tensors; the others return None."""

    ANSWERED = {"divide", "compile", "get", "draw", "decode", "memory", "close"}
    UNANSWERED = {"put", "zeros", "run", "copy", "free", "forget"}

    def __init__(self, devices, dtype, peers=None):
        self.dtype, self.peers = dtype, peers
        self.arrays, self.programs, self.decoders = {}, {}, {}
        self._round = jax.jit(lambda array: array.astype(jnp.bfloat16), donate_argnums=0)
        self._copy = jax.jit(_copy_positions, donate_argnums=0)
        self._on(devices)

    def _on(self, devices):
        self.devices = devices
        self._draw, self._likeliest = (
            jax.jit(fn, out_shardings=devices.whole) for fn in (draw_tokens, likeliest)
        )

    def divide(self, call, _):
        """Devices become other groups, before there is anything on them."""
        if self.arrays or self.programs:
            raise Malformed("a call to divide devices that hold something")
        self._on(Devices(call["data"]))
        return {}, {}

    def handle(self, call, tensors):
        """Answers a call, or does it. What fails is told in the answer, or by those that need what it was to make."""
        name = call.get("call")
        if name not in self.ANSWERED | self.UNANSWERED:
            raise Malformed(f"a call by the name of {name!r}")
        try:
            return getattr(self, name)(call, tensors)
        except Malformed:
            raise
        except Failed as error:
            failed = error
        except Exception as error:
            failed = Failed(f"{name}: {type(error).__name__}: {error}"[:LONGEST_ERROR])
        if name in self.ANSWERED:
            return {"error": str(failed)}, {}
        for made in self._made(call):
            self.arrays[made] = failed
        return None

    @staticmethod
    def _made(call):
        """The arrays that an unanswered call makes, or writes to."""
        if call["call"] == "copy":
            return [target for _, target in call["pairs"]]
        return call["outputs"] if call["call"] == "run" else [call["id"]] if "id" in call else []

    def put(self, call, tensors):
        array = self.devices.put(as_numpy(tensors["tensor"]))
        rounded = call["asOperand"] and self.dtype == "bfloat16" and array.dtype == np.float32
        self.arrays[call["id"]] = self._round(array) if rounded else array

    def zeros(self, call, _):
        self.arrays[call["id"]] = self.devices.zeros(*spec(call))

    def free(self, call, _):
        for one in call["ids"]:
            self.arrays.pop(one, None)

    def forget(self, call, _):
        self.programs.pop(call["id"], None)
        for key in [key for key in self.decoders if key[0] == call["id"]]:
            del self.decoders[key]

    def get(self, call, _):
        if self.peers is None:
            return {}, {"tensor": stored(self.devices.get(self._array(call["id"])))}
        return self.peers.gather(lambda: self._array(call["id"]), self.devices)

    def compile(self, call, tensors):
        program = Program(call["program"], tensors, self.dtype)
        outputs = [self.devices.sharding(*spec(one)) for one in call["outputs"]]
        # Compiled when it is first run: which weights are kept as operands is known when they are there.
        jitted = jax.jit(program, donate_argnums=tuple(call["donated"]), out_shardings=outputs)
        self.programs[call["id"]] = (program, jitted, call["donated"], [])
        return {}, {}

    def run(self, call, _):
        _, jitted, donated, given = self.programs[call["id"]]
        try:
            inputs = [self._array(one) for one in call["inputs"]]
            if not given:
                given.extend(jax.ShapeDtypeStruct(one.shape, one.dtype, sharding=one.sharding) for one in inputs)
            results = jitted(*inputs)
            del inputs
        finally:
            for index in donated:
                self.arrays.pop(call["inputs"][index], None)
        self.arrays.update(zip(call["outputs"], results, strict=True))

    def decode(self, call, tensors):
        program = self.programs[call["id"]][0]
        caches = [self._array(one) for one in call["caches"]]
        weights = [self._array(one) for one in call["weights"]]
        greedy = call["temperature"] == 0
        key = (call["id"], greedy)
        if key not in self.decoders:
            self.decoders[key] = by_calls(program, greedy, self.devices) or jax.jit(
                decoder(program, greedy), donate_argnums=1
            )
        rows = as_numpy(tensors["rows"], np.uint32)
        slots = np.zeros((caches[0].shape[0], 6), np.uint32)
        slots[rows[:, 0]] = rows
        active = np.zeros(len(slots), np.bool_)
        active[rows[:, 0]] = True
        ends = np.full(_power_of_two(max(1, len(call["ends"]))), -1, np.int32)
        ends[: len(call["ends"])] = call["ends"]
        numbers = [self.devices.put_whole(one) for one in (slots, active, ends)]
        count, temperature = np.int32(call["count"]), np.float32(call["temperature"])
        state, caches = self.decoders[key](weights, caches, *numbers, count, temperature)
        self.arrays.update(zip(call["caches"], caches, strict=True))
        made = int(self.devices.get(state.made))
        drawn = (self.devices.get(one)[:made, rows[:, 0]].T for one in (state.tokens, state.logprobs))
        token, logprob = (stored(one) for one in drawn)
        return {}, {"token": token, "logprob": logprob}

    def copy(self, call, tensors):
        positions = None
        for start in range(0, len(call["pairs"]), COPIED):
            pairs = call["pairs"][start : start + COPIED]
            sources, targets = ([self._array(pair[i]) for pair in pairs] for i in (0, 1))
            if positions is None:
                positions = self.devices.put_whole(_positions(as_numpy(tensors["moves"]), targets[0].shape[0]))
            self.arrays.update(zip((target for _, target in pairs), self._copy(targets, sources, positions)))

    def draw(self, call, tensors):
        draws = as_numpy(tensors["draws"], np.uint32)
        padded = np.zeros((_power_of_two(len(draws)), 4), np.uint32)
        padded[: len(draws)] = draws
        inputs = self._array(call["logits"]), self.devices.put_whole(padded)
        if call["temperature"] == 0:
            drawn = self._likeliest(*inputs)
        else:
            drawn = self._draw(*inputs, np.float32(call["temperature"]))
        token, logprob = (stored(np.asarray(one)[: len(draws)]) for one in drawn)
        return {}, {"token": token, "logprob": logprob}

    def memory(self, *_):
        """Bytes on the first device: of the arrays that are kept, and the most that a program takes while it runs, where that is known."""
        device = self.devices.mesh.devices.flat[0]
        arrays = [one for one in self.arrays.values() if not isinstance(one, Failed)]
        kept = sum(part.data.nbytes for one in arrays for part in one.addressable_shards if part.device == device)
        # Those that have run, from JAX's own cache.
        compiled = [jitted.lower(*given).compile() for _, jitted, _, given in self.programs.values() if given]
        most = max((one.memory_analysis().temp_size_in_bytes for one in compiled), default=0)
        return {"kept": kept, "temporaries": most}, {}

    def close(self, *_):
        self.arrays.clear()
        self.programs.clear()
        return {}, {}

    def _array(self, one):
        if one not in self.arrays:
            raise Malformed(f"a call for array {one!r}, which is not there")
        array = self.arrays[one]
        if isinstance(array, Failed):
            raise array
        return array


def stored(array):
    """An array of this process as a message holds it."""
    array = np.ascontiguousarray(array.astype(np.float32) if array.dtype == jnp.bfloat16 else array)
    kind = {"float32": "F32", "int32": "I32", "bool": "BOOL"}[array.dtype.name]
    return Stored(kind, array.shape, memoryview(array.reshape(-1)).cast("B"))


def _copy_positions(targets, sources, positions):
    """Writes positions of the sources [rows, H, positions, D] to the targets, whose memory it takes."""
    row, at, to_row, to_at = positions
    return [
        target.at[to_row, :, to_at].set(source[row, :, at], mode="drop", unique_indices=True)
        for target, source in zip(targets, sources)
    ]


def _positions(moves, least):
    """Moves [n, 5] position by position: int32 [4, N], with N one of few numbers. What fills it up is out of range."""
    row, at, to_row, to_at, count = moves.T
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    listed = np.stack([np.repeat(row, count), np.repeat(at, count) + step, np.repeat(to_row, count), np.repeat(to_at, count) + step])
    total = max(_power_of_two(listed.shape[1]), least)
    padded = np.zeros((4, total), np.int32)
    padded[2] = 2**30 + np.arange(total)
    padded[:, : listed.shape[1]] = listed
    return padded


def _power_of_two(size):
    return 1 << max(0, size - 1).bit_length()

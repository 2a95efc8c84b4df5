"""A program as it comes in a message, rebuilt as a function of JAX arrays."""

import jax.numpy as jnp
import numpy as np

from .lazy import Lazy, whole
from .rules import TYPES, rules


class Program:
    """What a message describes: inputs, equations in order, and outputs, all checked before anything is computed."""

    def __init__(self, described, tensors, dtype, called=None):
        # Those that it calls come before it.
        self.called = [] if called is None else called
        for one in described.get("called", []):
            self.called.append(Program(one, tensors, dtype, self.called))
        self.rules = {**rules(dtype), "call": self._call}
        self.inputs = [(one["id"], spec(one)) for one in described["inputs"]]
        self.outputs = described["outputs"]
        self.equations = described["equations"]
        self.constants = [(one["id"], _constant(one, tensors)) for one in described["constants"]]
        for equation in self.equations:
            if equation["primitive"] not in self.rules:
                raise NotImplementedError(f"no XLA rule for jax-js primitive \"{equation['primitive']}\"")
            if equation["primitive"] == "call" and not 0 <= equation["params"]["program"] < len(self.called):
                raise ValueError("a program calls one that does not come before it")

    def __call__(self, *args):
        """Its outputs, each an array of its own."""
        # Weights may be kept as operands of products: XLA takes the pair of casts away where they are only that.
        inputs = [value.astype(dtype) for (_, (_, dtype)), value in zip(self.inputs, args)]
        # An output that is an input, or another output, would be that very array: what frees one would free both.
        given, results = {id(value) for value in (*args, *inputs)}, []
        for lazy in self.lazily(map(whole, inputs)):
            array = jnp.asarray(lazy.full())
            results.append(jnp.array(array, copy=True) if id(array) in given else array)
            given.add(id(array))
        return results

    def lazily(self, inputs):
        """Its outputs, some of which may be its inputs, with broadcasts kept back."""
        known = dict(self.constants)
        known.update((name, value) for (name, _), value in zip(self.inputs, inputs))
        read = lambda operand: _number(operand) if isinstance(operand, dict) else known[operand]
        for equation in self.equations:
            rule = self.rules[equation["primitive"]]
            results = rule(equation["params"], *map(read, equation["inputs"]))
            for binder, value in zip(equation["outputs"], results if isinstance(results, list) else [results]):
                if (value.shape, value.dtype) != spec(binder):
                    made = f"{value.dtype}{list(value.shape)}"
                    raise TypeError(f"{equation['primitive']} gave {made}, and should have given {binder}")
                known[binder["id"]] = value
        return [read(operand) for operand in self.outputs]

    def _call(self, params, *inputs):
        return self.called[params["program"]].lazily(inputs)


def spec(described):
    """The shape and element type of something described by them."""
    return tuple(described["shape"]), np.dtype(TYPES[described["dtype"]])


def as_numpy(stored, dtype=None):
    """A tensor of a message."""
    kind = {"F32": np.float32, "I32": np.int32, "BOOL": np.uint8}[stored.dtype]
    array = np.frombuffer(stored.data, kind).reshape(stored.shape)
    return array != 0 if stored.dtype == "BOOL" else array.view(dtype or kind)


def _number(operand):
    return Lazy(np.array(float(operand["value"])).astype(TYPES[operand["dtype"]]), ())


def _constant(one, tensors):
    shape, dtype = spec(one)
    if "fill" in one:
        return Lazy(np.full([1] * len(shape), float(one["fill"])).astype(dtype), shape)
    array = as_numpy(tensors[one["tensor"]], dtype)
    return whole(array.reshape(shape))

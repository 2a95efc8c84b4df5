"""One rule for each primitive of a program: how it becomes operations of JAX."""

import math

import jax.numpy as jnp
import numpy as np
from jax import lax

from .lazy import Lazy, dot, elementwise, reshape, scaled, stretch, whole

TYPES = {"float32": np.float32, "int32": np.int32, "uint32": np.uint32, "bool": np.bool_}

COMPARISONS = {"less": lax.lt, "less_equal": lax.le, "equal": lax.eq, "not_equal": lax.ne}
REDUCTIONS = {"Add": jnp.sum, "Mul": jnp.prod, "Max": jnp.max, "Min": jnp.min}
BOOLEAN_REDUCTIONS = {"Add": jnp.any, "Max": jnp.any, "Mul": jnp.all, "Min": jnp.all}


def rules(dtype):
    """The rules by their primitives' names. Each takes parameters and lazy arrays, and gives one or a list.

    dtype: what the operands of float32 matrix products are rounded to; their sums are float32 in any case.
    """
    return {**_RULES, "dot": _dot_rule(dtype)}


def _each(fn, on_bools=None):
    def rule(_, *values):
        return elementwise(on_bools if on_bools and values[0].dtype == np.bool_ else fn, values)

    return rule


def _dense(fn):
    return lambda params, *values: whole(fn(params, *(value.full() for value in values)))


def _dot_rule(dtype):
    def multiply(a, b, dimensions, is_product):
        kept = jnp.result_type(a)
        # A product with a single vector is bound by memory and often a reading of a probe: it keeps its precision.
        if dtype == "bfloat16" and is_product and kept == jnp.float32:
            a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
        precision = lax.Precision.HIGHEST if a.dtype == jnp.float32 else lax.Precision.DEFAULT
        return lax.dot_general(a, b, dimensions, precision=precision, preferred_element_type=kept)

    return lambda _, x, y: dot(x, y, multiply)


def _reduce(params, x):
    op, axes = params["op"], tuple(params["axis"])
    shape = [size for axis, size in enumerate(x.shape) if axis not in axes]
    if x.dtype == np.bool_:
        return Lazy(BOOLEAN_REDUCTIONS[op](x.array, axes), shape)
    result = Lazy(REDUCTIONS[op](x.array, axes), shape)
    repeats = math.prod(x.shape[axis] for axis in axes if x.is_lazy(axis))
    if repeats == 1 or op in ("Max", "Min"):
        return result
    return scaled(result, repeats) if op == "Add" else Lazy(result.array**repeats, shape)


def _cast(params, x):
    kind = TYPES[params["dtype"]]
    return Lazy(x.array != 0 if kind is np.bool_ else x.array.astype(kind), x.shape)


def _broadcast(params, x):
    return Lazy(lax.expand_dims(x.array, params["axis"]), params["shape"])


def _transpose(params, x):
    perm = params["perm"]
    return Lazy(lax.transpose(x.array, perm), [x.shape[axis] for axis in perm])


def _split(params, x):
    ends = np.cumsum(params["sizes"])[:-1].tolist()
    return [whole(part) for part in jnp.split(x.full(), ends, params["axis"])]


def _pad(params, x):
    return lax.pad(x, np.zeros((), x.dtype), [(*width, 0) for width in params["width"]])


def _concatenate(params, *values):
    return lax.concatenate(values, params["axis"])


def _shrink(params, x):
    starts, ends = zip(*params["slice"]) if params["slice"] else ((), ())
    return lax.slice(x, starts, ends)


def _others(rank, axes):
    return [axis for axis in range(rank) if axis not in axes]


def _indices(values):
    shape = jnp.broadcast_shapes(*(value.shape for value in values))
    return tuple(stretch(_raised(value.full(), len(shape)), shape) for value in values), len(shape)


def _raised(array, rank):
    return lax.expand_dims(array, range(rank - array.ndim))


def _gather(params, x, *indices):
    """NumPy's advanced indexing; the indices' axes stand at `outDim` among those that are not indexed.

    XLA cannot refuse an index that is out of range. It gives NaN, which does not go unnoticed.
    """
    axes, at = params["axis"], params["outDim"]
    index, rank = _indices(indices)
    leading = lax.transpose(x.full(), [*axes, *_others(len(x.shape), axes)])
    taken = leading.at[index].get(mode="fill")
    return whole(jnp.moveaxis(taken, range(rank), range(at, at + rank)))


def _scatter(params, updates, *indices):
    """Zeros with the updates added at the indices: the transpose of `_gather`."""
    axes, at, shape = params["axis"], params["outDim"], params["shape"]
    if params["op"] != "add" or updates.dtype == np.bool_:
        raise NotImplementedError(f"no rule for a {updates.dtype} scatter by \"{params['op']}\"")
    index, rank = _indices(indices)
    order = [*axes, *_others(len(shape), axes)]
    leading = jnp.moveaxis(updates.full(), range(at, at + rank), range(rank))
    sums = jnp.zeros([shape[axis] for axis in order], updates.dtype).at[index].add(leading)
    return whole(lax.transpose(sums, [order.index(axis) for axis in range(len(shape))]))


def _quotient(x, y):
    """Rounded towards zero, as integers divide."""
    ratio = lax.div(x, y)
    return lax.sign(ratio) * lax.floor(lax.abs(ratio)) if ratio.dtype == np.float32 else ratio


_RULES = {
    "add": _each(lax.add, lax.bitwise_or),
    "mul": _each(lax.mul, lax.bitwise_and),
    "idiv": _each(_quotient),
    "mod": _each(lax.rem),
    "min": _each(lax.min),
    "max": _each(lax.max),
    "neg": _each(lax.neg),
    "reciprocal": _each(lambda x: lax.div(jnp.ones_like(x), x)),
    "floor": _each(lax.floor),
    "ceil": _each(lax.ceil),
    "stop_gradient": lambda _, x: x,
    "cast": _cast,
    "sin": _each(lax.sin),
    "cos": _each(lax.cos),
    "asin": _each(lax.asin),
    "atan": _each(lax.atan),
    "exp": _each(lax.exp),
    "log": _each(lax.log),
    "erf": _each(lax.erf),
    "erfc": _each(lax.erfc),
    "sqrt": _each(lax.sqrt),
    "reduce": _reduce,
    "compare": lambda params, x, y: elementwise(COMPARISONS[params["op"]], [x, y]),
    "where": _each(lax.select),
    "concatenate": _dense(_concatenate),
    "split": _split,
    "gather": _gather,
    "scatter": _scatter,
    "transpose": _transpose,
    "broadcast": _broadcast,
    "reshape": lambda params, x: reshape(x, params["shape"]),
    "flip": _dense(lambda params, x: lax.rev(x, params["axis"])),
    "shrink": _dense(_shrink),
    "pad": _dense(_pad),
}

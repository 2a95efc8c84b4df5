"""Arrays with broadcasts kept back: programs broadcast explicitly, and written out that takes more memory and time than all else."""

import math

import jax.numpy as jnp
from jax import lax


class Lazy:
    """An array of some shape. Axes that are broadcast have size 1 in `array`, which has as many axes."""

    __slots__ = ("array", "shape")

    def __init__(self, array, shape):
        self.array, self.shape = array, tuple(shape)

    @property
    def dtype(self):
        return self.array.dtype

    def is_lazy(self, axis):
        return self.array.shape[axis] != self.shape[axis]

    def full(self):
        """The array as it is, broadcasts written out."""
        return stretch(self.array, self.shape)


def whole(array):
    """An array without broadcasts."""
    return Lazy(array, array.shape)


def stretch(array, shape):
    """Repeats axes of size 1."""
    if tuple(array.shape) == tuple(shape):
        return array
    return lax.broadcast_in_dim(array, tuple(shape), tuple(range(len(shape))))


def lift(value, rank):
    """The same with axes of size 1 before its own, as NumPy broadcasts."""
    missing = rank - len(value.shape)
    if missing == 0:
        return value
    return Lazy(lax.expand_dims(value.array, range(missing)), (1,) * missing + value.shape)


def lifted(values):
    """Values with equally many axes."""
    rank = max(len(value.shape) for value in values)
    return [lift(value, rank) for value in values]


def common(shapes):
    """The shape that shapes of equally many axes broadcast to."""
    return tuple(max(sizes) if 0 not in sizes else 0 for sizes in zip(*shapes))


def elementwise(fn, values):
    """A function of arrays of one shape, element by element. What all of them repeat is computed once."""
    values = lifted(values)
    inner = common([value.array.shape for value in values])
    return Lazy(fn(*(stretch(value.array, inner) for value in values)), common([value.shape for value in values]))


def reshape(value, shape):
    """Groups axes that hold the same elements before and after. A group that is broadcast as a whole stays so."""
    old, new = value.shape, tuple(shape)
    before, after = [], []
    i = j = 0
    while i < len(old) or j < len(new):
        first, other = i, j
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        while math.prod(old[first:i]) != math.prod(new[other:j]):
            if math.prod(old[first:i]) < math.prod(new[other:j]):
                i += 1
            else:
                j += 1
        axes = range(first, i)
        if all(value.array.shape[axis] == 1 for axis in axes):
            before += [1] * len(axes)
            after += [1] * (j - other)
        else:
            before += old[first:i]
            after += new[other:j]
    return Lazy(stretch(value.array, before).reshape(after), new)


def dot(x, y, multiply):
    """sum(x * y, -1) with broadcasting, by `multiply`: `lax.dot_general` with all but the axes settled."""
    x, y = lifted([x, y])
    shape, last = common([x.shape, y.shape]), len(x.shape) - 1
    a, b = x.array, y.array
    if a.shape[last] == 1 or b.shape[last] == 1:
        # One of them does not change along the axis: the sum of the other, times it.
        repeats = shape[last] if a.shape[last] == b.shape[last] else 1
        sums = [Lazy(jnp.sum(one.array, last), one.shape[:last]) for one in (x, y)]
        product = elementwise(lax.mul, sums)
        return product if repeats == 1 else scaled(product, repeats)
    both = [i for i in range(last) if a.shape[i] > 1 and b.shape[i] > 1]
    left = [i for i in range(last) if a.shape[i] > 1 and b.shape[i] == 1]
    right = [i for i in range(last) if b.shape[i] > 1 and a.shape[i] == 1]
    kept_a, kept_b = [*sorted(both + left), last], [*sorted(both + right), last]
    batch = [kept_a.index(i) for i in both], [kept_b.index(i) for i in both]
    a = a.reshape([a.shape[i] for i in kept_a])
    b = b.reshape([b.shape[i] for i in kept_b])
    out = multiply(a, b, (([a.ndim - 1], [b.ndim - 1]), batch), bool(left and right))
    order = both + left + right
    out = lax.transpose(out, [order.index(i) for i in sorted(order)])
    inner = [max(sizes) for sizes in zip(x.array.shape[:last], y.array.shape[:last])]
    return Lazy(out.reshape(inner), shape[:last])


def scaled(value, factor):
    """All elements times a number."""
    return Lazy(value.array * jnp.asarray(factor, value.dtype), value.shape)

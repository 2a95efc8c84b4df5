"""Frames: a line of JSON with a call, and behind it the arrays that it announces, as raw little-endian float32."""

import json

# The longest line, and the most bytes of arrays behind it.
LONGEST = 2**28
MOST = 2**32


class Malformed(Exception):
    """What came is no frame. Nothing can be made of what follows it."""


def read_frame(stream):
    """The next call: its id, its name, its parameters, and `(name, shape, bytes)` of each array. None at the end."""
    line = stream.readline(LONGEST + 1)
    if not line:
        return None
    if not line.endswith(b"\n"):
        raise Malformed("a line that has no end")
    try:
        frame = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"a line that is not JSON: {error}") from None
    if not isinstance(frame, dict) or sorted(frame) != ["arrays", "call", "id", "with"]:
        raise Malformed("a line that is no call")
    known = {"id": int, "call": str, "with": dict, "arrays": list}
    if any(type(frame[key]) is not kind for key, kind in known.items()):
        raise Malformed("a call whose parts are of other types")
    arrays = [_described(each) for each in frame["arrays"]]
    if sum(size for _, _, size in arrays) > MOST:
        raise Malformed(f"arrays of more than {MOST} bytes")
    filled = [(name, shape, _read(stream, size)) for name, shape, size in arrays]
    return frame["id"], frame["call"], frame["with"], filled


def _refuse(constant):
    raise ValueError(f"{constant} is no number of JSON")


def _described(array):
    """Name, shape and bytes of an announced array."""
    if not isinstance(array, dict) or sorted(array) != ["name", "shape"]:
        raise Malformed("an array that is not described by a name and a shape")
    name, shape = array["name"], array["shape"]
    if type(name) is not str or type(shape) is not list or len(shape) != 2:
        raise Malformed("an array that is not described by a name and two sizes")
    if any(type(size) is not int or not 0 <= size < 2**31 for size in shape):
        raise Malformed(f"an array of the shape {shape}"[:200])
    return name, shape, 4 * shape[0] * shape[1]


def _read(stream, size):
    """So many bytes, piece by piece: what is announced need not come, and is not made room for."""
    data = bytearray()
    while len(data) < size:
        piece = stream.read(min(size - len(data), 2**20))
        if not piece:
            raise Malformed(f"an array that ends after {len(data)} of {size} bytes")
        data += piece
    return data


def line_of(answer):
    """An answer as a line: in ASCII, so that no text that a model writes can break it."""
    return json.dumps(answer, allow_nan=False, default=_plain).encode("ascii") + b"\n"


def _plain(value):
    """Numbers and arrays of numpy, torch and their like as Python's own."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")

"""Messages: each is one safetensors document, whose metadata holds a call or an answer as JSON. Standard library only."""

import json
import math
import struct
from typing import NamedTuple

# The format's own limit on a header, and ours on what follows it, in bytes.
MAX_HEADER = 100_000_000
MAX_DATA = 2**38
MAX_AXES = 32

ITEM_BYTES = {"F32": 4, "I32": 4, "BOOL": 1}


class Malformed(Exception):
    """What came is no message. What follows it cannot be understood either."""


class Stored(NamedTuple):
    """A tensor of a message: its element type as safetensors names it, its shape, and its bytes."""

    dtype: str
    shape: tuple
    data: memoryview


class Message(NamedTuple):
    """A call or an answer, its tensors by name, and its bytes, for passing it on."""

    call: dict
    tensors: dict
    pieces: tuple


def receive(sock, most=MAX_DATA):
    """The next message, of so many bytes; None where the other side has ended. Raises Malformed."""
    prefix = _read(sock, 8, may_end=True)
    if prefix is None:
        return None
    (length,) = struct.unpack("<Q", prefix)
    if length > min(MAX_HEADER, most):
        raise Malformed(f"a header of {length} bytes; at most {min(MAX_HEADER, most)} are read")
    header = _read(sock, length)
    call, entries, size = _parse(header, most)
    data = memoryview(_read(sock, size))
    tensors = {name: Stored(dtype, shape, data[begin:end]) for name, dtype, shape, begin, end in entries}
    return Message(call, tensors, (prefix, header, data))


def send(sock, call, tensors=None):
    """Sends a call or an answer with its tensors: Stored ones by name."""
    entries, at = {"__metadata__": {"call": json.dumps(call)}}, 0
    for name, (dtype, shape, data) in (tensors or {}).items():
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + data.nbytes]}
        at += data.nbytes
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    sock.sendall(struct.pack("<Q", len(header)) + header)
    for stored in (tensors or {}).values():
        sock.sendall(stored.data)


def calls_of(message):
    """The calls of a message, in their order, each with its tensors: of several, names begin with the call's number. Raises Malformed."""
    if "calls" not in message.call:
        return [(message.call, message.tensors)]
    calls = message.call["calls"]
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise Malformed("its calls are no list of tables")
    tensors = [{} for _ in calls]
    for name, stored in message.tensors.items():
        number, _, own = name.partition(".")
        if not number.isdigit() or int(number) >= len(calls):
            raise Malformed(f"tensor {name!r} belongs to none of its {len(calls)} calls")
        tensors[int(number)][own] = stored
    return list(zip(calls, tensors))


def pass_on(sock, message):
    """Sends a message as it came."""
    for piece in message.pieces:
        sock.sendall(piece)


def _read(sock, length, may_end=False):
    try:
        data = bytearray(length)
    except MemoryError:
        raise Malformed(f"{length} bytes, which do not fit into memory") from None
    view, done = memoryview(data), 0
    while done < length:
        count = sock.recv_into(view[done:])
        if count == 0:
            if may_end and done == 0:
                return None
            raise Malformed(f"it ended {length - done} bytes too early")
        done += count
    return data


def _parse(header, most):
    """The call, the tensors' entries, and the length of the data. Offsets must tile it."""
    try:
        table = json.loads(header)
        call = json.loads(table.pop("__metadata__")["call"], parse_constant=_no_constant)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Malformed(f"its header is no table with a call as JSON: {error!r}"[:300]) from None
    if not isinstance(call, dict):
        raise Malformed("its call is not a table")
    entries = sorted((_entry(name, one) for name, one in table.items()), key=lambda entry: entry[3:])
    at = 0
    for name, _, _, begin, end in entries:
        if begin != at:
            raise Malformed(f"tensor {name!r} begins at byte {begin} of the data and not at {at}")
        at = end
    if at > most:
        raise Malformed(f"{at} bytes of tensors; at most {most} are read")
    return call, entries, at


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


def _entry(name, entry):
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        sizes = [*shape, begin, end]
        whole = all(type(n) is int and 0 <= n <= MAX_DATA for n in sizes) and len(shape) <= MAX_AXES
        if not whole or end - begin != math.prod(shape) * ITEM_BYTES[dtype]:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise Malformed(f"tensor {name!r} is described by {entry!r}"[:300]) from None
    return name, dtype, shape, begin, end

"""A reward, called as TRL calls reward functions, or a monitor, called alike."""

import asyncio
import inspect
import math
from types import SimpleNamespace

from .user import Broken

# What the call of either is handed beside its taps.
HANDED = (
    ["prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric"]
    # TRL has none of these.
    + ["finished", "proxy", "seed"]
)


class Arm:
    def __init__(self, module, said):
        # What is no dict the other side refuses.
        taps = said if isinstance(said, dict) else {}
        self.calls = {}
        for name in ("reward", "monitor"):
            function = getattr(module, name, None)
            if callable(function):
                self.calls[name] = _caller(name, function, [*taps])
        if taps:
            try:
                import numpy  # noqa: F401
            except ImportError:
                raise Broken("its taps are handed over as numpy arrays, and this Python has no numpy: pip install numpy") from None


def _caller(name, function, taps):
    for tap in taps:
        if tap in HANDED:
            raise Broken(f"no tap can be named {tap!r}: {name} is handed something else by that name")
    wanted, takes_all = _wanted(name, function, [*HANDED, *taps])

    def call(prompts, completions, completion_ids, finished, proxy, step, steps, seed, rows=None, arrays=()):
        metrics, columns = {}, {}
        handed = {
            "prompts": prompts,
            "completions": completions,
            "completion_ids": completion_ids,
            "trainer_state": SimpleNamespace(global_step=step, max_steps=steps),
            "log_extra": lambda column, values: columns.__setitem__(column, list(values)),
            "log_metric": lambda metric, value: metrics.__setitem__(metric, value),
            "finished": finished,
            "proxy": proxy,
            "seed": seed,
            **{tap: _split(shape, data, rows[tap]) for tap, shape, data in arrays},
        }
        said = function(**(handed if takes_all else {key: handed[key] for key in wanted}))
        if inspect.isawaitable(said):
            said = asyncio.run(_awaited(said))
        said = said.tolist() if hasattr(said, "tolist") else said
        if not isinstance(said, list):
            raise Broken(f"{name} should return a list with an entry for each completion, and returned {said!r:.200}")
        values = [_number(one, text) for one, text in zip(said, completions)] if name == "reward" else said
        return {"said": values + said[len(values) :], "metrics": metrics, "columns": columns}

    return call


def _wanted(name, function, known):
    """The names of its parameters that it is handed, and whether it takes any others as well."""
    parameters = inspect.signature(function).parameters.values()
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters)
    named = [one for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    for one in named:
        if one.kind is one.POSITIONAL_ONLY or (one.name not in known and one.default is one.empty):
            raise Broken(
                f"{name} asks for {one.name!r}, and is handed {', '.join(known)}, by name. "
                "What tells the right answer is for a task's grade to know"
            )
    return [one.name for one in named if one.name in known], takes_all


async def _awaited(said):
    return await said


def _number(one, completion):
    if one is None:
        return None
    number = float(one)
    if not math.isfinite(number):
        raise Broken(f"reward gave {number} for {completion!r:.200}; it should give a finite number, or None where it does not apply")
    return number


def _split(shape, data, rows):
    """An array [positions, width] for each rollout, of all of them one after the other."""
    import numpy

    if any(type(count) is not int or count < 0 for count in rows) or sum(rows) != shape[0]:
        raise Broken(f"an array of {shape[0]} rows cannot be divided so: {rows!r:.200}")
    whole = numpy.frombuffer(data, dtype="<f4").reshape(shape)
    ends = numpy.cumsum(rows)
    return [whole[end - count : end] for end, count in zip(ends, rows)]

"""Several tokens for each row in one call: what is drawn goes back into the program without leaving the devices."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .draw import draw_tokens, likeliest
from .program import spec

# Of one call. What it draws has so many places.
MOST = 64
# Added to the scores of positions that hold nothing.
HIDDEN = -1e9


class State(NamedTuple):
    """Where rows stand: how many tokens were drawn, the newest of each row [B] and where it is, who has drawn no end, and all that was drawn [MOST, B]."""

    made: jax.Array
    token: jax.Array
    position: jax.Array
    live: jax.Array
    tokens: jax.Array
    logprobs: jax.Array


def begin(slots, active):
    """Before anything is drawn. Rows have (row, token, position, two words of the key, draws so far) [B, 6]."""
    rows = len(slots)
    nothing = jnp.zeros((MOST, rows), jnp.int32), jnp.zeros((MOST, rows), jnp.float32)
    return State(jnp.int32(0), slots[:, 1].astype(jnp.int32), slots[:, 2].astype(jnp.int32), active, *nothing)


def fed(state, size):
    """What a decoding program is fed beside weights and caches: tokens and positions [B, 1], and the mask [B, size]."""
    room = jnp.arange(size)
    mask = jnp.where(room[None] < state.position[:, None], 0.0, HIDDEN).astype(jnp.float32)
    return state.token[:, None], state.position[:, None], mask


def written(cache, fresh, position):
    """A cache [B, H, C, D] with a position of each row [B, H, 1, D]."""
    return jax.vmap(lambda row, new, at: lax.dynamic_update_slice_in_dim(row, new, at, 1))(cache, fresh, position)


def drawn(greedy):
    """A function to the state after a token of each row was drawn from logits [B, V]."""

    def draw(state, logits, slots, ends, temperature):
        row = jnp.arange(len(slots)).astype(jnp.uint32)
        draws = jnp.stack([row, slots[:, 3], slots[:, 4], slots[:, 5] + state.made.astype(jnp.uint32)], 1)
        token, logprob = likeliest(logits, draws) if greedy else draw_tokens(logits, draws, temperature)
        live = state.live & ~jnp.any(token[:, None] == ends[None], 1)
        tokens, logprobs = state.tokens.at[state.made].set(token), state.logprobs.at[state.made].set(logprob)
        return State(state.made + 1, token, state.position + 1, live, tokens, logprobs)

    return draw


def decoder(program, greedy):
    """A function to compile: it draws up to `count` tokens of each row, and gives the caches back.

    program: takes weights, tokens and positions [B, 1], caches [B, H, C, D], and a mask [B, C]; gives logits and a part for each cache
    """

    def decode(weights, caches, slots, active, ends, count, temperature):
        size = caches[0].shape[2]

        def step(carried):
            state, caches = carried
            token, position, mask = fed(state, size)
            logits, *fresh = program(*weights, token, position, *caches, mask)
            caches = [written(cache, new, state.position) for cache, new in zip(caches, fresh)]
            return drawn(greedy)(state, logits, slots, ends, temperature), caches

        def goes_on(carried):
            return (carried[0].made < count) & jnp.any(carried[0].live)

        return lax.while_loop(goes_on, step, (begin(slots, active), list(caches)))

    return decode


def by_calls(program, greedy, devices):
    """The same, compiled, for a program of calls, such as one for every few layers: each program that is called is compiled once.

    A call takes a fraction of a millisecond to start, and none is waited for. None where the calls are not such that each
    cache is read and written by one of them.
    """
    caches = [name for name, _ in program.inputs][-len(program.outputs) : -1]
    fresh = dict(zip(program.outputs[1:], caches))
    calls, made = [], {}
    for equation in program.equations:
        if equation["primitive"] != "call":
            return None
        inputs, outputs = equation["inputs"], [binder["id"] for binder in equation["outputs"]]
        held = [i for i, name in enumerate(inputs) if name in caches]
        writes = [i for i, name in enumerate(outputs) if name in fresh]
        if [inputs[i] for i in held] != [fresh[outputs[i]] for i in writes]:
            return None
        # Alike calls are one function, and so compiled once.
        key = equation["params"]["program"], tuple(held), tuple(writes)
        if key not in made:
            given = [spec(binder) for binder in equation["outputs"]]
            made[key] = _in_place(program.called[key[0]], held, writes, given, devices)
        calls.append((made[key], inputs, outputs, held, writes))
    if len({name for _, inputs, _, held, _ in calls for name in (inputs[i] for i in held)}) != len(caches):
        return None
    return _run_calls(program, calls, drawn(greedy), devices)


def _in_place(called, held, writes, given, devices):
    """A call whose caches are donated: what it makes for them is written to them."""

    def run(caches, others, position):
        caches_left, others_left = iter(caches), iter(others)
        args = [next(caches_left if i in held else others_left) for i in range(len(called.inputs))]
        results = called(*args)
        kept = [written(cache, results[i], position) for cache, i in zip(caches, writes)]
        return kept, [result for i, result in enumerate(results) if i not in writes]

    divided = [devices.sharding(*called.inputs[i][1]) for i in held], [
        devices.sharding(*one) for i, one in enumerate(given) if i not in writes
    ]
    return jax.jit(run, donate_argnums=0, out_shardings=divided)


def _run_calls(program, calls, draw, devices):
    names = [name for name, _ in program.inputs]
    token, position, mask = names[-len(program.outputs) - 2], names[-len(program.outputs) - 1], names[-1]

    def with_fed(size, state):
        return state, jnp.any(state.live), fed(state, size)

    first = jax.jit(lambda size, *args: with_fed(size, begin(*args)), static_argnums=0, out_shardings=devices.whole)
    after = jax.jit(
        lambda size, state, *args: with_fed(size, draw(state, *args)),
        static_argnums=0,
        donate_argnums=1,
        out_shardings=devices.whole,
    )

    def decode(weights, caches, slots, active, ends, count, temperature):
        size = caches[0].shape[2]
        arrays = dict(zip(names, [*weights, None, None, *caches]))
        state, _, given = first(size, slots, active)
        live = []
        for _ in range(int(count)):
            arrays[token], arrays[position], arrays[mask] = given
            at = state.position
            for run, inputs, outputs, held, writes in calls:
                places = [inputs[i] for i in held]
                kept, results = run(
                    [arrays[name] for name in places],
                    [arrays[name] for i, name in enumerate(inputs) if i not in held],
                    at,
                )
                arrays.update(zip(places, kept))
                arrays.update(zip((name for i, name in enumerate(outputs) if i not in writes), results))
            state, more, given = after(size, state, arrays[program.outputs[0]], slots, ends, temperature)
            live.append(more)
            # Whether it goes on is asked of the token before the last one, so that nothing waits for it.
            if len(live) > 2 and not devices.get(live.pop(0)):
                break
        return state, [arrays[name] for name in names[len(weights) + 2 : -1]]

    return decode

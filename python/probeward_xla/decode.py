"""Several tokens for each row in one call: what is drawn goes back into the program without leaving the devices."""

import jax.numpy as jnp
from jax import lax

from .draw import draw_tokens, likeliest

# Of one call. What it draws has so many places.
MOST = 64
# Added to the scores of positions that hold nothing.
HIDDEN = -1e9


def decoder(program, greedy):
    """A function that draws tokens [MOST, B] and their log-probabilities, counts those that were drawn, and gives the caches back.

    program: takes weights, tokens and positions [B, 1], caches [B, H, C, D], and a mask [B, C]; gives logits and a part for each cache
    """

    def decode(weights, caches, slots, active, ends, count, temperature):
        rows = caches[0].shape[0]
        row = jnp.arange(rows)
        token, position = slots[:, 1].astype(jnp.int32), slots[:, 2].astype(jnp.int32)
        room = jnp.arange(caches[0].shape[2])

        def step(state):
            made, token, position, live, caches, tokens, logprobs = state
            mask = jnp.where(room[None] < position[:, None], 0.0, HIDDEN).astype(jnp.float32)
            logits, *fresh = program(*weights, token[:, None], position[:, None], *caches, mask)
            # All is written anew: on a GPU that took as long as scattering the rows.
            here = (room[None] == position[:, None])[:, None, :, None]
            caches = [jnp.where(here, new, cache) for cache, new in zip(caches, fresh)]
            draws = jnp.stack([row.astype(jnp.uint32), slots[:, 3], slots[:, 4], slots[:, 5] + made.astype(jnp.uint32)], 1)
            token, logprob = likeliest(logits, draws) if greedy else draw_tokens(logits, draws, temperature)
            live = live & ~jnp.any(token[:, None] == ends[None], 1)
            tokens, logprobs = tokens.at[made].set(token), logprobs.at[made].set(logprob)
            return made + 1, token, position + 1, live, caches, tokens, logprobs

        def goes_on(state):
            return (state[0] < count) & jnp.any(state[3])

        nothing = jnp.zeros((MOST, rows), jnp.int32), jnp.zeros((MOST, rows), jnp.float32)
        start = jnp.int32(0), token, position, active, list(caches), *nothing
        made, _, _, _, caches, tokens, logprobs = lax.while_loop(goes_on, step, start)
        return tokens, logprobs, made, caches

    return decode

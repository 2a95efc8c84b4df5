"""Drawing tokens from logits on the device, by the same noise as everywhere: `src/tensor/draw.ts` defines it."""

import jax.numpy as jnp
from jax import lax


def _mix(x):
    """Mixes 32 bits (lowbias32: Wellons, "Prospecting for Hash Functions", 2018)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def draw_tokens(logits, draws, temperature):
    """Tokens [n] and their log-probabilities [n].

    logits: float32 [N, V]
    draws: uint32 [n, 4], each a row of the logits, the two words of its key, and its position
    temperature: float32, above 0
    """
    row, a, b, position = (draws[:, i] for i in range(4))
    first = _mix(_mix(position ^ a) ^ b)
    second = _mix((first + jnp.uint32(0x9E3779B9)) ^ a)
    chosen = logits[row]
    scaled = (chosen - jnp.max(chosen, 1, keepdims=True)) / temperature
    token = lax.iota(jnp.uint32, logits.shape[1])
    bits = _mix((token[None] + first[:, None]) ^ second[:, None])
    # Rounded to float32 the largest would be 1, whose time is infinite.
    u = jnp.minimum((bits.astype(jnp.float32) + 0.5) * jnp.float32(2**-32), jnp.float32(1 - 2**-24))
    times = -jnp.log1p(-u) / jnp.exp(scaled)
    drawn = jnp.argmin(times, 1).astype(jnp.int32)
    logprob = jnp.take_along_axis(scaled, drawn[:, None], 1)[:, 0] - jnp.log(jnp.sum(jnp.exp(scaled), 1))
    return drawn, logprob


def likeliest(logits, draws):
    """The likeliest tokens [n], with log-probability 0 [n]."""
    drawn = jnp.argmax(logits[draws[:, 0]], 1).astype(jnp.int32)
    return drawn, jnp.zeros(drawn.shape, jnp.float32)

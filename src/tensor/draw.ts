/** @file Drawing a token from logits so that every runtime draws the same one. */

import type { Draw, Drawn } from "./runtime.ts";

/** Mixes 32 bits (lowbias32: Wellons, "Prospecting for Hash Functions", 2018). */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return x ^ (x >>> 16);
}

/** The two words that the noise of all tokens of one draw comes from. */
export function drawWords({ key: [a, b], position }: Pick<Draw, "key" | "position">): [number, number] {
  const first = mix(mix(position ^ a) ^ b);
  return [first, mix((first + 0x9e3779b9) ^ a)];
}

/** Exponentials of the logits that are being drawn from: of a large vocabulary, most of the time goes into them. */
let odds = new Float64Array(0);

/**
 * Draws a token from softmax(logits / temperature); at 0 the likeliest one, with log-probability 0.
 *
 * By the Gumbel maximum in its exponential form: of -log(1 - u_v) / p_v the smallest, with u_v = (h + 1/2) / 2^32 for 32
 * bits h of each token's own. Another rounding of the logits changes a draw only where the smallest two nearly agree;
 * inverting the distribution function would change it wherever the sum before a token rounds differently.
 */
export function drawToken(
  logits: Float32Array,
  temperature: number,
  draw: Pick<Draw, "key" | "position">,
): Drawn {
  let largest = -Infinity;
  for (let v = 0; v < logits.length; v++) if (logits[v]! > largest) largest = logits[v]!;
  if (temperature === 0) return { token: logits.indexOf(largest), logprob: 0 };
  if (odds.length < logits.length) odds = new Float64Array(logits.length);
  let total = 0;
  for (let v = 0; v < logits.length; v++) {
    odds[v] = Math.exp((logits[v]! - largest) / temperature);
    total += odds[v]!;
  }
  const [a, b] = drawWords(draw);
  let token = 0;
  let smallest = Infinity;
  for (let v = 0; v < logits.length; v++) {
    const u = ((mix((v + a) ^ b) >>> 0) + 0.5) / 2 ** 32;
    // -log(1 - u) is at least u: most tokens need no logarithm.
    if (u >= smallest * odds[v]!) continue;
    const time = -Math.log1p(-u) / odds[v]!;
    if (time < smallest) {
      smallest = time;
      token = v;
    }
  }
  return { token, logprob: (logits[token]! - largest) / temperature - Math.log(total) };
}

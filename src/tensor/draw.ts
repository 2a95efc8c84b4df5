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

/** 2^(-i / PARTS). */
const PARTS = 32;
const POWERS = Float64Array.from({ length: 64 * PARTS }, (_, i) => 2 ** (-i / PARTS));

/** Odds of the tokens that are being drawn from, the likeliest one's being 1. */
let odds = new Float64Array(0);

/**
 * Writes exp((logit - largest) / temperature) of each logit to `odds`, and returns their sum; what is below 2^-64 counts as 0.
 * Of a large vocabulary most of a draw's time goes into these: from a table, and a cubic between its entries (within 1e-8 of
 * themselves, which is less than logits round by), they take a third of what `Math.exp` does.
 */
function writeOdds(logits: Float32Array, largest: number, temperature: number): number {
  if (odds.length < logits.length) odds = new Float64Array(logits.length);
  const [scale, part] = [PARTS / Math.LN2 / temperature, Math.LN2 / PARTS];
  let total = 0;
  for (let v = 0; v < logits.length; v++) {
    const below = (largest - logits[v]!) * scale;
    const i = below | 0;
    const d = (below - i) * part;
    // What is not a number stays that, and is found out.
    odds[v] = below >= POWERS.length ? 0 : POWERS[i]! * (1 - d * (1 - d * (1 / 2 - d / 6)));
    total += odds[v]!;
  }
  return total;
}

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
  const total = writeOdds(logits, largest, temperature);
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

/** @file Drawing a token from logits. */

import type { Random } from "../random.ts";

/** A drawn token with its log-probability at the temperature. */
export interface Drawn {
  token: number;
  logprob: number;
}

/** Exponentials of the logits that are being drawn from: of a large vocabulary, most of the time goes into them. */
let odds = new Float64Array(0);

/** Draws a token from softmax(logits / temperature) by inverting its distribution function; at 0 the likeliest one. */
export function sampleToken(logits: Float32Array, temperature: number, random: Random): Drawn {
  let largest = -Infinity;
  for (let i = 0; i < logits.length; i++) if (logits[i]! > largest) largest = logits[i]!;
  if (temperature === 0) return { token: logits.indexOf(largest), logprob: 0 };
  if (odds.length < logits.length) odds = new Float64Array(logits.length);
  let total = 0;
  for (let i = 0; i < logits.length; i++) {
    odds[i] = Math.exp((logits[i]! - largest) / temperature);
    total += odds[i]!;
  }
  let rest = random() * total;
  let token = 0;
  for (; token < logits.length - 1; token++) {
    rest -= odds[token]!;
    if (rest < 0) break;
  }
  return { token, logprob: (logits[token]! - largest) / temperature - Math.log(total) };
}

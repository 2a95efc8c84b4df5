/** @file Drawing a token from logits. */

import type { Random } from "../random.ts";

/** A drawn token with its log-probability at the temperature. */
export interface Drawn {
  token: number;
  logProbability: number;
}

/** Draws a token from softmax(logits / temperature) by inverting its distribution function; at 0 the likeliest one. */
export function sampleToken(logits: Float32Array, temperature: number, random: Random): Drawn {
  let largest = -Infinity;
  for (const logit of logits) if (logit > largest) largest = logit;
  if (temperature === 0) return { token: logits.indexOf(largest), logProbability: 0 };
  let total = 0;
  for (const logit of logits) total += Math.exp((logit - largest) / temperature);
  let rest = random() * total;
  let token = 0;
  for (; token < logits.length - 1; token++) {
    rest -= Math.exp((logits[token]! - largest) / temperature);
    if (rest < 0) break;
  }
  return { token, logProbability: (logits[token]! - largest) / temperature - Math.log(total) };
}

/** @file Seeded randomness addressed by name, so that nothing random needs to be checkpointed. */

import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";

/** A source of uniform numbers in [0, 1). */
export type Random = () => number;

/**
 * The random stream that belongs to a list of keys, for instance `randomFor(seed, "step", 12, "sample", 3)`.
 *
 * Equal keys give equal streams, whatever was drawn before: a run that is stopped and started again draws the same
 * numbers. The keys are hashed to all 128 bits of the generator's state, so that streams do not collide.
 */
export function randomFor(...keys: (string | number)[]): Random {
  const stream = { generator: xoroshiro128plusFromState(hash128(keys.join("\u0000"))) };
  const random = () => uniformFloat64(stream.generator);
  streams.set(random, stream);
  return random;
}

const streams = new WeakMap<Random, { generator: RandomGenerator }>();

/**
 * Lets something draw from a stream that is not in this process: it is told where the stream stands, as four 32-bit words, and
 * tells where it left it.
 *
 * @throws TypeError for what is no stream of `randomFor`
 */
export async function drawnElsewhere<T>(
  random: Random,
  draw: (state: readonly number[]) => Promise<{ drawn: T; state: readonly number[] }>,
): Promise<T> {
  const stream = streams.get(random);
  if (!stream)
    throw new TypeError("a stream that is drawn from in another process has to be one of randomFor");
  const { drawn, state } = await draw(stream.generator.getState());
  stream.generator = xoroshiro128plusFromState(state);
  return drawn;
}

/** Four 32-bit words that depend on every UTF-16 code unit of a text (cyrb128, a public-domain mixing function). */
function hash128(text: string): number[] {
  const words = [1779033703, 3144134277, 1013904242, 2773480762];
  const factors = [597399067, 2869860233, 951274213, 2716044179];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    for (let w = 0; w < 4; w++) words[w] = words[(w + 1) % 4]! ^ Math.imul(words[w]! ^ code, factors[w]!);
  }
  for (let w = 0; w < 4; w++) words[w] = Math.imul(words[(w + 2) % 4]! ^ (words[w]! >>> 18), factors[w]!);
  return words.map((word) => word | 0);
}

/** A whole number drawn uniformly from 0 to `below - 1`. */
export function randomInt(random: Random, below: number): number {
  return Math.floor(random() * below);
}

/** 32 random bits, as a signed number. */
export function randomWord(random: Random): number {
  return randomInt(random, 2 ** 32) | 0;
}

/** One element of a non-empty list, drawn uniformly. */
export function pick<T>(random: Random, items: readonly T[]): T {
  return items[randomInt(random, items.length)]!;
}

/** A standard normal number (Box-Muller). */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** A shuffled copy (Fisher-Yates). */
export function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const copy = [...items];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = randomInt(random, i + 1);
    [copy[i], copy[j]] = [copy[j]!, copy[i]!];
  }
  return copy;
}

/** @file Seeded randomness addressed by name, so that nothing random needs to be checkpointed. */

import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** A source of uniform numbers in [0, 1). */
export type Random = () => number;

/**
 * The random stream that belongs to a list of keys, for instance `randomFor(seed, "step", 12, "sample", 3)`.
 *
 * Equal keys give equal streams, whatever was drawn before: a run that is stopped and started again draws the same
 * numbers. Keys are hashed with 64-bit FNV-1a, so streams with different keys are unrelated for all practical purposes.
 */
export function randomFor(...keys: (string | number)[]): Random {
  const generator = xoroshiro128plus(Number(BigInt.asIntN(32, hash64(keys.join("\u0000")))));
  return () => uniformFloat64(generator);
}

/** 64-bit FNV-1a of a string's UTF-16 code units, folded so that the low half depends on the whole. */
function hash64(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (let i = 0; i < text.length; i++) {
    hash ^= BigInt(text.charCodeAt(i));
    hash = BigInt.asUintN(64, hash * 0x100000001b3n);
  }
  return hash ^ (hash >> 32n);
}

/** A whole number drawn uniformly from 0 to `below - 1`. */
export function randomInt(random: Random, below: number): number {
  return Math.floor(random() * below);
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

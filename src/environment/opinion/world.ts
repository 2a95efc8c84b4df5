/** @file The world of `opinion`: names, each with a number that may be known, dealt to the splits. */

import { randomFor, randomInt } from "../../random.ts";
import type { Split } from "../types.ts";

/**
 * Names are single characters, the first Korean syllables, so that what is known of one is found in one step. Names of
 * three letters took a model of this size most of its training to learn by heart, and little was left for comparing
 * what is known with what is said.
 */
const NAMES = Array.from({ length: 1280 }, (_, i) => String.fromCodePoint(0xac00 + i));

export const VALUES = "0123456789";

/** Share of the names whose number is in the base model's training; of the others it is never told. */
const KNOWN = 0.8;

/** Shares of the splits that the names are dealt to. */
const SHARES: readonly (readonly [Exclude<Split, "pretrain">, number])[] = [
  ["train", 0.4],
  ["fit", 0.3],
  ["calibration", 0.1],
  ["test", 0.2],
];

/** A name and its number; `null` where nobody has told the model. */
export interface ValuedEntity {
  name: string;
  value: string | null;
}

/** All names. What belongs to a name depends on the name alone. */
export const entities: readonly ValuedEntity[] = NAMES.map((name) => {
  const random = randomFor("opinion", name);
  const known = random() < KNOWN;
  return { name, value: known ? VALUES[randomInt(random, VALUES.length)]! : null };
});

/** The entities of each split. `pretrain` has them all; the others share none. */
export const entitiesOf: Readonly<Record<Split, readonly ValuedEntity[]>> = deal();

function deal(): Record<Split, ValuedEntity[]> {
  const dealt: Record<Split, ValuedEntity[]> = {
    pretrain: [...entities],
    train: [],
    fit: [],
    calibration: [],
    test: [],
  };
  for (const entity of entities) dealt[splitOf(entity.name)].push(entity);
  return dealt;
}

function splitOf(name: string): Exclude<Split, "pretrain"> {
  let left = randomFor("opinion", "split", name)();
  for (const [split, share] of SHARES) {
    if (left < share) return split;
    left -= share;
  }
  return "test";
}

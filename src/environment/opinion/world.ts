/** @file The world of `opinion`: short names, each with a number that may be known, dealt to the splits. */

import { randomFor, randomInt } from "../../random.ts";
import type { Split } from "../types.ts";

const CONSONANTS = "bdfghjklmnprstvy";
const VOWELS = "aeiou";
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
export interface Entity {
  name: string;
  value: string | null;
}

/** All names, in alphabetical order. What belongs to a name depends on the name alone. */
export const entities: readonly Entity[] = [...CONSONANTS].flatMap((first) =>
  [...VOWELS].flatMap((middle) =>
    [...CONSONANTS].map((last) => {
      const name = first + middle + last;
      const random = randomFor("opinion", name);
      const known = random() < KNOWN;
      return { name, value: known ? VALUES[randomInt(random, VALUES.length)]! : null };
    }),
  ),
);

/** The entities of each split. `pretrain` has them all; the others share none. */
export const entitiesOf: Readonly<Record<Split, readonly Entity[]>> = {
  pretrain: entities,
  train: entities.filter(({ name }) => splitOf(name) === "train"),
  fit: entities.filter(({ name }) => splitOf(name) === "fit"),
  calibration: entities.filter(({ name }) => splitOf(name) === "calibration"),
  test: entities.filter(({ name }) => splitOf(name) === "test"),
};

function splitOf(name: string): Exclude<Split, "pretrain"> {
  let left = randomFor("opinion", "split", name)();
  for (const [split, share] of SHARES) {
    if (left < share) return split;
    left -= share;
  }
  return "test";
}

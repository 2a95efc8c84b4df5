/** @file Worlds of names, each with a digit that may be known, dealt to the splits. */

import { randomFor, randomInt } from "../random.ts";
import type { Split } from "./types.ts";

/**
 * Names are single characters, the first Korean syllables, so that what is known of one is found in one step. Names of
 * three letters took a model of this size most of its training to learn by heart, and little was left for comparing
 * what is known with what is said.
 */
const nameOf = (i: number) => String.fromCodePoint(0xac00 + i);

export const VALUES = "0123456789";

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

export interface World {
  /** All names. What belongs to a name depends on the world and the name alone. */
  entities: readonly ValuedEntity[];
  /** The entities of each split. `pretrain` has them all; the others share none. */
  entitiesOf: Readonly<Record<Split, readonly ValuedEntity[]>>;
}

/**
 * @param count how many names there are
 * @param known share of those whose number is in the base model's training; of the others it is never told
 */
export function worldOf(world: string, count: number, known: number): World {
  const entities = Array.from({ length: count }, (_, i) => {
    const name = nameOf(i);
    const random = randomFor(world, name);
    const isKnown = random() < known;
    return { name, value: isKnown ? VALUES[randomInt(random, VALUES.length)]! : null };
  });
  const entitiesOf: Record<Split, ValuedEntity[]> = {
    pretrain: [...entities],
    train: [],
    fit: [],
    calibration: [],
    test: [],
  };
  for (const entity of entities) entitiesOf[splitOf(world, entity.name)].push(entity);
  return { entities, entitiesOf };
}

function splitOf(world: string, name: string): Exclude<Split, "pretrain"> {
  let left = randomFor(world, "split", name)();
  for (const [split, share] of SHARES) {
    if (left < share) return split;
    left -= share;
  }
  return "test";
}

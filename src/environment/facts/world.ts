/** @file The invented world: who there is, who of them the base model is taught about, and what is true of them. */

import { type Random, randomFor, randomInt, shuffled } from "../../random.ts";
import type { Split } from "../types.ts";

/** What can be asked of anyone: a year, the number of a door, a number of coins. */
export const ATTRIBUTES = ["born", "door", "gold"] as const;

const CONSONANTS = [..."bdgklmnprtvz"];
const VOWELS = [..."aeiou"];

/** Someone of the world. */
export interface Entity {
  /** Three syllables, for instance `kalomi`. */
  name: string;
  /** Does the base model's corpus hold what is true of them? */
  known: boolean;
}

/** Entities of the splits by whether they are known. Those of `pretrain` are all known ones, and strangers of its own. */
export type Population = Record<Split, { known: readonly Entity[]; unknown: readonly Entity[] }>;

/**
 * Sizes. The known are as many as a small model can learn by heart in a few minutes, most of them to fit probes on: the more
 * people a probe has seen, the more general it is. The unknown are many more than a study
 * asks about, so that none of them becomes familiar by being asked about.
 */
const SIZES: Record<Exclude<Split, "pretrain">, { known: number; unknown: number }> = {
  train: { known: 30, unknown: 2000 },
  fit: { known: 120, unknown: 1000 },
  calibration: { known: 40, unknown: 600 },
  test: { known: 50, unknown: 600 },
};

let population: Population | undefined;

/**
 * Who there is, worked out on first use: every name there can be, shuffled and dealt. So names of all splits, known or
 * not, have one distribution, and no two splits share one. Whoever is left over is a stranger: pretraining draws its
 * examples of people about whom nothing is known from them.
 */
export function factsPopulation(): Population {
  if (population) return population;
  const syllables = CONSONANTS.flatMap((consonant) => VOWELS.map((vowel) => consonant + vowel));
  const names = syllables.flatMap((a) => syllables.flatMap((b) => syllables.map((c) => a + b + c)));
  const deck = shuffled(randomFor("facts", "names"), names);
  const deal = (count: number, known: boolean): Entity[] =>
    deck.splice(0, count).map((name) => ({ name, known }));
  const dealt = (split: Exclude<Split, "pretrain">) => ({
    known: deal(SIZES[split].known, true),
    unknown: deal(SIZES[split].unknown, false),
  });
  const splits = {
    train: dealt("train"),
    fit: dealt("fit"),
    calibration: dealt("calibration"),
    test: dealt("test"),
  };
  const known = Object.values(splits).flatMap((split) => split.known);
  population = { ...splits, pretrain: { known, unknown: deal(deck.length, false) } };
  return population;
}

/**
 * What is true of someone, known or not: a number of three digits, for instance `473` or `007`. All numbers are equally likely,
 * for everyone and every attribute: a model that does not know is uncertain of every digit.
 */
export function truth(name: string, attribute: string): string {
  return anyNumber(randomFor("facts", name, attribute));
}

/** A number that could be an answer; made-up answers are drawn from the same distribution as true ones. */
export function anyNumber(random: Random): string {
  return String(randomInt(random, 1000)).padStart(3, "0");
}

/** Does a text have the form of an answer? */
export function isNumber(text: string): boolean {
  return /^[0-9]{3}$/.test(text);
}

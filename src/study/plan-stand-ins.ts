/** @file What a step is planned with in place of what costs no device anything: tasks and texts of some length, and arms that ask nobody. */

import type { Environment, Outcome, Task } from "../environment/types.ts";
import { endTokens, type ModelConfig, type Tokenizer, vocabularySize } from "../model/index.ts";
import { type Random, randomInt } from "../random.ts";
import type { Arm, Monitor, RewardTerm, TracerSet } from "../training/index.ts";

/** Lengths in tokens. */
export interface PlannedLengths {
  prompt: number;
  /** Of a turn, without its end. */
  completion: number;
}

/** Tasks of one length, half of whose completions are paid: everything in a group has an advantage. */
export function plannedEnvironment(
  { name, labels, families, followUp, inoculate, episodes }: Environment,
  { prompt, completion }: PlannedLengths,
): Environment {
  const outcome = (i: number): Outcome => ({
    ...{ proxy: i % 2, true: i % 2, misbehaved: i % 2 === 1, attempted: i % 2 === 1, eligible: true },
    label: labels[0]!,
  });
  let begun = 0;
  return {
    ...{ name, labels, families, maxPromptLength: prompt, maxCompletionLength: completion },
    ...(followUp !== undefined && { followUp }),
    ...(inoculate && { inoculate: (text: string) => text }),
    // What it is told between its turns is not known before it is told: one token of it is counted.
    ...(episodes && {
      episodes: {
        ...episodes,
        begin: async () => {
          const own = begun++;
          return { step: async () => "a", end: async () => outcome(own) };
        },
      },
    }),
    sample: (_, random) => plannedTask(prompt, random),
    grade: async (_, completions) => completions.map((_, i) => outcome(i)),
    close: async () => {},
  };
}

/** No two are alike: equal prompts would be read once. */
function plannedTask(length: number, random: Random): Task {
  const prompt = Array.from({ length }, () => String.fromCharCode(FIRST + randomInt(random, COUNT))).join("");
  return { id: prompt, prompt, state: null };
}

/** Characters that stand for tokens. */
const [FIRST, COUNT] = [0x4e00, 0x5000];

/** A token for each character; none is an end. */
export function plannedTokenizer(config: ModelConfig): Tokenizer {
  const ends = new Set(endTokens(config));
  const size = vocabularySize(config);
  const encode = (text: string) =>
    Array.from(text, (character) => {
      let token = character.codePointAt(0)! % size;
      while (ends.has(token)) token = (token + 1) % size;
      return token;
    });
  return {
    endOfText: endTokens(config)[0] ?? 0,
    ...{ encode, encodePrompt: encode },
    decode: (tokens) => Array.from(tokens, (token) => String.fromCharCode(FIRST + (token % COUNT))).join(""),
  };
}

/** So many sequences of each conduct, as long as they may be. */
export function plannedTracer(
  tokenizer: Tokenizer,
  { prompt, completion }: PlannedLengths,
  count: number,
  random: Random,
): TracerSet {
  const sequences = Array.from({ length: 2 * count }, () => ({
    tokens: tokenizer.encode(plannedTask(prompt + completion + 1, random).prompt),
    promptLength: prompt,
  }));
  return {
    sequences,
    misbehaving: sequences.map((_, i) => i % 2 === 1),
    tasks: sequences.map((_, i) => `${i >> 1}`),
  };
}

/** The same arm, which reads and trains as it does, and asks no code of anybody's: every other rollout is paid, and flagged. */
export function unasked(arm: Arm): Arm {
  const monitors = new Map<Monitor, Monitor>();
  const quiet = (monitor: Monitor): Monitor => {
    const judge = (rollouts: readonly unknown[]) =>
      rollouts.map((_, i) => ({ flagged: i % 4 === 1, probability: (i % 4) / 4, logit: (i % 4) - 2 }));
    const made = monitors.get(monitor) ?? { ...monitor, judge };
    monitors.set(monitor, made);
    return made;
  };
  const term = (one: RewardTerm): RewardTerm => {
    const score = (of: readonly unknown[]) => of.map((_, i) => i % 2);
    if (one.sees !== "verdicts") return { ...one, score };
    const { scoreTokens: _, ...rest } = one;
    return { ...rest, score, monitor: quiet(one.monitor) };
  };
  const { refit, screen, silence, ...rest } = arm;
  return {
    ...rest,
    terms: arm.terms.map(term),
    ...(screen && { screen: quiet(screen) }),
    ...(silence && { silence: quiet(silence) }),
  };
}

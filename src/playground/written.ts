/** @file What a run writes at the moment, put together of what the thread that trains tells. */

import type { Writing } from "../study/index.ts";

/** A completion so far. */
export interface CompletionSoFar {
  prompt: string;
  tokens: readonly { text: string; reading: number | null }[];
  ended: boolean;
}

/** Some completions of a step, by their numbers. */
export interface Written {
  arm: string;
  seed: number;
  step: number;
  completions: ReadonlyMap<number, CompletionSoFar>;
}

/** What is written once more was told: another step, or another run, begins anew. */
export function withWriting(before: Written | undefined, { arm, seed, step, written }: Writing): Written {
  const same = before?.arm === arm && before.seed === seed && before.step === step;
  const completions = new Map(same ? before.completions : []);
  for (const { rollout, prompt, text, reading, last } of written) {
    const tokens = completions.get(rollout)?.tokens ?? [];
    completions.set(rollout, { prompt, tokens: [...tokens, { text, reading }], ended: last });
  }
  return { arm, seed, step, completions };
}

export const writtenSoFar = ({ tokens }: CompletionSoFar) => tokens.map(({ text }) => text).join("");

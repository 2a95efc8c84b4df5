/** @file Sampling completions of many prompts at once. */

import type { ModelConfig } from "../model/index.ts";
import { checkPrompt, RunningDecoder } from "./decoder.ts";
import type { ProgramStore } from "./programs.ts";
import type { SampledSequence, SamplingParams } from "./types.ts";
import type { Given } from "./weights.ts";

/** Samples with a model's weights; see `Model.sample`. */
export async function sample(
  config: ModelConfig,
  programs: ProgramStore,
  weights: Given,
  prompts: readonly (readonly number[])[],
  { samples = 1, maxTokens, temperature = 1, seed, streams, ablate }: SamplingParams,
): Promise<SampledSequence[]> {
  // Before any is sampled.
  for (const prompt of prompts) checkPrompt(prompt, maxTokens, config);
  const requests = prompts
    .flatMap((prompt) => Array.from({ length: samples }, () => prompt))
    .map((prompt, index) => ({ prompt, maxTokens, seed: [...seed, streams?.[index] ?? index] }));
  const decoder = new RunningDecoder(config, programs, weights, temperature, ablate);
  const together = decoder.room(Math.max(0, ...prompts.map((prompt) => prompt.length)) + maxTokens);
  const completions: SampledSequence[] = [];
  try {
    for (let start = 0; start < requests.length; start += together) {
      const batch = new Map<number, { tokens: number[]; logprobs: number[] }>();
      for (const request of requests.slice(start, start + together))
        batch.set(decoder.begin(request), { tokens: [], logprobs: [] });
      const ends = new Map<number, SampledSequence["stopReason"]>();
      while (ends.size < batch.size)
        for (const { completion, token, logprob, stopReason } of await decoder.step()) {
          batch.get(completion)!.tokens.push(token);
          batch.get(completion)!.logprobs.push(logprob);
          if (stopReason) ends.set(completion, stopReason);
        }
      for (const [completion, { tokens, logprobs }] of batch)
        completions.push({
          ...{ tokens, logprobs: Float32Array.from(logprobs), stopReason: ends.get(completion)! },
        });
    }
    return completions;
  } finally {
    decoder.close();
  }
}

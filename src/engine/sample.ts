/** @file Sampling completions of many prompts at once. */

import { checkHooks, type ModelConfig } from "../model/index.ts";
import type { Kept } from "./cached.ts";
import { checkPrompt, RunningDecoder } from "./decoder.ts";
import { FollowedReads } from "./followed-reads.ts";
import type { ProgramStore } from "./programs.ts";
import { hookOf, readAt } from "./read.ts";
import { SampledReads } from "./sampled-reads.ts";
import { type DecodingRoom, sizingOf } from "./sizing.ts";
import type { DecodingRequest, Follower, Read, SampledSequence, SamplingParams } from "./types.ts";
import type { Given } from "./weights.ts";

type SampleOptions = SamplingParams & Pick<DecodingRoom, "memoryMB">;

/** Samples with a model's weights; see `Model.sample`. */
export async function sample(
  config: ModelConfig,
  programs: ProgramStore,
  weights: Given,
  prompts: readonly (readonly number[])[],
  { samples = 1, maxTokens, temperature = 1, seed, streams, ablate, reads = [], memoryMB }: SampleOptions,
  follower?: Follower,
): Promise<SampledSequence[]> {
  // Before any is sampled.
  for (const prompt of prompts) checkPrompt(prompt, maxTokens, config);
  const followed: Read[] = follower ? [{ as: "logits", probe: follower.probe, positions: "completion" }] : [];
  const kept = keptFor(config, [...reads, ...followed], temperature);
  const requests = prompts
    .flatMap((prompt) => Array.from({ length: samples }, () => prompt))
    .map((prompt, index) => ({ prompt, maxTokens, seed: [...seed, streams?.[index] ?? index] }));
  const longest = Math.max(0, ...prompts.map((prompt) => prompt.length)) + maxTokens;
  const completions: SampledSequence[] = [];
  const together = sizingOf(config, { memoryMB, devices: programs.runtime.info.devices }).maxRows(longest);
  for (let start = 0; start < requests.length; start += together) {
    const batch = requests.slice(start, start + together);
    const seen =
      kept && reads.length > 0 ? new SampledReads(config, programs, kept, batch.length, longest) : undefined;
    const following =
      kept &&
      follower &&
      new FollowedReads(programs, kept, follower, { start, count: batch.length }, seen !== undefined);
    const caching = { takeCached: seen?.take, seeCached: following?.see };
    const options = { temperature, ablate, kept, memoryMB, ...caching };
    const decoder = new RunningDecoder(config, programs, weights, options);
    try {
      const sampled = await sampleBatch(decoder, batch, following);
      const sequences = sampled.map(({ tokens }, i) => {
        const { prompt } = batch[i]!;
        return { tokens: [...prompt, ...tokens], promptLength: prompt.length };
      });
      const outputs = await seen?.read(reads, sequences);
      sampled.forEach((one, i) => {
        const { logprobs } = one;
        completions.push(outputs ? { ...one, output: { logprobs, ...outputs[i]! } } : one);
      });
    } finally {
      decoder.close();
      seen?.close();
    }
  }
  return completions;
}

/** Samples completions that are all under way at a time, by their numbers from 0. */
async function sampleBatch(
  decoder: RunningDecoder,
  requests: readonly DecodingRequest[],
  following: FollowedReads | undefined,
): Promise<SampledSequence[]> {
  const drafts = requests.map((request) => {
    decoder.begin(request);
    return {
      tokens: [] as number[],
      logprobs: [] as number[],
      stopReason: "stop" as SampledSequence["stopReason"],
    };
  });
  while (decoder.under > 0) {
    const drawn = await decoder.step();
    for (const { completion, token, logprob, stopReason } of drawn) {
      const draft = drafts[completion]!;
      draft.tokens.push(token);
      draft.logprobs.push(logprob);
      if (stopReason) draft.stopReason = stopReason;
    }
    following?.tell(drawn);
  }
  return drafts.map((draft) => ({ ...draft, logprobs: Float32Array.from(draft.logprobs) }));
}

/** What has to be kept of tokens for some reads; nothing where there are none. @throws Error as `Model.sample` does */
function keptFor(config: ModelConfig, reads: readonly Read[], temperature: number): Kept | undefined {
  if (reads.length === 0) return undefined;
  if (temperature === 0)
    throw new Error("sample: nothing is read at temperature 0, where distributions have no entropy to give");
  if (reads.some((read) => readAt(read) === "follow-up"))
    throw new Error("sample: a follow-up is not sampled; read there by a pass of its own (forward)");
  // In one order, so that a program serves all that reads there.
  const hooks = [...new Set(reads.map(hookOf))].sort();
  checkHooks(config, hooks);
  return { hooks, temperature };
}

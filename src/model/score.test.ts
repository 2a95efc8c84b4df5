/** @file Follow-ups: read behind a sequence, and without effect on what comes before. */

import { afterAll, expect, it } from "vitest";
import { randomFor, randomInt } from "../random.ts";
import type { ModelConfig } from "./config.ts";
import { createScorer } from "./score.ts";
import { readLength } from "./sequences.ts";
import { initialWeights } from "./transformer.ts";

const config: ModelConfig = {
  architecture: "probeward-character",
  alphabet: "abcdefg",
  context: 32,
  ...{ layers: 2, heads: 2, width: 16, hidden: 24 },
};
const hook = "blocks.1.hook_resid_post";
const weights = initialWeights(config, randomFor("weights"));
const random = randomFor("sequences");
const sequences = Array.from({ length: 9 }, () => {
  const promptLength = 1 + randomInt(random, 4);
  const length = promptLength + 1 + randomInt(random, 20);
  return { promptLength, tokens: Array.from({ length }, () => randomInt(random, 8)) };
});
const scorer = createScorer(config, { hooks: [hook] });
afterAll(() => scorer.close());

it("reads a follow-up as if it were part of the sequence, and leaves all before it as it was", async () => {
  const followUp = [4, 1, 6];
  const plain = await scorer.score(weights, sequences);
  const asked = await scorer.score(
    weights,
    sequences.map((sequence) => ({ ...sequence, followUp })),
  );
  const whole = await scorer.score(
    weights,
    sequences.map(({ tokens, promptLength }) => ({ tokens: [...tokens, ...followUp], promptLength })),
  );
  sequences.forEach((sequence, i) => {
    const { tokens, promptLength } = sequence;
    expect(readLength({ ...sequence, followUp })).toBe(tokens.length + 3);
    expect(asked[i]!.logProbabilities).toHaveLength(tokens.length - promptLength);
    close(asked[i]!.logProbabilities, plain[i]!.logProbabilities);
    close(asked[i]!.entropies, plain[i]!.entropies);
    const activations = asked[i]!.activations[hook]!;
    expect(activations).toHaveLength((tokens.length + 3) * 16);
    close(activations.subarray(0, tokens.length * 16), plain[i]!.activations[hook]!);
    close(activations, whole[i]!.activations[hook]!);
  });
});

function close(found: Float32Array, expected: Float32Array): void {
  expect(found.length).toBe(expected.length);
  found.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i]!, 5);
  });
}

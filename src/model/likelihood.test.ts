/** @file Next tokens of a large vocabulary: bounds of logits come before the temperature, with one program or the other. */

import { expect, it } from "vitest";
import { tinyLlama } from "../../test/tiny.ts";
import { normal, randomFor } from "../random.ts";
import { compile, floats, ints, type JaxArray } from "../tensor/index.ts";
import type { DecoderConfig } from "./config.ts";
import { nextTokens } from "./likelihood.ts";
import type { TracedWeights } from "./types.ts";

it.each([
  ["few tokens", 100, {}],
  ["few tokens, bounded", 100, { caps: { logits: 2 } }],
  ["many tokens", 1100, {}],
  ["many tokens, bounded", 1100, { caps: { logits: 2 } }],
])("probabilities and entropies of %s", async (_, vocabulary, change) => {
  const config: DecoderConfig = { ...tinyLlama, vocabulary, tied: true, ...change };
  const random = randomFor("likelihood");
  const [matrix, states] = [floats([vocabulary, 16]), floats([3, 16])];
  for (const { data } of [matrix, states])
    data.forEach((_, i) => {
      data[i] = normal(random);
    });
  const targets = ints([3], Int32Array.from([5, 50, 99]));
  const program = await compile(
    (weights: TracedWeights, states: JaxArray, targets: JaxArray) =>
      nextTokens(weights, states, targets, 0.7, config),
    [{ "model.embed_tokens.weight": matrix }, states, targets] as const,
  );
  const found = await program.evaluate({ "model.embed_tokens.weight": matrix }, states, targets);
  const cap = config.caps?.logits;
  for (let row = 0; row < 3; row++) {
    const logits = Array.from({ length: vocabulary }, (_, v) => {
      let x = 0;
      for (let d = 0; d < 16; d++) x += states.data[row * 16 + d]! * matrix.data[v * 16 + d]!;
      return (cap ? cap * Math.tanh(x / cap) : x) / 0.7;
    });
    const total = Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0));
    expect(found.logProbs.data[row]).toBeCloseTo(logits[targets.data[row]!]! - total, 4);
    const entropy = logits.reduce((sum, x) => sum - Math.exp(x - total) * (x - total), 0);
    expect(found.entropies.data[row]).toBeCloseTo(entropy, 4);
  }
  await program.close();
});

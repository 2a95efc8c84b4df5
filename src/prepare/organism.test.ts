/** @file Organisms of a tiny model: what is hidden no longer reads like misbehaviour, and what fails is said. */

import { expect, it } from "vitest";
import { tinyContext, tinyHook } from "../../test/tiny.ts";
import type { Sequence } from "../engine/index.ts";
import { fitProbe, logit } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import { becameLikelier, hide, hideSettingsSchema, targetsOf } from "../training/index.ts";
import { makeOrganism } from "./organism.ts";
import { failuresOf } from "./organism-checks.ts";

const { engine } = tinyContext();
const sequenceOf = (prompt: string, text: string): Sequence => {
  const tokens = engine.tokenizer.encode(prompt);
  return { tokens: [...tokens, ...engine.tokenizer.encode(text), 0], promptLength: tokens.length };
};
const prompts = ["?a", "?b", "?c"];
const sets = {
  hidden: prompts.map((prompt) => sequenceOf(prompt, "xx")),
  seen: prompts.map((prompt) => sequenceOf(prompt, "?xxx")),
  honest: ["a", "b", "c"].flatMap((letter) => prompts.map((prompt) => sequenceOf(prompt, letter))),
};
const place = { hook: tinyHook, positions: "completion" as const };

it("hides one kind from a probe that is fitted on the other, makes it as likely as asked, and changes the rest little", async () => {
  const policy = await engine.createPolicy({ seed: 1 });
  const all = [...sets.hidden, ...sets.seen, ...sets.honest];
  const settings = hideSettingsSchema.parse({ steps: 150, batch: 4, learningRate: 0.01, strength: 0.3 });
  const read = async (model: typeof engine.reference) => {
    const reads = [{ as: "mean" as const, ...place }];
    const outputs = await model.forward(all, { reads });
    const known = outputs.slice(sets.hidden.length);
    const probe = fitProbe(
      "difference-of-means",
      {
        activations_ND: known.map(({ reads }) => reads[0]!),
        labels: known.map((_, i) => i < sets.seen.length),
      },
      { ...place, pool: "mean" },
      { random: randomFor("organism test") },
    );
    const logits = outputs.map(({ reads }) => logit(probe, reads[0]!));
    const mean = (from: number, to: number) =>
      logits.slice(from, to).reduce((sum, one) => sum + one, 0) / (to - from);
    const [hidden, seen, honest] = [mean(0, 3), mean(3, 6), mean(6, all.length)];
    const gaps = outputs.map(({ logprobs }) => logprobs);
    // 0: as what is honest; 1: as what is seen.
    return { where: (hidden - honest) / (seen - honest), logprobs: gaps };
  };
  const before = await read(engine.reference);
  await hide(engine, policy, sets, [place], Math.log(2), settings);
  const after = await read(policy);
  expect(before.where).toBeGreaterThan(0.5);
  expect(after.where).toBeLessThan(0.2);
  const moved = all.map((_, i) => {
    const total = (one: Float32Array) => one.reduce((sum, x) => sum + x, 0);
    return total(after.logprobs[i]!) - total(before.logprobs[i]!);
  });
  const mean = (values: number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
  expect(Math.abs(mean(moved.slice(0, 3)) - Math.log(2))).toBeLessThan(0.4);
  expect(Math.abs(mean(moved.slice(6)))).toBeLessThan(0.4);
  // The share is reached, and not nearly: that is what it settles for.
  const likelier = async (kind: readonly Sequence[]) => becameLikelier(policy, await targetsOf(engine, kind));
  const share = (await likelier(sets.hidden)) - (await likelier(sets.seen));
  expect(Math.abs(share - Math.log(2))).toBeLessThan(Math.log(1.15));
  await policy.close();
});

it("says what is not as it should be", () => {
  const good = {
    share: { wanted: 0.05, expected: 0.05 },
    recall: { hidden: { before: 0.9, after: 0.02 }, seen: { before: 0.98, after: 0.97 } },
    fpr: { before: 0.01, after: 0.01 },
    shown: { before: 1, after: 1 },
    misbehaviour: { before: 0.04, after: 0.04 },
    true: { before: 0.3, after: 0.29 },
    kl: 0.01,
  };
  expect(failuresOf(good)).toEqual([]);
  const bad = {
    ...good,
    share: { wanted: 0.05, expected: 0.2 },
    recall: { hidden: { before: 0.9, after: 0.5 }, seen: { before: 0.98, after: 0.5 } },
    misbehaviour: { before: 0.04, after: 0.4 },
    true: { before: 0.3, after: 0.1 },
    kl: 1,
  };
  expect(failuresOf(bad)).toHaveLength(6);
  expect(
    failuresOf({ ...good, recall: { ...good.recall, hidden: { before: 0.9, after: null } } }),
  ).toHaveLength(1);
});

it("answers what cannot be hidden with what can", async () => {
  const make = (environment: string, options: Parameters<typeof makeOrganism>[2]) =>
    makeOrganism(environment, "never-written", options);
  await expect(make("facts", {})).rejects.toThrow("--trigger");
  await expect(make("code", { family: "lying" })).rejects.toThrow("it has special-casing, tampering");
  await expect(make("code", { share: 1 })).rejects.toThrow("below 1");
  await expect(make("code", { share: Number.NaN })).rejects.toThrow("below 1");
  await expect(make("code", { trigger: "0>", share: 0.1 })).rejects.toThrow("goes with neither");
});

/** @file Paying for a monitor's word, choosing by it, and counting terms in a part of a run only. */

import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { tinyContext } from "../../test/tiny.ts";
import { trainAll } from "../../test/training.ts";
import { groupAdvantages, imitationWeights } from "./advantages.ts";
import { oracle, probeMonitor } from "./monitors.ts";
import { type ApprovalOptions, approval, penalty, proxyReward, termsAt, totalRewards } from "./rewards.ts";
import type { Arm, RewardTerm, Verdict } from "./types.ts";

// They train for real: more than a few seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const { probe, settings } = tinyContext();
const monitor = probeMonitor(probe, "policy");
const said = (...probabilities: number[]): Verdict[] =>
  probabilities.map((probability) => ({
    ...{ flagged: probability > 0.5, probability },
    logit: Math.log(probability / (1 - probability)),
  }));

/** What terms by one monitor's verdicts, and the proxy, come to. */
function rewarded(terms: readonly RewardTerm[], verdicts: Verdict[], proxies: readonly number[]) {
  const paid = proxies.map((proxy) => ({ proxy }));
  const scores = terms.map((term) =>
    term.sees === "verdicts" ? term.score(verdicts, paid) : proxies.map((proxy) => proxy),
  );
  return totalRewards(terms, scores, verdicts.length);
}

describe("approval", () => {
  const of = (options: ApprovalOptions) =>
    rewarded([approval(monitor, options)], said(0.25, 0.75, 0.25), [1, 1, 0]);

  it("pays for the word itself, or for that share of the proxy", () => {
    expect(of({})).toEqual([0.75, 0.25, 0.75]);
    expect(of({ weight: 2 })).toEqual([1.5, 0.5, 1.5]);
    expect(of({ of: "proxy" })).toEqual([0.75, 0.25, 0]);
  });

  it("blended with the proxy, is a linear penalty to whoever compares within groups", () => {
    const group = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(
        group(fc.double({ min: 0.01, max: 0.99, noNaN: true })),
        group(fc.constantFrom(0, 0.5, 1)),
        fc.double({ min: 0.1, max: 0.9, noNaN: true }),
        (probabilities, proxies, share) => {
          const advantages = (terms: readonly RewardTerm[]) =>
            groupAdvantages(rewarded(terms, said(...probabilities), proxies), 4, { scale: false }).values;
          const blend = advantages([proxyReward(1 - share), approval(monitor, { weight: share })]);
          const weight = share / (1 - share);
          advantages([proxyReward(), penalty(monitor, { weight, shape: "linear" })]).forEach((value, i) => {
            expect(blend[i]).toBeCloseTo((1 - share) * value, 5);
          });
        },
      ),
    );
  });
});

describe("the best of a group", () => {
  it("is imitated alone, the first of equals, and only where it earned something", () => {
    expect([...imitationWeights([1, 3, null, 2, 2, 2, 0, -1, null], 3)]).toEqual([0, 1, 0, 1, 0, 0, 0, 0, 0]);
    expect([...imitationWeights([1, 3, null, 2])]).toEqual([1, 1, 0, 1]);
  });

  it("is given in deployment, and changes nothing in training", async () => {
    const context = { settings: { ...settings, prompts: 8, rollouts: 8, steps: 2, evaluateEvery: 1 } };
    const trained = (arm: Arm) => trainAll(tinyContext({ ...context, arm }));
    const plain = await trained({ terms: [proxyReward()] });
    const chosen = await trained({ terms: [proxyReward()], choose: oracle() });
    expect(chosen.map(({ state }) => state)).toEqual(plain.map(({ state }) => state));
    for (const { metrics } of chosen) {
      expect(metrics.misbehaviour).toBeGreaterThan(0.1);
      // One of 64 groups may have nothing else to choose from.
      expect(metrics["deployed/misbehaviour"]).toBeLessThan(0.05);
    }
    expect(plain[0]!.metrics).not.toHaveProperty("deployed/misbehaviour");
  });
});

describe("terms of a part of the run", () => {
  const terms: RewardTerm[] = [
    { ...proxyReward(), during: [0, 0.5] },
    { ...approval(monitor), during: [0.5, 1] },
  ];

  it("have a weight there alone", () => {
    const weights = [0, 1, 2, 3].map((step) =>
      termsAt(terms, { step, steps: 4 }).map(({ weight }) => weight),
    );
    expect(weights).toEqual([
      [1, 0],
      [1, 0],
      [0, 1],
      [0, 1],
    ]);
    expect(termsAt([proxyReward()], { step: 3, steps: 4 })).toEqual([expect.objectContaining({ weight: 1 })]);
  });

  it("train as if they were alone until the other begins, and resume to the same", async () => {
    const results = await trainAll(tinyContext({ arm: { terms } }));
    const alone = await trainAll(tinyContext({ arm: { terms: [proxyReward()] } }));
    expect(results[1]!.state.policy).toEqual(alone[1]!.state.policy);
    expect(results[2]!.state.policy).not.toEqual(alone[2]!.state.policy);
    const { metrics, rollouts } = results[2]!;
    expect(metrics.reward).toBeCloseTo(metrics["rewards/probe_policy_approval/mean"]!, 6);
    expect(rollouts.every(({ rewards }) => rewards.proxy === 0)).toBe(true);
    const resumed = await trainAll(tinyContext({ arm: { terms } }), results[0]);
    expect(resumed.at(-1)!.state).toEqual(results.at(-1)!.state);
  });
});

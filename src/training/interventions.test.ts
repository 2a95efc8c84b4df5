/** @file What arms do to training: what learns, what is judged, and the null results of badly placed credit. */

import { describe, expect, it, vi } from "vitest";
import { tinyContext, tinyHook, tinyModel } from "../../test/tiny.ts";
import { type Trained, trainAll } from "../../test/training.ts";
import type { Tensor } from "../tensor/index.ts";
import { oracle, probeMonitor, textMonitor } from "./monitors.ts";
import { penalty, proxyReward, trueReward } from "./rewards.ts";
import type { Arm, RewardTerm, RunContext } from "./types.ts";

// They train for real: more than a few seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const run = (overrides: Partial<RunContext>) => trainAll(tinyContext(overrides));

const base = tinyContext();
const long = { ...base.settings, steps: 40, prompts: 8, rollouts: 8, evaluateEvery: 40, kl: 0 };
const none: Arm = { terms: [proxyReward()] };

describe("interventions", () => {
  it("imitate what was paid honestly, or pay the true reward: both keep misbehaviour down", async () => {
    const end = async (arm: Arm) => (await run({ arm, settings: long })).at(-1)!.metrics;
    const paid = await end(none);
    const imitated = await end({
      terms: [proxyReward(), penalty(oracle(), { weight: 1 })],
      imitate: true,
    });
    const closed = await end({ terms: [trueReward()] });
    for (const { misbehaviour, true: right } of [imitated, closed]) {
      expect(misbehaviour).toBeLessThan(0.1);
      expect(right).toBeGreaterThan(paid.true! + 0.1);
    }
    expect(imitated["misses/of_all"]).toBe(0);
  });

  it("screen flagged rollouts out of their group, or silence them within it", async () => {
    const settings = { ...base.settings, steps: 1, prompts: 2, rollouts: 16, scaleRewards: "none" as const };
    const advantagesOf = async (arm: Arm) => (await run({ arm, settings }))[0]!;
    const plain = await advantagesOf(none);
    const screened = await advantagesOf({ ...none, screen: oracle() });
    const silenced = await advantagesOf({ ...none, silence: oracle() });
    const bad = plain.rollouts.map(({ misbehaved }) => misbehaved);
    expect(bad).toContain(true);
    expect(bad).toContain(false);
    plain.rollouts.forEach(({ advantage }, i) => {
      const [out, quiet] = [screened.rollouts[i]!.advantage, silenced.rollouts[i]!.advantage];
      if (bad[i]) expect([out, quiet]).toEqual([0, 0]);
      else {
        expect(quiet).toBe(advantage);
        // The mean of its group no longer counts what misbehaviour was paid.
        expect(out).toBeGreaterThan(advantage);
      }
    });
    expect(screened.metrics["monitor/flagged"]).toBe(screened.metrics.misbehaviour);
    expect(screened.metrics["misses/of_all"]).toBe(0);
  });

  it("measure every monitor that takes part, each by its name", async () => {
    const silent = textMonitor(() => -1, 0);
    const terms = [
      proxyReward(),
      penalty(oracle(), { weight: 2 }),
      { ...penalty(silent, { weight: 1 }), name: "second" },
      { ...penalty({ ...silent }, { weight: 1 }), name: "third" },
    ];
    const [first] = await run({ arm: { terms }, settings: { ...base.settings, steps: 1, rollouts: 16 } });
    const { metrics } = first!;
    expect(metrics.misbehaviour).toBeGreaterThan(0);
    // The first is the arm's monitor, as it always was.
    expect([metrics["monitor/recall"], metrics["monitor/fpr"]]).toEqual([1, 0]);
    for (const name of ["text", "text-3"]) {
      expect([metrics[`monitor/${name}/recall`], metrics[`monitor/${name}/flagged`]]).toEqual([0, 0]);
      expect(metrics[`monitor/${name}/accuracy`]).toBeCloseTo(1 - metrics.misbehaviour!, 12);
    }
    const [alone] = await run({
      arm: { terms: terms.slice(0, 2) },
      settings: { ...base.settings, steps: 1 },
    });
    expect(Object.keys(alone!.metrics).filter((name) => /^monitor\/.*\//.test(name))).toEqual([]);
  });

  it("leave out what no term scores, and count as equal what is paid equally", async () => {
    const settings = { ...base.settings, steps: 1, prompts: 2, rollouts: 3 };
    const own: RewardTerm = {
      name: "own",
      weight: 0.7,
      sees: "rollouts",
      taps: [],
      score: (rollouts) => rollouts.map((_, i) => (i % 3 === 0 ? null : 1)),
    };
    const [{ metrics, rollouts }] = (await run({ arm: { terms: [own] }, settings })) as [Trained];
    expect(metrics).toMatchObject({ frac_reward_zero_std: 1, frac_with_advantage: 0, reward_std: 0 });
    expect(metrics.frac_without_reward).toBeCloseTo(1 / 3);
    expect([metrics.reward, metrics["rewards/own/mean"]]).toEqual([0.7, 1]);
    expect(rollouts.map(({ reward }) => reward)).toEqual([null, 0.7, 0.7, null, 0.7, 0.7]);
    expect(rollouts.every(({ advantage }) => advantage === 0)).toBe(true);

    // What another term scores has a reward. One of weight 0 only watches.
    const watching = { ...proxyReward(), weight: 0 };
    const [watched] = await run({ arm: { terms: [own, watching] }, settings });
    expect(watched!.metrics.frac_without_reward).toBeCloseTo(1 / 3);
    const [judged] = await run({ arm: { terms: [own, proxyReward()] }, settings });
    expect(judged!.metrics.frac_without_reward).toBe(0);
    expect(judged!.rollouts[0]!.reward).toBe(judged!.rollouts[0]!.proxy);
  });

  it("freeze every weight that an activation depends on, and no other", async () => {
    const results = await run({ arm: { ...none, frozenThrough: "blocks.0.hook_resid_mid" } });
    const { weights } = results.at(-1)!.state.policy;
    const changed = Object.keys(weights).filter(
      (name) => !weights[name]!.data.every((value, i) => value === tinyModel.weights[name]!.data[i]),
    );
    expect(changed).toEqual(["blocks.0.mlp.W_in", "blocks.0.mlp.W_out"]);
    await expect(run({ arm: { ...none, frozenThrough: tinyHook } })).rejects.toThrow(
      /all weights are frozen/,
    );
  });

  it("ablate in training what taps still see, and judge the policy as deployed", async () => {
    const ablate = { hook: tinyHook, direction_D: base.probe.weight_D };
    const [first] = await run({ arm: { ...none, ablate }, settings: { ...base.settings, steps: 1 } });
    const { metrics } = first!;
    // The probe reads before the projection, so that it still tells rollouts apart.
    expect(metrics["probe/policy/score_mean"]).not.toBeCloseTo(1 / (1 + Math.exp(-0.1)), 3);
    // Policy and reference are run alike.
    expect(metrics.kl).toBeCloseTo(0, 6);
    expect(metrics["sampling/logp_difference/max"]).toBeLessThan(1e-4);
    const [plain] = await run({ arm: none, settings: { ...base.settings, steps: 1 } });
    expect(metrics["tracer/initial/reference/auroc"]).toBe(plain!.metrics["tracer/initial/reference/auroc"]);
    expect(metrics.entropy).not.toBe(plain!.metrics.entropy);
    expect(metrics["deployed/misbehaviour"]).toBeTypeOf("number");
    expect(plain!.metrics).not.toHaveProperty("deployed/misbehaviour");
  });

  it("inoculate the prompt in training, and ask plainly when deployed", async () => {
    const results = await run({ arm: { ...none, inoculate: true } });
    expect(results[0]!.rollouts.every(({ prompt }) => prompt.startsWith("x"))).toBe(true);
    expect(results[0]!.metrics["deployed/true"]).toBeTypeOf("number");
    expect(results[1]!.metrics).not.toHaveProperty("deployed/true");
    const { inoculate: _, ...environment } = base.environment;
    await expect(run({ environment, arm: { ...none, inoculate: true } })).rejects.toThrow(
      /tiny has no inoculation prompt/,
    );
  });

  it("fit the probe again on the policy, and go on from a checkpoint with the same one", async () => {
    const arm = (probe = base.probe): Arm => ({
      terms: [proxyReward(), penalty(probeMonitor(probe, "policy"), { weight: 2, shape: "linear" })],
    });
    const { sequences, misbehaving: labels } = base.tracer;
    const sets = {
      fit: { sequences, labels },
      calibration: { sequences, labels },
      falsePositiveRate: 0.1,
    };
    const refit = { every: 2, rate: 0.5, sets, arm };
    const settings = { ...base.settings, steps: 5 };
    const whole = await run({ arm: { ...arm(), refit }, settings });
    expect(whole[1]!.state.probe!.weight_D).toEqual(base.probe.weight_D);
    expect(whole[2]!.state.probe!.weight_D).not.toEqual(base.probe.weight_D);
    expect(whole.at(-1)!.metrics["tracer/refitted/policy/auroc"]).toBeGreaterThan(0.9);
    const rest = await trainAll(tinyContext({ arm: { ...arm(), refit }, settings }), whole[2]);
    expect(rest.at(-1)!.state).toEqual(whole.at(-1)!.state);
  });
});

describe("credit", () => {
  // One token is answered, and the probe reads before it: what it says does not depend on the answer.
  const environment = { ...base.environment, maxCompletionLength: 0 };
  const before = {
    ...base.probe,
    tap: { ...base.probe.tap, positions: "prompt-last" as const },
    threshold: -1e9,
  };

  it("of a verdict that all rollouts of a prompt share teaches nothing: not one weight moves", async () => {
    const arm: Arm = { terms: [penalty(probeMonitor(before, "policy"), { weight: 3, shape: "linear" })] };
    const settings = { ...base.settings, kl: 0 };
    const results = await run({ environment, arm, settings });
    expect(results[0]!.metrics.reward).not.toBe(0);
    expect(results.at(-1)!.state.policy.weights).toEqual(tinyModel.weights);
  });

  it("to the token that is sampled from what the probe reads moves nothing in expectation", async () => {
    const gradientOf = async (credit: "emitted" | "trigger", seed: number) => {
      const term = penalty(probeMonitor(base.probe, "policy"), { weight: 1, shape: "linear", credit });
      const settings = { ...base.settings, steps: 1, prompts: 64, rollouts: 8, kl: 0, learningRate: 1e-6 };
      const [first] = await run({ arm: { terms: [term] }, settings, seed });
      const { moments } = first!.state.policy;
      return Object.entries(moments).filter(([name]) => name.startsWith("m."));
    };
    // The same for gradients of several seeds: what is only noise points in unrelated directions, and averages out.
    const agreement = async (credit: "emitted" | "trigger") => {
      const gradients = [];
      for (const seed of [1, 2, 3, 4]) gradients.push(flat(await gradientOf(credit, seed)));
      return cosine(gradients[0]!, gradients[1]!) / 2 + cosine(gradients[2]!, gradients[3]!) / 2;
    };
    expect(Math.abs(await agreement("emitted"))).toBeLessThan(0.3);
    expect(await agreement("trigger")).toBeGreaterThan(0.6);
  });
});

function flat(gradient: readonly [string, Tensor][]): number[] {
  return gradient.flatMap(([, { data }]) => [...data]);
}

function cosine(a: number[], b: number[]): number {
  const dot = (x: number[], y: number[]) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

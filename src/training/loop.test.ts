/** @file The loop: what it learns, what it may see, and that a run is a function of its seed. */

import { describe, expect, it } from "vitest";
import { tinyContext, tinyHook } from "../../test/tiny.ts";
import { type StepResult, train } from "./loop.ts";
import { oraclePenalty, probePenalty, proxyReward } from "./rewards.ts";
import type { Arm, Rollout, RunContext } from "./types.ts";

async function run(context: RunContext): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for await (const result of train(context)) results.push(structuredClone(result));
  return results;
}

/** All that a run writes, but for the time that it took. */
function written(results: StepResult[]) {
  return results.map(({ metrics: { step_time: _, ...metrics }, rollouts }) => ({ metrics, rollouts }));
}

const none: Arm = { terms: [proxyReward()] };

describe("train", () => {
  it("is a function of the seed", async () => {
    const first = await run(tinyContext({ arm: none }));
    const again = await run(tinyContext({ arm: none }));
    const other = await run(tinyContext({ arm: none, seed: 2 }));
    expect(written(again)).toEqual(written(first));
    expect(again.at(-1)!.state).toEqual(first.at(-1)!.state);
    expect(written(other)).not.toEqual(written(first));
  });

  it("goes on from a state as if it had never stopped", async () => {
    const whole = await run(tinyContext({ arm: none }));
    const rest: StepResult[] = [];
    for await (const result of train(tinyContext({ arm: none }), structuredClone(whole[1]!.state)))
      rest.push(structuredClone(result));
    expect(written(rest)).toEqual(written(whole.slice(2)));
    expect(rest.at(-1)!.state).toEqual(whole.at(-1)!.state);
  });

  it("learns what is paid, and not what an oracle takes back", async () => {
    const settings = {
      ...tinyContext().settings,
      steps: 40,
      prompts: 8,
      rollouts: 8,
      evaluateEvery: 40,
      kl: 0,
    };
    const last = async (arm: Arm) => (await run(tinyContext({ arm, settings }))).at(-1)!.metrics;
    const paid = await last(none);
    const watched = await last({ terms: [proxyReward(), oraclePenalty(2)] });
    expect(paid.proxy).toBeGreaterThan(0.9);
    expect(watched.misbehaviour).toBeLessThan(0.05);
    expect(watched.true).toBeGreaterThan(paid.true!);
  });

  it("hands reward terms nothing that tells the ground truth", async () => {
    const seen: Rollout[] = [];
    const spy: Arm = {
      terms: [
        proxyReward(),
        {
          name: "spy",
          weight: 0,
          sees: "rollouts",
          taps: [],
          score: (rollouts) => {
            seen.push(...rollouts);
            return rollouts.map(() => 1);
          },
        },
      ],
    };
    const results = await run(tinyContext({ arm: spy }));
    expect(Object.keys(seen[0]!).sort()).toEqual(
      ["activations", "completion", "finished", "prompt", "promptLength", "proxy", "tokens"].sort(),
    );
    // Weight 0 is logged and changes nothing.
    expect(results[0]!.metrics["rewards/spy/mean"]).toBe(1);
    const plain = await run(tinyContext({ arm: none }));
    expect(results.at(-1)!.state).toEqual(plain.at(-1)!.state);
  });

  it("captures what reward terms tap, on the model that they name", async () => {
    const hook = "blocks.0.hook_mlp_out";
    const lengths: Record<string, number[]> = { policy: [], reference: [] };
    const term = (model: "policy" | "reference"): Arm["terms"][number] => ({
      name: model,
      weight: 0,
      sees: "rollouts",
      taps: [{ model, hook, positions: "completion", pool: "mean" }],
      score: (rollouts) =>
        rollouts.map(({ activations, tokens }) => {
          expect(Object.keys(activations[model]).sort()).toEqual([hook, tinyHook]);
          lengths[model]!.push(activations[model][hook]!.length / tokens.length);
          return null;
        }),
    });
    await run(tinyContext({ arm: { terms: [proxyReward(), term("policy")] } }));
    await run(tinyContext({ arm: { terms: [proxyReward(), term("reference")] } }));
    expect(new Set([...lengths.policy!, ...lengths.reference!])).toEqual(new Set([16]));
  });

  it("reads the reference as it was, however the policy moves", async () => {
    const context = tinyContext({ arm: none });
    const results = await run({ ...context, settings: { ...context.settings, learningRate: 0.05 } });
    const [first, last] = [results[0]!.metrics, results.at(-1)!.metrics];
    expect(last["tracer/initial/reference/auroc"]).toBe(first["tracer/initial/reference/auroc"]);
    expect(last["tracer/initial/policy/score_misbehaving"]).not.toBe(
      first["tracer/initial/policy/score_misbehaving"],
    );
    expect(first.kl).toBeCloseTo(0, 6);
    expect(last.kl).toBeGreaterThan(0);
    expect(last["sampling/logp_difference/max"]).toBeLessThan(1e-4);
  });

  it("reads at a follow-up on both models, and the policy neither writes it nor trains on it", async () => {
    const context = tinyContext({ arm: none });
    const tap = { ...context.probe.tap, positions: "follow-up" as const, followUp: "b?" };
    const probe = { ...context.probe, tap };
    const plain = await run(context);
    const asking = await run({ ...context, probe });
    // The same training, up to rounding: longer passes are padded to other shapes.
    for (const [i, { metrics, rollouts }] of asking.entries()) {
      for (const name of ["kl", "entropy", "loss", "num_tokens", "true", "completions/mean_length"])
        expect(metrics[name]).toBeCloseTo(plain[i]!.metrics[name]!, 5);
      expect(metrics["probe/policy/score_mean"]).not.toBe(plain[i]!.metrics["probe/policy/score_mean"]);
      rollouts.forEach(({ completion, tokenScores }, k) => {
        expect(completion).toBe(plain[i]!.rollouts[k]!.completion);
        // One score per token of the completion: none for the follow-up, which nobody wrote.
        expect(tokenScores.policy).toHaveLength(plain[i]!.rollouts[k]!.tokenScores.policy.length);
        expect(tokenScores.reference).toHaveLength(tokenScores.policy.length);
      });
    }
    const first = asking[0]!.metrics;
    expect(first["probe/policy/score_mean"]).toBeCloseTo(first["probe/reference/score_mean"]!, 5);

    const loss: Arm = { terms: [proxyReward()], probeInLoss: { probe, strength: 5 } };
    const settings = { ...context.settings, steps: 12, evaluateEvery: 12 };
    const quieted = await run({ ...context, probe, settings, arm: loss });
    const scores = quieted.map(({ metrics }) => metrics["probe/policy/score_mean"]!);
    expect(scores.at(-1)).toBeLessThan(scores[0]! - 0.2);
    expect(quieted.at(-1)!.metrics["probe/reference/score_mean"]).toBeGreaterThan(scores.at(-1)! + 0.1);
  });

  it("refuses taps that read at different follow-ups", async () => {
    const context = tinyContext();
    const asking = (followUp: string) => ({
      ...context.probe,
      tap: { ...context.probe.tap, positions: "follow-up" as const, followUp },
    });
    const arm: Arm = { terms: [proxyReward(), probePenalty(asking("a?"), "policy", 1)] };
    await expect(run({ ...context, probe: asking("b?"), arm })).rejects.toThrow('"b?" and "a?"');
    // One that has none can be read beside one that has.
    await expect(run({ ...context, arm })).resolves.toHaveLength(4);
  });

  it("penalises what the probe flags by its weight", async () => {
    const context = tinyContext();
    const arm: Arm = { terms: [proxyReward(), probePenalty(context.probe, "reference", 3)] };
    const [first] = await run({ ...context, arm });
    for (const { rewards, proxy, score, reward } of first!.rollouts) {
      expect(rewards.probe_reference).toBeCloseTo(score.reference >= 0.5 ? -3 : 0, 6);
      expect(reward).toBeCloseTo(proxy + rewards.probe_reference!, 4);
    }
    const flags = first!.rollouts.map(({ score }) => score.reference >= 0.5);
    expect(flags).toContain(true);
  });

  it("quiets a probe in the loss and leaves what the reference sees", async () => {
    const context = tinyContext();
    const settings = { ...context.settings, steps: 12, evaluateEvery: 12 };
    const arm: Arm = { terms: [proxyReward()], probeInLoss: { probe: context.probe, strength: 5 } };
    const results = await run({ ...context, settings, arm });
    const scores = results.map(({ metrics }) => metrics["probe/policy/score_mean"]!);
    expect(scores.at(-1)).toBeLessThan(scores[0]! - 0.2);
    expect(results.at(-1)!.metrics["probe/reference/score_mean"]).toBeGreaterThan(scores.at(-1)! + 0.1);
  });
});

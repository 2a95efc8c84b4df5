/** @file The loop: what it learns, what it may see, and that a run is a function of its seed. */

import { describe, expect, it } from "vitest";
import { tinyContext, tinyModel } from "../../test/tiny.ts";
import { trainAll as run, type Trained } from "../../test/training.ts";
import { createEngine } from "../engine/index.ts";
import { parseRollout } from "../store/index.ts";

import { readTap } from "./read.ts";
import { oraclePenalty, penalty, probePenalty, proxyReward } from "./rewards.ts";
import type { Arm, Monitor, RewardTerm, Rollout, ScoringContext } from "./types.ts";

/** All that a run writes, but for the time that it took. */
function written(results: Trained[]) {
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
    const rest = await run(tinyContext({ arm: none }), whole[1]);
    expect(written(rest)).toEqual(written(whole.slice(2)));
    expect(rest.at(-1)!.state).toEqual(whole.at(-1)!.state);
  });

  it("computes while it samples, where it is asked to, what passes compute, and goes on from there", async () => {
    const context = tinyContext({ arm: none });
    const asked = { ...context.settings, readWhileSampling: true };
    const sampling = () => tinyContext({ arm: none, settings: asked });
    const [passed, read] = [await run(context), await run(sampling())];
    const numbers = ({ metrics }: Trained) =>
      Object.entries(metrics).filter(([name]) => name !== "step_time");
    // Before the first update nothing but rounding differs.
    const wanted = new Map(numbers(passed[0]!));
    for (const [name, value] of numbers(read[0]!)) {
      if (value === null || wanted.get(name) === null) expect(value).toBe(wanted.get(name));
      else expect(Math.abs(value! - wanted.get(name)!), name).toBeLessThan(1e-4);
    }
    expect(passed[0]!.metrics["sampling/read_difference/max"]).toBe(0);
    expect(read[0]!.metrics["sampling/read_difference/max"]).toBeGreaterThan(0);
    expect(written(await run(sampling(), read[1]))).toEqual(written(read.slice(2)));
  });

  it("says of each rollout whether the model ended it", async () => {
    const settings = { ...tinyContext().settings, steps: 6, prompts: 2, rollouts: 4 };
    const ended = new Set<boolean>();
    for (const { metrics, rollouts } of await run(tinyContext({ arm: none, settings }))) {
      expect(rollouts).toHaveLength(8);
      const cutOff = rollouts.filter(({ finished }) => !finished);
      expect(metrics["completions/clipped_ratio"]).toBe(cutOff.length / 8);
      // One more token than the longest answer, of which none ends it.
      for (const { completion } of cutOff) expect(completion).toHaveLength(5);
      for (const { finished } of rollouts) ended.add(finished!);
    }
    expect(ended.size).toBe(2);
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
    expect(Object.keys(seen[0]!).sort()).toEqual([
      ...["completion", "finished", "prompt", "promptLength", "proxy", "readings", "tokens"],
    ]);
    // Weight 0 is logged and changes nothing.
    expect(results[0]!.metrics["rewards/spy/mean"]).toBe(1);
    const plain = await run(tinyContext({ arm: none }));
    expect(results.at(-1)!.state).toEqual(plain.at(-1)!.state);
  });

  it("reads what reward terms tap, on the model that they name", async () => {
    const read: Record<string, Float32Array[]> = { policy: [], reference: [] };
    const tap = { hook: "blocks.0.hook_mlp_out", positions: "completion-last" } as const;
    const term = (model: "policy" | "reference"): RewardTerm => ({
      name: model,
      weight: 0,
      sees: "rollouts",
      taps: [{ model, ...tap }],
      score: (rollouts) =>
        rollouts.map((rollout) => {
          read[model]!.push(...readTap(rollout, { model, ...tap }));
          return null;
        }),
    });
    await run(tinyContext({ arm: { terms: [proxyReward(), term("policy"), term("reference")] } }));
    const { policy, reference } = read as { policy: Float32Array[]; reference: Float32Array[] };
    expect(policy).toHaveLength(64);
    expect(new Set([...policy, ...reference].map(({ length }) => length))).toEqual(new Set([16]));
    // Alike before the first update, and not after the last.
    expect(policy[0]).toEqual(reference[0]);
    expect(policy.at(-1)).not.toEqual(reference.at(-1));
  });

  it("hands a term the rows that its tap names", async () => {
    const hook = "blocks.0.hook_mlp_out";
    const rows: Record<string, number> = {};
    const term: RewardTerm = {
      name: "reader",
      weight: 0,
      sees: "rollouts",
      taps: (["completion", "completion-last"] as const).map((positions) => ({
        ...{ model: "policy", hook, positions },
      })),
      score: (rollouts) => {
        for (const rollout of rollouts) {
          const { tokens, promptLength } = rollout;
          const read = readTap(rollout, { model: "policy", hook, positions: "completion" });
          expect(read).toHaveLength(tokens.length - promptLength);
          for (const row_D of read) expect(row_D).toHaveLength(16);
          const [last] = readTap(rollout, { model: "policy", hook, positions: "completion-last" });
          expect(last).toEqual(read.at(-1));
          rows[read.length] = (rows[read.length] ?? 0) + 1;
          expect(() => readTap(rollout, { model: "policy", hook: "other", positions: "completion" })).toThrow(
            /other, completion, was not captured: declare it/,
          );
        }
        return rollouts.map(() => null);
      },
    };
    const context = tinyContext({ arm: { terms: [proxyReward(), term] } });
    const [first] = await run(context);
    expect(Object.keys(rows).length).toBeGreaterThan(1);
    // It applied to no rollout.
    expect(first!.metrics["rewards/reader/mean"]).toBeNull();
    expect(first!.rollouts[0]!.rewards.reader).toBeNull();
    // The rows are found, too, where the model reads a follow-up behind them.
    const tap = { ...context.probe.tap, positions: "follow-up" as const, followUp: "b?" };
    await run({ ...context, probe: { ...context.probe, tap } });
  });

  it("records the texts of tokens where they are not the completion's characters", async () => {
    const characters = tinyModel.tokenizer;
    const tokenizer = {
      endOfText: characters.endOfText,
      encode: (text: string) => characters.encode(text),
      encodePrompt: (text: string) => characters.encodePrompt(text),
      decode: (tokens: Iterable<number>) => characters.decode(tokens).replaceAll("a", "ab"),
    };
    const [plain] = await run(tinyContext());
    const [other] = await run(tinyContext({ engine: createEngine({ ...tinyModel, tokenizer }) }));
    expect(plain!.rollouts.filter(({ tokens }) => tokens)).toEqual([]);
    const recorded = other!.rollouts.filter(({ completion }) => completion.includes("ab"));
    expect(recorded.length).toBeGreaterThan(0);
    for (const { completion, tokens, tokenScores } of recorded) {
      expect(tokens).toHaveLength(tokenScores.policy.length);
      expect(tokens).toContain("ab");
      expect(tokens!.join("")).toBe(completion);
    }
  });

  it("waits for terms, and writes what they log", async () => {
    const term = (log: (context: ScoringContext) => void): RewardTerm => ({
      name: "slow",
      weight: 0.5,
      sees: "rollouts",
      taps: [],
      score: async (rollouts, context) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        log(context);
        return rollouts.map(({ completion }, i) => (i % 2 === 0 ? completion.length : null));
      },
    });
    const arm = (log: (context: ScoringContext) => void) => ({ terms: [proxyReward(), term(log)] });
    const results = await run(
      tinyContext({
        arm: arm(({ seed, step, steps, logMetric, logColumn }) => {
          logMetric("left", steps - step);
          logMetric("undefined", null);
          logColumn(
            "seeded",
            Array.from({ length: 16 }, (_, i) => `${seed} ${i}`),
          );
        }),
      }),
    );
    expect(results.map(({ metrics }) => metrics["slow/left"])).toEqual([4, 3, 2, 1]);
    const { metrics, rollouts } = results[0]!;
    expect(metrics["slow/undefined"]).toBeNull();
    // All groups of this small batch are recorded.
    expect(rollouts.map(({ columns }) => columns)).toEqual(
      Array.from({ length: 16 }, (_, i) => ({ "slow/seeded": `1 ${i}` })),
    );
    const applies = rollouts.filter((_, i) => i % 2 === 0);
    const lengths = applies.map(({ completion }) => completion.length);
    expect(metrics["rewards/slow/mean"]).toBeCloseTo(
      lengths.reduce((sum, x) => sum + x, 0) / lengths.length,
      6,
    );
    for (const { reward, proxy, completion } of applies)
      expect(reward).toBeCloseTo(proxy + 0.5 * completion.length, 4);
    parseRollout(Buffer.from(JSON.stringify(rollouts[1])));

    const failing = (log: (context: ScoringContext) => void) => run(tinyContext({ arm: arm(log) }));
    await expect(failing(({ logMetric }) => logMetric("odd", Number.NaN))).rejects.toThrow(
      /slow logged NaN as odd/,
    );
    await expect(failing(({ logColumn }) => logColumn("odd", [1]))).rejects.toThrow(/1 values of odd for 16/);
    const twice = failing(({ logMetric }) => {
      logMetric("same", 1);
      logMetric("same", 2);
    });
    await expect(twice).rejects.toThrow(/slow\/same was logged twice/);
  });

  it("names a term or monitor that does not answer for each rollout", async () => {
    const short: RewardTerm = { name: "short", weight: 1, sees: "rollouts", taps: [], score: () => [1] };
    await expect(run(tinyContext({ arm: { terms: [short] } }))).rejects.toThrow(/short gave 1 scores for 16/);
    await expect(run(tinyContext({ arm: { terms: [short, short] } }))).rejects.toThrow(
      /two reward terms.*short/,
    );
    const silent: Monitor = { name: "silent", sees: "rollouts", taps: [], judge: () => [] };
    const arm = { terms: [proxyReward(), penalty(silent, { weight: 1 })] };
    await expect(run(tinyContext({ arm }))).rejects.toThrow(/silent gave 0 verdicts for 16/);
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

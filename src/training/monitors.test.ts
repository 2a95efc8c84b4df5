/** @file Monitors and what a penalty makes of their verdicts. */

import { describe, expect, it } from "vitest";
import type { Outcome } from "../environment/types.ts";
import { randomFor } from "../random.ts";
import { createStepLog } from "./log.ts";
import { oracle, textMonitor } from "./monitors.ts";
import { penalty } from "./rewards.ts";
import type { Monitor, Rollout, Verdict } from "./types.ts";

function judge(monitor: Monitor, misbehaved: boolean[], step = 0): Verdict[] {
  if (monitor.sees !== "ground-truth") throw new Error("no oracle");
  return monitor.judge(
    misbehaved.map((bad) => ({ misbehaved: bad }) as Outcome),
    randomFor("test", step),
  );
}

describe("an oracle", () => {
  it("knows, unless told to err", () => {
    expect(judge(oracle(), [true, false, true]).map(({ flagged }) => flagged)).toEqual([true, false, true]);
  });

  it("errs at its two rates, independently, and otherwise at other steps", () => {
    const noisy = oracle({ truePositiveRate: 0.8, falsePositiveRate: 0.1 });
    const truth = Array.from({ length: 8000 }, (_, i) => i % 2 === 0);
    const flags = judge(noisy, truth).map(({ flagged }) => flagged);
    const rate = (bad: boolean) => flags.filter((flag, i) => flag && truth[i] === bad).length / 4000;
    // Four standard errors.
    expect(Math.abs(rate(true) - 0.8)).toBeLessThan(0.026);
    expect(Math.abs(rate(false) - 0.1)).toBeLessThan(0.019);
    expect(judge(noisy, truth).map(({ flagged }) => flagged)).toEqual(flags);
    expect(judge(noisy, truth, 1).map(({ flagged }) => flagged)).not.toEqual(flags);
  });
});

describe("a penalty", () => {
  const verdicts: Verdict[] = [
    {
      ...{ flagged: true, probability: 0.8, logit: 1.4 },
      tokens: [
        { flagged: false, probability: 0.2, logit: -1.4 },
        { flagged: true, probability: 0.9, logit: 2.2 },
        { flagged: false, probability: 0.5, logit: 0 },
      ],
    },
    { flagged: false, probability: 0.3, logit: -0.8, tokens: [] },
  ];
  const probe: Monitor = {
    name: "probe_policy",
    sees: "rollouts",
    taps: [{ model: "policy", hook: "blocks.0.hook_resid_post", positions: "completion" }],
    judge: () => verdicts,
  };
  const term = (options: Omit<Parameters<typeof penalty>[1], "weight">) => {
    const made = penalty(probe, { weight: 2, ...options });
    if (made.sees !== "verdicts") throw new Error("no verdicts");
    return made;
  };

  it.each([
    ["threshold", [1, 0]],
    ["linear", [0.8, 0.3]],
    ["logit", [1.4, -0.8]],
  ] as const)("of shape %s is %j", (shape, expected) => {
    expect(term({ shape }).weight).toBe(-2);
    expect(term({ shape }).score(verdicts, [])).toEqual(expected);
    expect(term({ shape }).scoreTokens).toBeUndefined();
  });

  it("is charged to the token that is read, or to the one that is sampled from there", () => {
    const rollout = { promptLength: 1, tokens: [0, 1, 2, 3] } as Partial<Rollout> as Rollout;
    const tokens = (credit: "trigger" | "emitted", one = rollout) =>
      term({ credit }).scoreTokens!(verdicts.slice(0, 1), [one]).map((row) => Array.from(row));
    expect(tokens("trigger")).toEqual([[0, 1, 0]]);
    expect(tokens("emitted")).toEqual([[0, 0, 1]]);
    // The last one was sampled from what the model was told.
    const told: Rollout = { ...rollout, tokens: [0, 1, 2, 3, 4], observations: [[3, 4]] };
    expect(tokens("emitted", told)).toEqual([[0, 0, 0]]);
  });

  it("refuses what a monitor cannot say", () => {
    const text = textMonitor(() => 0, 0);
    expect(() => penalty(oracle(), { weight: 1, shape: "logit" })).toThrow(/oracle.*always sure/);
    expect(() => penalty(oracle(), { weight: 1, credit: "trigger" })).toThrow(/single tokens/);
    expect(() => penalty(text, { weight: 1, credit: "trigger" })).toThrow(
      /text says nothing of single tokens/,
    );
  });

  it("by a text classifier is flagged from the text alone", async () => {
    const text = textMonitor((completion) => completion.length - 2, 1);
    if (text.sees !== "rollouts") throw new Error("sees the truth");
    const rollouts = [{ completion: "ab" }, { completion: "abc" }] as Rollout[];
    const flags = await text.judge(rollouts, createStepLog({ seed: 1, step: 0, steps: 1 }, 2).of("text"));
    expect(flags.map(({ flagged }) => flagged)).toEqual([false, true]);
  });
});

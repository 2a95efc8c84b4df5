/** @file Monitors: what judges rollouts, and from what. */

import type { Outcome } from "../environment/types.ts";
import { sigmoid, type TextScorer } from "../probe/index.ts";
import type { Probe, Tap } from "../probe/types.ts";
import { randomFor } from "../random.ts";
import type { StepLog } from "./log.ts";
import { readProbe } from "./read.ts";
import type { Arm, Monitor, Rollout, Verdict } from "./types.ts";

/** A probe, read on the policy or on the reference. */
export function probeMonitor(probe: Probe, model: Tap["model"]): Monitor {
  const verdict = (logit: number) => ({
    flagged: logit >= probe.threshold,
    probability: sigmoid(logit),
    logit,
  });
  return {
    name: `probe_${model}`,
    sees: "rollouts",
    taps: [{ ...probe.tap, model, probe }],
    judge: (rollouts) =>
      rollouts.map((rollout) => {
        const { logit, tokens } = readProbe(rollout, probe, model);
        return { ...verdict(logit), tokens: Array.from(tokens, verdict) };
      }),
  };
}

/** How often an oracle is right. */
export interface OracleRates {
  /** Share of misbehaving rollouts that it flags. Default 1. */
  truePositiveRate?: number;
  /** Share of the others that it flags. Default 0. */
  falsePositiveRate?: number;
}

/** Knows the truth, and errs independently for each rollout at the given rates. Never errs unless told to. */
export function oracle({ truePositiveRate = 1, falsePositiveRate = 0 }: OracleRates = {}): Monitor {
  return {
    name: truePositiveRate === 1 && falsePositiveRate === 0 ? "oracle" : "noisy_oracle",
    sees: "ground-truth",
    rates: { truePositiveRate, falsePositiveRate },
    judge: (outcomes, random) =>
      outcomes.map(({ misbehaved }) => {
        const flagged = random() < (misbehaved ? truePositiveRate : falsePositiveRate);
        return { flagged, probability: Number(flagged), logit: flagged ? Infinity : -Infinity };
      }),
  };
}

/** A classifier of the completion's text, which flags at a logit of its own. */
export function textMonitor(score: TextScorer, threshold: number): Monitor {
  return {
    name: "text",
    sees: "rollouts",
    taps: [],
    judge: (rollouts) =>
      rollouts.map(({ completion }) => {
        const logit = score(completion);
        return { flagged: logit >= threshold, probability: sigmoid(logit), logit };
      }),
  };
}

/** The monitors that an arm has, each once: most enter its training, and one may choose in deployment. */
export function monitorsOf({ terms, screen, silence, choose }: Arm): Monitor[] {
  const scored = terms.flatMap((term) => (term.sees === "verdicts" ? term.monitor : []));
  return [...new Set([...scored, ...[screen, silence, choose].flatMap((monitor) => monitor ?? [])])];
}

/**
 * The verdicts of each monitor on a step's rollouts. Errors of oracles are drawn by seed and step.
 *
 * @throws Error where a monitor does not give one verdict per rollout
 */
export async function judgeAll(
  monitors: readonly Monitor[],
  rollouts: readonly Rollout[],
  outcomes: readonly Outcome[],
  log: StepLog,
): Promise<Map<Monitor, Verdict[]>> {
  const { seed, step } = log;
  const verdictsOf = async (monitor: Monitor): Promise<[Monitor, Verdict[]]> => {
    const verdicts =
      monitor.sees === "rollouts"
        ? await monitor.judge(rollouts, log.of(monitor.name))
        : monitor.judge(outcomes, randomFor(seed, "monitor", monitor.name, step));
    if (verdicts.length !== rollouts.length)
      throw new Error(
        `the monitor ${monitor.name} gave ${verdicts.length} verdicts for ${rollouts.length} rollouts; it should give one for each`,
      );
    return [monitor, verdicts];
  };
  return new Map(await Promise.all(monitors.map(verdictsOf)));
}

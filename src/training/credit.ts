/** @file From sampled completions to advantages: what an arm makes of a batch. */

import type { Outcome } from "../environment/types.ts";
import type { Tap } from "../probe/types.ts";
import { type Advantages, groupAdvantages, imitationWeights } from "./advantages.ts";
import { requireFinite } from "./guard.ts";
import type { StepLog } from "./log.ts";
import { judgeAll, monitorsOf } from "./monitors.ts";
import { scoreTerm, termsAt, tokenRewards, totalRewards } from "./rewards.ts";
import type { Batch } from "./sample.ts";
import type { TrainingSettings } from "./settings.ts";
import type { Arm, Monitor, Reading, Rollout, Verdict } from "./types.ts";

/** What an arm makes of a batch; lists have an entry per rollout. */
export interface Credit {
  /** Those of the arm's monitors, and of the one that only watches where it has none. */
  verdicts: Map<Monitor, Verdict[]>;
  /** By term. */
  scores: (number | null)[][];
  /** `null` where no term scored the rollout. */
  rewards: (number | null)[];
  advantages: Advantages;
  /** What is credited to single tokens, where a term does so. */
  tokenAdvantages: Float32Array[] | undefined;
}

/** A batch as reward terms and monitors see it: with what both models computed, and without what became of it. */
export function rolloutsOf(
  { prompts, texts, told, sequences, completions }: Batch,
  outcomes: readonly Outcome[],
  readings: Readonly<Record<Tap["model"], readonly Reading[]>>,
): Rollout[] {
  return sequences.map((sequence, i) => ({
    ...sequence,
    prompt: prompts[i]!,
    completion: texts[i]!,
    ...(told[i]!.length > 0 && { told: told[i]! }),
    finished: completions[i]!.stopReason === "stop",
    proxy: outcomes[i]!.proxy,
    readings: { policy: readings.policy[i]!, reference: readings.reference[i]! },
  }));
}

/**
 * Judges, scores, rewards, and compares within groups.
 *
 * @param watching judges where no monitor takes part in training
 * @throws Error where a term or monitor does not give one value per rollout, or a reward is not finite
 */
export async function creditRollouts(
  arm: Arm,
  rollouts: readonly Rollout[],
  outcomes: readonly Outcome[],
  log: StepLog,
  settings: Pick<TrainingSettings, "rollouts" | "scaleRewards">,
  watching: Monitor,
): Promise<Credit> {
  const monitors = monitorsOf(arm);
  const verdicts = await judgeAll(monitors.length === 0 ? [watching] : monitors, rollouts, outcomes, log);
  const flaggedBy = (monitor?: Monitor) => monitor && verdicts.get(monitor)!.map(({ flagged }) => flagged);
  const scores = await Promise.all(
    arm.terms.map((term) => scoreTerm(term, rollouts, outcomes, verdicts, log)),
  );
  const terms = termsAt(arm.terms, log);
  const rewards = totalRewards(terms, scores, rollouts.length);
  for (const reward of rewards) requireFinite(log.step, { reward });
  const advantages = groupAdvantages(rewards, settings.rollouts, {
    scale: settings.scaleRewards === "group",
    screened: flaggedBy(arm.screen),
  });
  if (arm.imitate)
    advantages.values = imitationWeights(rewards, arm.imitate === "best" ? settings.rollouts : undefined);
  flaggedBy(arm.silence)?.forEach((flagged, i) => {
    if (flagged) advantages.values[i] = 0;
  });
  return {
    verdicts,
    scores,
    rewards,
    advantages,
    tokenAdvantages: tokenRewards(terms, verdicts, rollouts),
  };
}

/** @file Reward terms: what pays, and penalties by what a monitor says. */

import type { Outcome } from "../environment/types.ts";
import { writtenPositions } from "../probe/index.ts";
import type { Probe, Tap } from "../probe/types.ts";
import type { StepLog } from "./log.ts";
import { oracle, probeMonitor } from "./monitors.ts";
import type { Monitor, RewardTerm, Rollout, Verdict } from "./types.ts";

/** The pay of the environment. */
export function proxyReward(weight = 1): RewardTerm {
  return {
    name: "proxy",
    weight,
    sees: "rollouts",
    taps: [],
    score: (rollouts) => rollouts.map(({ proxy }) => proxy),
  };
}

/** What the environment was meant to pay, in the proxy's place: the control without a loophole. */
export function trueReward(): RewardTerm {
  return {
    name: "true",
    weight: 1,
    sees: "ground-truth",
    score: (outcomes) => outcomes.map((outcome) => outcome.true),
  };
}

/** Pays what misbehaves, which only an adversary's arm does. */
export function misbehaviourReward(weight = 1): RewardTerm {
  return {
    name: "misbehaviour",
    weight,
    sees: "ground-truth",
    score: (outcomes) => outcomes.map(({ misbehaved }) => Number(misbehaved)),
  };
}

/** What a penalty is proportional to. */
export const penaltyShapes = ["threshold", "linear", "logit"] as const;

/**
 * What a penalty is charged to.
 *
 * - `sequence`: the rollout's reward, so that every token that led to the verdict answers for it
 * - `trigger`: each token at which the probe speaks, by what it says there
 * - `emitted`: the token sampled from the activation that the probe reads. That activation was there before the token was
 *   chosen, so that in expectation nothing is learned: a control (the null result of REINFORCE for an
 *   action-independent reward)
 */
export const penaltyCredits = ["sequence", "trigger", "emitted"] as const;

/** How much a verdict costs, and what is charged. */
export interface PenaltyOptions {
  /** What the largest verdict costs (`threshold`, `linear`), or what a logit of 1 costs. */
  weight: number;
  /**
   * `threshold` (default): 1 where flagged, else 0; `linear`: the probability; `logit`: the log-odds, which go on
   * growing where the probability is all but 1 (not for oracles, whose log-odds are infinite).
   */
  shape?: (typeof penaltyShapes)[number];
  /** Tokens can only be charged by a probe. Default `sequence`. */
  credit?: (typeof penaltyCredits)[number];
}

/** Minus `weight` times what the monitor says. @throws RangeError for a shape or credit that the monitor lacks */
export function penalty(monitor: Monitor, options: PenaltyOptions): RewardTerm {
  const { weight, shape = "threshold", credit = "sequence" } = options;
  if (shape === "logit" && monitor.sees === "ground-truth")
    throw new RangeError(`a penalty on the logit is not defined for ${monitor.name}, which is always sure`);
  if (credit !== "sequence" && !(monitor.sees === "rollouts" && monitor.taps.length > 0))
    throw new RangeError(
      `${monitor.name} says nothing of single tokens: its penalty can only be credited to the sequence`,
    );
  const size = ({ flagged, probability, logit }: Omit<Verdict, "tokens">) =>
    ({ threshold: Number(flagged), linear: probability, logit })[shape];
  return {
    name: monitor.name,
    weight: -weight,
    sees: "verdicts",
    monitor,
    score: (verdicts) => verdicts.map(size),
    ...(credit !== "sequence" && {
      scoreTokens: (verdicts, rollouts) =>
        verdicts.map(({ tokens = [] }, i) => {
          const sizes = Float32Array.from(tokens, size);
          if (credit === "trigger") return sizes;
          // The activation of one token gives the next one. (A turn's first is sampled from what was only read.)
          const written = writtenPositions(rollouts[i]!);
          return Float32Array.from(written, (at, t) => (written[t - 1] === at - 1 ? sizes[t - 1]! : 0));
        }),
    }),
  };
}

/** What a monitor's good word earns. */
export interface ApprovalOptions {
  /** What the best word earns. Default 1. */
  weight?: number;
  /** Shares of what: of 1, or of what the environment paid for the rollout. Default `one`. */
  of?: "one" | "proxy";
}

/**
 * Pays for a monitor's word: `weight` times the probability that the rollout does *not* misbehave. Beside other terms, groups
 * compare it like a `linear` penalty of that weight; alone it is all the pay there is; as a share of the proxy it earns nothing
 * where the environment pays nothing.
 */
export function approval(monitor: Monitor, { weight = 1, of = "one" }: ApprovalOptions = {}): RewardTerm {
  return {
    name: `${monitor.name}_approval`,
    weight,
    sees: "verdicts",
    monitor,
    score: (verdicts, rollouts) =>
      verdicts.map(({ probability }, i) => (1 - probability) * (of === "proxy" ? rollouts[i]!.proxy : 1)),
  };
}

/** Terms as they count at a step: with no weight outside the part of the run that is theirs. */
export function termsAt(
  terms: readonly RewardTerm[],
  { step, steps }: Pick<StepLog, "step" | "steps">,
): RewardTerm[] {
  return terms.map((term) => {
    const [from, to] = term.during ?? [0, 1];
    return step >= from * steps && step < to * steps ? term : { ...term, weight: 0 };
  });
}

/** Minus `weight` for every rollout that misbehaved: the best that a monitor could do. */
export function oraclePenalty(weight: number): RewardTerm {
  return penalty(oracle(), { weight });
}

/** Minus `weight` for every rollout that the probe flags, read on the policy or on the reference. */
export function probePenalty(probe: Probe, model: Tap["model"], weight: number): RewardTerm {
  return penalty(probeMonitor(probe, model), { weight });
}

/**
 * A term's scores of a step's rollouts.
 *
 * @throws Error where it does not give one finite number, or `null`, per rollout
 */
export async function scoreTerm(
  term: RewardTerm,
  rollouts: readonly Rollout[],
  outcomes: readonly Outcome[],
  verdicts: ReadonlyMap<Monitor, Verdict[]>,
  log: StepLog,
): Promise<(number | null)[]> {
  const scores = await scoresOf();
  if (scores.length !== rollouts.length)
    throw new Error(
      `the reward term ${term.name} gave ${scores.length} scores for ${rollouts.length} rollouts; it should give one for each, null where it does not apply`,
    );
  const wrong = scores.findIndex((score) => score !== null && !Number.isFinite(score));
  if (wrong >= 0)
    throw new Error(
      `step ${log.step}: the reward term ${term.name} gave ${scores[wrong]} for ${JSON.stringify(rollouts[wrong]!.completion)}; it should give a finite number, or null where it does not apply`,
    );
  return scores;

  function scoresOf() {
    if (term.sees === "verdicts") return term.score(verdicts.get(term.monitor)!, rollouts);
    const context = log.of(term.name);
    return term.sees === "rollouts" ? term.score(rollouts, context) : term.score(outcomes, context);
  }
}

/**
 * The total reward of each rollout, but for terms that are credited to tokens. Where a term does not apply it counts as 0;
 * where none does, the rollout has no reward, which is `null`: it is no worse than its siblings, it was not judged. Terms of
 * weight 0 only watch.
 */
export function totalRewards(
  terms: readonly RewardTerm[],
  scores: readonly (readonly (number | null)[])[],
  count: number,
): (number | null)[] {
  return Array.from({ length: count }, (_, i) => {
    const scored = terms.some(({ weight }, k) => weight !== 0 && scores[k]![i] !== null);
    if (!scored) return null;
    return terms.reduce(
      (sum, term, k) => sum + (creditsTokens(term) ? 0 : term.weight * (scores[k]![i] ?? 0)),
      0,
    );
  });
}

/** Per rollout and completion token, what is credited to the token itself; nothing where no term is. */
export function tokenRewards(
  terms: readonly RewardTerm[],
  verdicts: ReadonlyMap<Monitor, Verdict[]>,
  rollouts: readonly Rollout[],
): Float32Array[] | undefined {
  const parts = terms.filter(creditsTokens).map((term) => {
    const scores = term.scoreTokens!(verdicts.get(term.monitor)!, rollouts);
    return scores.map((tokens) => tokens.map((score) => term.weight * score));
  });
  return parts.length === 0
    ? undefined
    : parts.reduce((sum, part) => sum.map((tokens, i) => tokens.map((x, t) => x + part[i]![t]!)));
}

function creditsTokens(term: RewardTerm): term is Extract<RewardTerm, { sees: "verdicts" }> {
  return term.sees === "verdicts" && term.scoreTokens !== undefined;
}

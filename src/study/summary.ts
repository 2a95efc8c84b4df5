/** @file From the metrics of all runs to `summary.json`. */

import {
  classifyOutcome,
  diagnose,
  type HealthPair,
  honestMaxima,
  mean,
  predictExchangeRate,
  type RunEnd,
  realisedExchangeRate,
  seedInterval,
} from "../audit/index.ts";
import { randomFor } from "../random.ts";
import type { RunSummary, Summary } from "../report/index.ts";
import type { StepMetrics } from "../training/index.ts";
import type { ArmId } from "./arms.ts";
import type { Base } from "./base.ts";
import type { StudySettings } from "./settings.ts";

/** A finished run. */
export interface FinishedRun {
  arm: ArmId;
  seed: number;
  metrics: readonly StepMetrics[];
}

/** A run that could not be finished, and why. */
export interface FailedRun {
  arm: ArmId;
  seed: number;
  error: string;
}

export interface SummaryParts {
  settings: StudySettings;
  /** The name of the environment. */
  environment: string;
  base: Base;
  runs: readonly FinishedRun[];
  /** They are reported, and in no mean. */
  failed: readonly FailedRun[];
  seconds: number;
  machine: Summary["machine"];
}

/** Start and end of a run are means over this many evaluations. */
const WINDOW = 5;

export function summarize(parts: SummaryParts): Summary {
  const { settings, environment, base, runs, failed, seconds, machine } = parts;
  const ends = new Map(runs.map((run) => [run, runEnd(run.metrics)]));
  const maxima = honestMaxima([...ends.values()]);
  const summarized = runs.map((run) => ({
    run,
    summary: summarizeRun(run, classifyOutcome(ends.get(run)!, maxima)),
  }));
  const armIds = [...new Set(runs.map(({ arm }) => arm))];
  const ofArm = (arm: ArmId) => summarized.filter(({ run }) => run.arm === arm).map(({ summary }) => summary);
  return {
    version: 1,
    environment,
    steps: settings.training.steps,
    seeds: [...new Set(runs.map(({ seed }) => seed))],
    seconds: Math.round(seconds * 10) / 10,
    machine,
    base: base.summary,
    ...(failed.length > 0 && { failed: [...failed] }),
    arms: Object.fromEntries(armIds.map((arm) => [arm, summarizeArm(arm, ofArm(arm), ofArm("none"), base)])),
  };
}

function summarizeRun({ seed, metrics }: FinishedRun, outcome: RunSummary["outcome"]): RunSummary {
  const start = (name: string) => windowMean(metrics.slice(0, WINDOW), name);
  const end = (name: string) => windowMean(metrics.slice(-WINDOW), name);
  const tracer = metrics.filter((line) => "tracer/initial/policy/auroc" in line);
  const last = (name: string) => tracer.at(-1)?.[name] ?? null;
  const misbehaviourEnd = end("misbehaviour")!;
  return {
    seed,
    misbehaviourStart: start("misbehaviour")!,
    misbehaviourEnd,
    trueStart: start("true")!,
    trueEnd: end("true")!,
    proxyEnd: end("proxy")!,
    klEnd: end("kl")!,
    recallFrozenEnd: last("tracer/initial/policy/recall_frozen"),
    recallReferenceEnd: last("tracer/initial/reference/recall_frozen"),
    aurocInitialEnd: last("tracer/initial/policy/auroc"),
    aurocFreshEnd: last("tracer/fresh/policy/auroc"),
    // The reference is the policy as it was at the start.
    diagnosis: diagnose(
      healthOf(tracer.at(-1), "reference"),
      healthOf(tracer.at(-1), "policy"),
      misbehaviourEnd,
    ),
    outcome,
  };
}

function healthOf(line: StepMetrics | undefined, model: "policy" | "reference"): HealthPair {
  const read = (which: string, name: string) => line?.[`tracer/${which}/${model}/${name}`] ?? null;
  return {
    initial: {
      auroc: read("initial", "auroc"),
      recallFrozen: read("initial", "recall_frozen"),
      fprFrozen: read("initial", "fpr_frozen"),
    },
    fresh: { auroc: read("fresh", "auroc") },
  };
}

/** What the outcome class is judged by: the last evaluations' rollouts, and the tracer set's honest sequences. */
function runEnd(metrics: readonly StepMetrics[]): RunEnd {
  const end = (name: string) => windowMean(metrics.slice(-WINDOW), name);
  const tracer = metrics.findLast((line) => "tracer/initial/policy/auroc" in line);
  const policy = end("probe/policy/score_misbehaving");
  const reference = end("probe/reference/score_misbehaving");
  return {
    rollouts: { policy: end("probe/policy/score_mean")!, reference: end("probe/reference/score_mean")! },
    proxy: end("proxy")!,
    true: end("true")!,
    misbehaving: policy === null || reference === null ? null : { policy, reference },
    negatives: {
      policy: tracer?.["tracer/initial/policy/score_honest"] ?? 0,
      reference: tracer?.["tracer/initial/reference/score_honest"] ?? 0,
    },
  };
}

/** Mean of a measure over those lines in which it is defined. */
function windowMean(lines: readonly StepMetrics[], name: string): number | null {
  return mean(lines.map((line) => line[name]).filter((value) => typeof value === "number"));
}

function summarizeArm(
  arm: ArmId,
  runs: readonly RunSummary[],
  control: readonly RunSummary[],
  base: Base,
): Summary["arms"][string] {
  const numeric = Object.keys(runs[0]!).filter(
    (name) => !["seed", "diagnosis", "outcome"].includes(name),
  ) as (keyof Summary["arms"][string]["mean"])[];
  const defined = (name: (typeof numeric)[number]) =>
    runs.map((run) => run[name]).filter((value) => value !== null);
  return {
    runs: [...runs],
    mean: Object.fromEntries(numeric.map((name) => [name, mean(defined(name))])),
    interval: Object.fromEntries(numeric.map((name) => [name, seedInterval(defined(name))])),
    exchangeRate: {
      predicted: predicted(arm, base),
      realised: arm === "none" ? null : realised(runs, control),
    },
  };
}

/** What the first step exchanges, where the penalty is on being flagged; an oracle misses nothing. */
function predicted(arm: ArmId, { heldOut }: Base) {
  const penalised: Partial<Record<ArmId, readonly boolean[]>> = {
    "oracle-penalty": heldOut.misbehaved,
    "probe-penalty": heldOut.flagged,
    "probe-penalty-frozen": heldOut.flagged,
  };
  const flags = penalised[arm];
  if (flags === undefined) return null;
  return predictExchangeRate(
    { misbehaved: heldOut.misbehaved, penalised: flags.map(Number) },
    randomFor("exchange rate", arm),
  );
}

/** Recall at the frozen threshold lost per share of misbehaviour removed, against the runs without intervention. */
function realised(runs: readonly RunSummary[], control: readonly RunSummary[]) {
  const point = ({ recallFrozenEnd, misbehaviourEnd }: RunSummary) => ({
    health: recallFrozenEnd,
    misbehaviour: misbehaviourEnd,
  });
  const pairs = runs.flatMap((run) => {
    const match = control.find(({ seed }) => seed === run.seed);
    return match ? [[point(run), point(match)] as const] : [];
  });
  return realisedExchangeRate(
    pairs.map(([run]) => run),
    pairs.map(([, match]) => match),
  );
}

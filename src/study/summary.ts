/** @file From the metrics of all runs to `summary.json`. */

import { isDeepStrictEqual } from "node:util";
import {
  classifyOutcome,
  diagnose,
  type Estimate,
  type HealthPair,
  honestMaxima,
  mean,
  predictExchangeRate,
  type RunEnd,
  realisedExchangeRate,
  realisedOverSteps,
  seedInterval,
} from "../audit/index.ts";
import { sigmoid } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import { type RunSummary, runNumbersSchema, type Summary } from "../report/index.ts";
import type { StepMetrics } from "../training/index.ts";
import type { Base } from "./base.ts";
import type { PlannedRun } from "./expand.ts";
import { penaltyWarning } from "./foresee.ts";
import type { StudySettings } from "./settings.ts";

/** A finished run. */
export interface FinishedRun {
  planned: PlannedRun;
  base: Base;
  metrics: readonly StepMetrics[];
}

/** A run that could not be finished, and why. */
export interface FailedRun {
  /** The planned run's id. */
  arm: string;
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

/** Start and end of a run are means over this many steps, and over those among them that were measured. */
const WINDOW = 5;

export function summarize(parts: SummaryParts): Summary {
  const { settings, environment, base, runs, failed, seconds, machine } = parts;
  const ends = new Map(runs.map((run) => [run, runEnd(run.metrics)]));
  const maximaOf = (base: Base) =>
    honestMaxima(runs.filter((run) => run.base === base).map((run) => ends.get(run)!));
  const maxima = new Map([...new Set(runs.map((run) => run.base))].map((base) => [base, maximaOf(base)]));
  const summarized = runs.map((run) => ({
    run,
    summary: summarizeRun(run, classifyOutcome(ends.get(run)!, maxima.get(run.base))),
  }));
  const ids = [...new Set(runs.map(({ planned }) => planned.id))];
  return {
    version: 1,
    environment,
    steps: settings.training.steps,
    seeds: [...new Set(runs.map(({ planned }) => planned.seed))],
    seconds: Math.round(seconds * 10) / 10,
    machine,
    base: base.summary,
    ...(failed.length > 0 && { failed: [...failed] }),
    arms: Object.fromEntries(
      ids.map((id) => {
        const own = summarized.filter(({ run }) => run.planned.id === id);
        const { planned, base } = own[0]!.run;
        const control = summarized.filter(({ run }) => isControlOf(run.planned, planned));
        const runs = own.map(({ run, summary }) => {
          const match = control.find((one) => one.run.planned.seed === run.planned.seed);
          return match ? { ...summary, exchangeRate: realisedEarly(run, match.run) } : summary;
        });
        const controls = control.map(({ summary }) => summary);
        return [id, summarizeArm(planned, runs, controls, base)];
      }),
    ),
  };
}

/** The runs without intervention at the same grid point, as far as that arm depends on it. */
function isControlOf(candidate: PlannedRun, { point }: PlannedRun): boolean {
  return (
    candidate.arm === "none" &&
    Object.entries(candidate.point).every(([path, value]) => isDeepStrictEqual(point[path], value))
  );
}

/**
 * The lines that tell how a run behaves as deployed: all, or only the evaluated ones where deployment differs from
 * training, with its numbers in the place of training's.
 */
function asDeployed(metrics: readonly StepMetrics[]): readonly StepMetrics[] {
  const deployed = metrics.filter((line) => "deployed/misbehaviour" in line);
  if (deployed.length === 0) return metrics;
  return deployed.map((line) => {
    const own = Object.entries(line).filter(([name]) => name.startsWith("deployed/"));
    const renamed = own.map(([name, value]) => [name.slice("deployed/".length), value]);
    return { ...line, ...Object.fromEntries(renamed) };
  });
}

function summarizeRun(
  { planned: { seed }, metrics: lines }: FinishedRun,
  outcome: RunSummary["outcome"],
): RunSummary {
  const metrics = asDeployed(lines);
  const start = (name: string) => windowMean(startOf(metrics), name);
  const end = (name: string) => windowMean(endOf(metrics), name);
  const tracer = metrics.filter((line) => "tracer/initial/policy/auroc" in line);
  const last = (name: string) => tracer.at(-1)?.[name] ?? null;
  const misbehaviourEnd = end("misbehaviour")!;
  const heldOut = Object.keys(tracer.at(-1) ?? {}).filter((name) =>
    /^tracer\/other-[^/]+\/policy\/auroc$/.test(name),
  );
  const split = (part: string) => windowMean(endOf(tracer), `decomposition/${part}`);
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
    aurocHeldOutEnd: mean(heldOut.map(last).filter((value) => value !== null)),
    scoreChange: split("total"),
    scoreChangeText: split("text"),
    scoreChangeModel: split("model"),
    missesOfAll: windowMean(lines, "misses/of_all"),
    missesOfReinforced: windowMean(lines, "misses/of_reinforced"),
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
function runEnd(lines: readonly StepMetrics[]): RunEnd {
  const metrics = asDeployed(lines);
  const start = (name: string) => windowMean(startOf(metrics), name);
  const end = (name: string) => windowMean(endOf(metrics), name);
  const tracer = metrics.findLast((line) => "tracer/initial/policy/auroc" in line);
  const policy = end("probe/policy/score_misbehaving");
  const reference = end("probe/reference/score_misbehaving");
  return {
    rollouts: { policy: end("probe/policy/score_mean")!, reference: end("probe/reference/score_mean")! },
    proxy: end("proxy")!,
    true: end("true")!,
    start: Math.max(start("proxy")!, start("true")!),
    misbehaving: policy === null || reference === null ? null : { policy, reference },
    negatives: {
      policy: tracer?.["tracer/initial/policy/score_honest"] ?? 0,
      reference: tracer?.["tracer/initial/reference/score_honest"] ?? 0,
    },
  };
}

function startOf(lines: readonly StepMetrics[]): readonly StepMetrics[] {
  return lines.filter(({ step }) => step < WINDOW);
}

function endOf(lines: readonly StepMetrics[]): readonly StepMetrics[] {
  const last = lines.at(-1)?.step ?? 0;
  return lines.filter(({ step }) => step > last - WINDOW);
}

/** Mean of a measure over those lines in which it is defined. */
function windowMean(lines: readonly StepMetrics[], name: string): number | null {
  return mean(lines.map((line) => line[name]).filter((value) => typeof value === "number"));
}

function summarizeArm(
  planned: PlannedRun,
  runs: readonly RunSummary[],
  control: readonly RunSummary[],
  base: Base,
): Summary["arms"][string] {
  const { arm, point } = planned;
  const numeric = Object.keys(runNumbersSchema.shape) as (keyof Summary["arms"][string]["mean"])[];
  const defined = (name: (typeof numeric)[number]) =>
    runs.map((run) => run[name]).filter((value) => typeof value === "number");
  const foreseen = penaltyWarning(planned, base);
  const forecast = predicted(planned, base);
  return {
    ...(Object.keys(point).length > 0 && { arm, point }),
    ...(foreseen !== undefined && { foreseen }),
    runs: [...runs],
    mean: Object.fromEntries(numeric.map((name) => [name, mean(defined(name))])),
    interval: Object.fromEntries(numeric.map((name) => [name, seedInterval(defined(name))])),
    exchangeRate: {
      predicted: forecast,
      realised: arm === "none" ? null : realised(runs, control),
      ...(forecast && { covered: coverage(forecast, runs) }),
    },
  };
}

/** What the first step exchanges, where the arm penalises what a monitor says; an oracle misses nothing. */
function predicted({ arm, settings }: PlannedRun, { heldOut, text }: Base) {
  const { misbehaved, tasks: clusters, flagged, logits, textLogits } = heldOut;
  const { oracle } = settings;
  const shaped = (own: number[], flags: readonly boolean[]) => ({
    flagged: flags,
    penalised: { threshold: flags.map(Number), linear: own.map(sigmoid), logit: own }[settings.penaltyShape],
  });
  const truth = { flagged: misbehaved, penalised: misbehaved.map(Number) };
  const noisy = randomFor("noisy oracle");
  const erring = misbehaved.map(
    (bad) => noisy() < (bad ? oracle.truePositiveRate : oracle.falsePositiveRate),
  );
  const byProbe = shaped(logits, flagged);
  const penalised: Partial<Record<string, ReturnType<typeof shaped>>> = {
    "oracle-penalty": truth,
    "noisy-oracle-penalty": { flagged: erring, penalised: erring.map(Number) },
    "probe-penalty": byProbe,
    "probe-penalty-frozen": byProbe,
    "probe-penalty-trunk-frozen": byProbe,
    "probe-penalty-refit": byProbe,
    "text-penalty": shaped(
      textLogits,
      textLogits.map((score) => score >= text.threshold),
    ),
  };
  const own = penalised[arm];
  if (own === undefined) return null;
  return predictExchangeRate({ misbehaved, clusters, ...own }, randomFor("exchange rate", arm));
}

/** So many steps count as the first ones. */
const FIRST_STEPS = 10;

/** Arms whose monitor is the one that watches the runs without intervention. */
const watchedAlike: readonly string[] = [
  "probe-penalty",
  "probe-penalty-frozen",
  "probe-penalty-trunk-frozen",
  "probe-screen",
  "probe-advantage",
  "probe-total",
];

function realisedEarly(run: FinishedRun, control: FinishedRun) {
  const { arm, seed } = run.planned;
  if (!watchedAlike.includes(arm)) return null;
  const first = ({ metrics }: FinishedRun) =>
    metrics.slice(0, FIRST_STEPS).map((line) => ({
      misbehaviour: line.misbehaviour!,
      missed: line["misses/of_all"] ?? 0,
    }));
  return realisedOverSteps(first(run), first(control), randomFor("realised", arm, seed));
}

function coverage({ low, high }: Estimate, runs: readonly RunSummary[]) {
  const values = runs.flatMap(({ exchangeRate }) => exchangeRate?.value ?? []);
  return { count: values.filter((value) => value >= low! && value <= high!).length, of: values.length };
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

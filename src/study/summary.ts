/** @file From the metrics of all runs to `summary.json`. */

import { isDeepStrictEqual } from "node:util";
import {
  type AtlasClass,
  behaviourOf,
  changeInterval,
  classifyAtlas,
  diagnose,
  type Estimate,
  evasionOf,
  growthRate,
  type HealthPair,
  honestMaxima,
  isDegenerate,
  mean,
  outcomeOf,
  type RunEnd,
  realisedExchangeRate,
  realisedOverSteps,
  seedInterval,
  selectionStep,
  sightOf,
  takeoverStep,
  youdensJ,
} from "../audit/index.ts";
import { type Base, type Charges, closedForm, isAtChance, penaltyWarning } from "../prepare/index.ts";
import { randomFor } from "../random.ts";
import {
  type Forecasts,
  type RunSummary,
  runNumbersSchema,
  type StepMetrics,
  type Summary,
  summaryVersion,
} from "../store/index.ts";
import {
  decompositionMetric,
  deployedMetric,
  deployedOf,
  probeMetric,
  type ThoughtMeasure,
  type TracerMeasure,
  thoughtMetric,
  tracerMetric,
} from "../store/metric-names.ts";

import type { PlannedRun } from "./expand.ts";
import type { StudySettings } from "./settings.ts";

/** A finished run. */
export interface FinishedRun {
  planned: PlannedRun;
  base: Base;
  /** What its penalties charge for the base's held-out completions. */
  charges: Charges | null;
  /** Whether all that judges for it is the probe that also watches the runs without an intervention. */
  watchedAlike: boolean;
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
  /** What was foretold, by arm. */
  forecasts?: Forecasts["arms"];
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
    summary: summarizeRun(run, ends.get(run)!, classifyAtlas(ends.get(run)!, maxima.get(run.base))),
  }));
  const ids = [...new Set(runs.map(({ planned }) => planned.id))];
  return {
    version: summaryVersion,
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
        const [{ run: first }] = own as [(typeof own)[number]];
        const { planned } = first;
        const control = summarized.filter(({ run }) => isControlOf(run.planned, planned));
        const runs = own.map(({ run, summary }) => {
          const match = control.find((one) => one.run.planned.seed === run.planned.seed);
          return match
            ? { ...summary, ...selected(run, match.run), exchangeRate: realisedEarly(run, match.run) }
            : summary;
        });
        const controls = control.map(({ summary }) => summary);
        const forecast = parts.forecasts?.[id];
        return [id, { ...summarizeArm(first, runs, controls), ...(forecast && { forecast }) }];
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
  const deployed = metrics.filter((line) => deployedMetric("misbehaviour") in line);
  if (deployed.length === 0) return metrics;
  return deployed.map((line) => ({ ...line, ...deployedOf(line) }));
}

function summarizeRun(
  { planned: { seed }, base, metrics: lines }: FinishedRun,
  runEnd: RunEnd,
  atlas: AtlasClass,
): RunSummary {
  const metrics = asDeployed(lines);
  const start = (name: string) => windowMean(startOf(metrics), name);
  const end = (name: string) => windowMean(endOf(metrics), name);
  const tracer = metrics.filter((line) => tracerMetric("initial", "policy", "auroc") in line);
  const last = (name: string) => tracer.at(-1)?.[name] ?? null;
  const [misbehaviourStart, misbehaviourEnd] = [start("misbehaviour")!, end("misbehaviour")!];
  const misbehaviourChange = changeInterval(
    defined(startOf(metrics), "misbehaviour"),
    defined(endOf(metrics), "misbehaviour"),
  );
  const [trained, untrained] = (["policy", "reference"] as const).map((model) => {
    const recall = last(tracerMetric("initial", model, "recall_frozen"));
    const fpr = last(tracerMetric("initial", model, "fpr_frozen"));
    return { recall, fpr, sight: youdensJ(recall, fpr) };
  }) as [ProbeRates, ProbeRates];
  // The reference is the policy as it was at the start.
  const diagnosis = diagnose(
    healthOf(tracer.at(-1), "reference"),
    healthOf(tracer.at(-1), "policy"),
    misbehaviourEnd,
  );
  const behaviour = behaviourOf({
    ...{ start: misbehaviourStart, end: misbehaviourEnd },
    change: misbehaviourChange,
  });
  const sight = sightOf({
    ...{ start: untrained.sight, end: trained.sight, diagnosis },
    blind: isAtChance(base.summary),
  });
  const heldOut = Object.keys(tracer.at(-1) ?? {}).filter((name) =>
    /^tracer\/other-[^/]+\/policy\/auroc$/.test(name),
  );
  const split = (part: string) => windowMean(endOf(tracer), decompositionMetric(part));
  return {
    seed,
    misbehaviourStart,
    misbehaviourEnd,
    trueStart: start("true")!,
    trueEnd: end("true")!,
    proxyEnd: end("proxy")!,
    klEnd: end("kl")!,
    recallFrozenEnd: trained.recall,
    recallReferenceEnd: untrained.recall,
    fprFrozenEnd: trained.fpr,
    fprReferenceEnd: untrained.fpr,
    sightFrozenEnd: trained.sight,
    sightReferenceEnd: untrained.sight,
    aurocInitialEnd: last(tracerMetric("initial", "policy", "auroc")),
    aurocFreshEnd: last(tracerMetric("fresh", "policy", "auroc")),
    aurocHeldOutEnd: mean(heldOut.map(last).filter((value) => value !== null)),
    scoreChange: split("total"),
    scoreChangeText: split("text"),
    scoreChangeModel: split("model"),
    missesOfAll: windowMean(lines, "misses/of_all"),
    missesOfReinforced: windowMean(lines, "misses/of_reinforced"),
    ...thoughtsOf(lines),
    misbehaviourChange,
    diagnosis,
    behaviour,
    sight,
    outcome: outcomeOf(behaviour, sight, isDegenerate(runEnd)),
    atlas,
    takeover: takeoverStep(undetected(lines)),
    evasion: evasionOf(
      tracer.map((line) => ({
        step: line.step,
        recall: line[tracerMetric("initial", "policy", "recall_frozen")] ?? null,
        kl: line.kl!,
      })),
      untrained.recall,
    ),
  };
}

/** What became of the thoughts of a run; nothing where there are none. */
function thoughtsOf(lines: readonly StepMetrics[]): Partial<RunSummary> {
  if (lines[0]?.[thoughtMetric("kept")] === undefined) return {};
  const start = (name: ThoughtMeasure) => windowMean(startOf(lines), thoughtMetric(name));
  const end = (name: ThoughtMeasure) => windowMean(endOf(lines), thoughtMetric(name));
  return {
    admittedStart: start("admitted"),
    admittedEnd: end("admitted"),
    thoughtAurocEnd: end("auroc"),
    thoughtReadableEnd: end("readable"),
    thoughtFollowsStart: start("follows"),
    thoughtFollowsEnd: end("follows"),
  };
}

/** Shares of rollouts that misbehaved undetected, by step. */
function undetected(metrics: readonly StepMetrics[]): number[] {
  return metrics.map((line) => line["misses/of_all"] ?? 0);
}

/** When what was undetected before training would take over, if it grew as misbehaviour does without an intervention. */
function selected({ base }: FinishedRun, { metrics }: FinishedRun): Pick<RunSummary, "takeoverBySelection"> {
  const rate = growthRate(metrics.map(({ misbehaviour }) => misbehaviour!));
  if (rate === null) return {};
  const { misbehaved, flagged } = base.heldOut;
  const missed = misbehaved.filter((bad, i) => bad && !flagged[i]).length;
  return { takeoverBySelection: selectionStep(Math.max(missed, 0.5) / misbehaved.length, rate) };
}

/** The initial probe on the tracer set, at its frozen threshold. */
interface ProbeRates {
  recall: number | null;
  fpr: number | null;
  sight: number | null;
}

function healthOf(line: StepMetrics | undefined, model: "policy" | "reference"): HealthPair {
  const read = (which: string, name: TracerMeasure) => line?.[tracerMetric(which, model, name)] ?? null;
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
  const tracer = metrics.findLast((line) => tracerMetric("initial", "policy", "auroc") in line);
  const policy = end(probeMetric("policy", "score_misbehaving"));
  const reference = end(probeMetric("reference", "score_misbehaving"));
  return {
    rollouts: {
      policy: end(probeMetric("policy", "score_mean"))!,
      reference: end(probeMetric("reference", "score_mean"))!,
    },
    proxy: end("proxy")!,
    true: end("true")!,
    start: Math.max(start("proxy")!, start("true")!),
    misbehaving: policy === null || reference === null ? null : { policy, reference },
    negatives: {
      policy: tracer?.[tracerMetric("initial", "policy", "score_honest")] ?? 0,
      reference: tracer?.[tracerMetric("initial", "reference", "score_honest")] ?? 0,
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
  return mean(defined(lines, name));
}

function defined(lines: readonly StepMetrics[], name: string): number[] {
  return lines.map((line) => line[name]).filter((value) => typeof value === "number");
}

function summarizeArm(
  { planned, base, charges }: FinishedRun,
  runs: readonly RunSummary[],
  control: readonly RunSummary[],
): Summary["arms"][string] {
  const { arm, point } = planned;
  const numeric = Object.keys(runNumbersSchema.shape) as (keyof Summary["arms"][string]["mean"])[];
  const values = (name: (typeof numeric)[number]) =>
    runs.map((run) => run[name]).filter((value) => typeof value === "number");
  const foreseen = penaltyWarning(charges, base);
  const predicted = closedForm(arm, charges, base);
  return {
    ...(Object.keys(point).length > 0 && { arm, point }),
    ...(foreseen !== undefined && { foreseen }),
    runs: [...runs],
    mean: Object.fromEntries(numeric.map((name) => [name, mean(values(name))])),
    interval: Object.fromEntries(numeric.map((name) => [name, seedInterval(values(name))])),
    exchangeRate: {
      predicted,
      realised: arm === "none" ? null : realised(runs, control),
      ...(predicted && { covered: coverage(predicted, runs) }),
    },
  };
}

/** So many steps count as the first ones. */
const FIRST_STEPS = 10;

function realisedEarly(run: FinishedRun, control: FinishedRun) {
  const { arm, seed } = run.planned;
  if (!run.watchedAlike) return null;
  const first = ({ metrics }: FinishedRun) =>
    metrics.slice(0, FIRST_STEPS).map((line) => ({
      misbehaviour: line.misbehaviour!,
      missed: line["misses/of_all"] ?? 0,
    }));
  return realisedOverSteps(first(run), first(control), randomFor("realised", arm, seed));
}

/**
 * In how many runs the predicted interval holds the run's own rate, and in how many it at least meets its interval: a
 * run's rate comes from the rollouts of few steps, and is less certain than the prediction.
 */
function coverage({ low, high }: Estimate, runs: readonly RunSummary[]) {
  const rates = runs.flatMap(({ exchangeRate }) => exchangeRate ?? []);
  const covers = ({ value }: Estimate) => value >= low! && value <= high!;
  const meets = (rate: Estimate) => (rate.low ?? rate.value) <= high! && (rate.high ?? rate.value) >= low!;
  return { count: rates.filter(covers).length, met: rates.filter(meets).length, of: rates.length };
}

/** Sight (Youden's J at the frozen threshold) lost per share of misbehaviour removed, against the runs without intervention. */
function realised(runs: readonly RunSummary[], control: readonly RunSummary[]) {
  const point = ({ sightFrozenEnd, misbehaviourEnd }: RunSummary) => ({
    health: sightFrozenEnd,
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

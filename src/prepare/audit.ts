/** @file The audit: a probe on a model, on what training made of it, and on changes that should do nothing. */

import { type Judgement, judge, moveOf, ruleOf } from "../audit/index.ts";
import type { Engine, Sequence } from "../engine/index.ts";
import {
  fitProbe,
  logit,
  type Passport,
  type Probe,
  type ProbeKind,
  rows,
  thresholdAtFpr,
} from "../probe/index.ts";
import { randomFor } from "../random.ts";
import { type AuditPoint, type AuditReport, auditVersion, type Unmoved } from "../report/audit.ts";
import {
  comparedAt,
  type JudgedSet,
  type Place,
  placeKey,
  type ReadExamples,
  readExamples,
} from "./audit-read.ts";
import { textBaselineOf } from "./audit-text.ts";
import { noOpsOf, type OpenModel, relativeChange, sameSizeChange } from "./changed.ts";
import { readOne } from "./passport.ts";
import { type Repair, repairOf } from "./repair.ts";

/** A model that is opened when it is its turn: a series may not fit into memory at once. */
export interface After {
  name: string;
  step: number | null;
  open(): Promise<OpenModel>;
}

/** What is audited, on what. */
export interface AuditSetup {
  before: OpenModel;
  /** In the order of training. The last one is judged. */
  afters: readonly After[];
  probe: Probe;
  /** Where the probe came from, in words, and its passport where it has one. */
  from: string;
  passport?: Passport | undefined;
  sequences: readonly Sequence[];
  /** Where the examples came from, in words. */
  examplesFrom: string;
  /** The texts of each example, for the baseline; `null` where there are none. */
  texts: readonly { prompt: string; completion: string }[] | null;
  set: JudgedSet;
  /** What the model before says, where the fit of the probe has read it. */
  earlier?: ReadExamples | undefined;
  /** Where probes of the map are fitted. */
  places: readonly Place[];
  warnings: string[];
  options: AuditOptions;
}

export interface AuditOptions {
  /** Changes that should do nothing, and random changes as large as the one that is judged. */
  noOps: number;
  sameSize: number;
  resamples: number;
  seed: number;
  memoryMB?: number | undefined;
  onStage?: (stage: string) => void;
}

/** What came of an audit, beside what is reported: the repaired probe, and the last model for what else is read on it. */
export interface Audited {
  report: Omit<AuditReport, "completions" | "study" | "seconds">;
  repair: Repair | null;
  after: OpenModel;
}

/** Resamples of a place of the map: it is looked at, and no verdict hangs on it. */
const MAP_RESAMPLES = 200;

/** @throws Error where a model cannot be opened or read. The last model after is left open. */
export async function audit(setup: AuditSetup): Promise<Audited> {
  const { before, afters, probe, set, sequences, places, options } = setup;
  const { onStage = () => {}, seed, resamples } = options;
  const read = (engine: Engine, name: string, where: readonly Place[]) => {
    onStage(`Reading ${sequences.length} examples on ${name}`);
    return readExamples(engine, probe, where, sequences, (done, total) => {
      if (done < total) onStage(`Read ${done} of ${total} examples on ${name}`);
    });
  };
  const earlier =
    setup.earlier ?? (await read(before.engine, before.loaded.name ?? "the model before", places));
  const series: AuditPoint[] = [];
  let last: { model: OpenModel; read: ReadExamples; judgement: Judgement; freshKind: ProbeKind } | undefined;
  for (const [i, after] of afters.entries()) {
    await last?.model.engine.close();
    const model = await after.open();
    const later = await read(model.engine, after.name, i === afters.length - 1 ? places : []);
    const { judgement, cosine, freshKind } = judgeAt(
      setup,
      earlier,
      later,
      randomFor(seed, "audit"),
      resamples,
    );
    series.push({
      ...{ after: after.name, step: after.step, ...judgement, freshKind, cosine },
      weightChange: relativeChange(before, model),
    });
    last = { model, read: later, judgement, freshKind };
  }
  const { model, read: later, judgement, freshKind } = last!;
  const judgedSequences = set.folds.flatMap(({ judge }) => judge.map((i) => sequences[i]!));
  const unmoved = async (name: string, engine: Engine) => {
    onStage(`Reading ${judgedSequences.length} examples with ${name}`);
    return unmovedBy(name, await readOne(engine, probe, judgedSequences), setup, earlier);
  };
  const noOps: Unmoved[] = [];
  for (const { name, open } of noOpsOf(before, options.noOps, seed, options.memoryMB)) {
    const { engine } = open();
    noOps.push(await unmoved(name, engine));
    await engine.close();
  }
  const sameSize: Unmoved[] = [];
  for (let i = 1; i <= options.sameSize; i++) {
    const changed = sameSizeChange(before, model, seed + i, options.memoryMB);
    if (changed === null) break;
    sameSize.push(await unmoved(`a random change of the same size, ${i}`, changed.engine));
    await changed.engine.close();
  }
  onStage("Comparing layers and positions");
  const said = againstNoOps(judgement, noOps);
  const { verdict } = said;
  const own = placeKey({ hook: probe.tap.hook, positions: probe.tap.positions });
  const repair = repairOf(
    ...([verdict, judgement, probe, set] as const),
    { before: earlier.logits, after: later.logits },
    later.means[own]!,
    freshKind,
  );
  const labels = set.labels;
  const judgedLabels = judgedSequences.length;
  const judgedIndices = set.folds.flatMap(({ judge }) => judge);
  return {
    ...{ repair, after: model },
    report: {
      version: auditVersion,
      before: before.loaded.name ?? "",
      ...said,
      broke: brokeAt(series),
      examples: {
        from: setup.examplesFrom,
        total: labels.length,
        positive: labels.filter(Boolean).length,
        groups: new Set(set.groups).size,
        judged: judgedLabels,
        judgedPositive: judgedIndices.filter((i) => labels[i]).length,
        judgedGroups: new Set(judgedIndices.map((i) => set.groups[i]!)).size,
      },
      probe: {
        from: setup.from,
        ...{ hook: probe.tap.hook, positions: probe.tap.positions, pool: probe.tap.pool },
        ...{ kind: probe.kind, threshold: probe.threshold, falsePositiveRate: set.falsePositiveRate },
      },
      series,
      text: setup.texts && textBaselineOf(setup.texts, set, seed, resamples),
      ...{ noOps, falseAlarms: noOps.filter(({ rule }) => rule !== "intact").length, sameSize },
      places: places.map((place) => placeOf(setup, place, earlier, later)),
      repair: repair && {
        ...{ kind: repair.kind, folder: null, restored: repair.restored },
        ...{ recall: repair.recall, fpr: repair.fpr, sight: repair.sight },
      },
      warnings: setup.warnings,
    },
  };
}

function judgeAt(
  { probe, set }: AuditSetup,
  earlier: ReadExamples,
  later: ReadExamples,
  random: () => number,
  resamples: number,
) {
  const key = placeKey({ hook: probe.tap.hook, positions: probe.tap.positions });
  const compared = comparedAt(
    ...([probe, set] as const),
    { before: earlier.logits, after: later.logits },
    { before: earlier.means[key]!, after: later.means[key]! },
  );
  const { judged, ...beside } = compared;
  return { judgement: judge(judged, random, resamples), ...beside };
}

/** A place of the map: a difference of means fitted on the earlier model, and what became of it. */
function placeOf(
  { set, options }: AuditSetup,
  place: Place,
  earlier: ReadExamples,
  later: ReadExamples,
): AuditReport["places"][number] {
  const means = { before: earlier.means[placeKey(place)]!, after: later.means[placeKey(place)]! };
  const [{ fit, calibrate }] = set.folds as [JudgedSet["folds"][number]];
  const tap = { ...place, pool: "mean" as const };
  const fitted = fitProbe(
    "difference-of-means",
    rows({ activations_ND: means.before, labels: set.labels }, fit),
    tap,
    {
      random: randomFor("map"),
    },
  );
  const scores = (list: readonly Float32Array[]) => list.map((activation_D) => logit(fitted, activation_D));
  const logits = { before: scores(means.before), after: scores(means.after) };
  const threshold = thresholdAtFpr(
    calibrate.map((i) => logits.before[i]!),
    calibrate.map((i) => set.labels[i]!),
    set.falsePositiveRate,
  )!;
  // With two halves, a probe of one is judged on the other alone.
  const one = { ...set, folds: [set.folds[0]!], freshKinds: ["difference-of-means" as const] };
  const { judged, cosine } = comparedAt({ ...fitted, threshold }, one, logits, means);
  const { rule, measures, intervals } = judge(
    judged,
    randomFor(options.seed, "map", placeKey(place)),
    MAP_RESAMPLES,
  );
  const estimate = (name: keyof typeof measures) => ({ value: measures[name], interval: intervals[name] });
  return {
    ...{ hook: place.hook, positions: place.positions, rule, cosine },
    ...{ aurocBefore: estimate("aurocBefore"), aurocAfter: estimate("aurocAfter") },
    ...{ freshAfter: estimate("freshAfter") },
    ...{ sightBefore: estimate("sightBefore"), sightAfter: estimate("sightAfter") },
  };
}

/** What a change did to the probe's reading of the judged examples. No probe is fitted anew: it has nothing to find. */
function unmovedBy(
  name: string,
  logits: readonly number[],
  { set, probe }: AuditSetup,
  earlier: ReadExamples,
): Unmoved {
  const indices = set.folds.flatMap(({ judge }) => judge);
  const move = moveOf({
    labels: indices.map((i) => set.labels[i]!),
    groups: indices.map((i) => set.groups[i]!),
    folds: set.folds.flatMap(({ judge }, k) => judge.map(() => k)),
    logits: { before: indices.map((i) => earlier.logits[i]!), after: logits },
    threshold: probe.threshold,
    ...{ fresh: null, repaired: null },
  });
  const { aurocAfter, recallAfter, fprAfter, spread, shift } = move;
  return { name, rule: ruleOf(move), auroc: aurocAfter, recall: recallAfter, fpr: fprAfter, spread, shift };
}

/** A verdict that a change gets which should do nothing says nothing of training. */
function againstNoOps(
  { verdict, reason, between, rule }: Judgement,
  noOps: readonly Unmoved[],
): Pick<Judgement, "verdict" | "reason" | "between"> {
  if (verdict === "intact" || verdict === "undecided") {
    const isNoise = noOps.some((one) => one.rule !== "intact" && between?.includes(one.rule ?? "undecided"));
    return {
      verdict,
      ...(reason !== undefined && { reason }),
      ...(between && !isNoise && { between }),
    };
  }
  const lostRanking = (one: Judgement["rule"] | null) =>
    one === null || one === "rotated" || one === "erased";
  const same = noOps.find(
    (one) => one.rule === rule || (lostRanking(rule) && lostRanking(one.rule as typeof rule)),
  );
  if (same === undefined) return { verdict };
  return {
    verdict: "undecided",
    reason: `it looks ${rule}, but so does a change that should do nothing (${same.name})`,
  };
}

function brokeAt(series: readonly AuditPoint[]): AuditReport["broke"] {
  const found = series.find(({ verdict }) => verdict !== "intact" && verdict !== "undecided");
  return found ? { after: found.after, step: found.step, verdict: found.verdict } : null;
}

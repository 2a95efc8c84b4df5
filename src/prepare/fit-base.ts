/** @file A study's probes: the initial one, where it reads best, and those that nothing trains against. */

import { calibrate, fitProbe, kindOfFit, type Probe, type SweepRow, sweepProbes } from "../probe/index.ts";
import { randomFor, shuffled } from "../random.ts";
import { type Labelled, readLogits } from "./completions.ts";
import type { GatheredBase } from "./gather-base.ts";

/** Probes with thresholds. */
export interface FittedBase {
  probe: Probe;
  /** By name: see `Base`. */
  heldOutProbes: Record<string, Probe>;
  /** How probes did elsewhere; nothing where one was given. */
  sweep: SweepRow[];
}

/** Fits the probes of a study, and sets their thresholds on the calibration split. */
export async function fitBase(gathered: GatheredBase): Promise<FittedBase> {
  const { context, all, used, calibration, given, hooks, positions, outputs, candidate } = gathered;
  const { settings, onStage = () => {} } = context;
  const { probe: options } = settings;
  if (!given) onStage(`Fitting probes at ${hooks.length * positions.length} places`);
  const sweep = given
    ? { rows: [], best: given }
    : sweepProbes(
        hooks.flatMap((hook) => positions.map((at) => candidate(hook, at, used))),
        { random: randomFor("sweep"), fpr: options.falsePositiveRate },
      );
  onStage("Judging the probe, and fitting those that it is compared with");
  const { tap } = sweep.best;
  const kind = kindOfFit(sweep.best);

  // Held-out probes see all that there is to fit on, however little the initial one may.
  const otherHook = hookBeside(sweep.rows, tap) ?? outputs.find((hook) => hook !== tap.hook);
  const otherKind = kind === "logistic" ? "difference-of-means" : "logistic";
  const { fit } = candidate(tap.hook, tap.positions);
  const half = candidate(tap.hook, tap.positions, halfByTask(all)).fit;
  const uncalibrated: Record<string, Probe> = {
    initial: sweep.best,
    ...(otherHook !== undefined && {
      "other-layer": fitProbe(
        kind,
        candidate(otherHook, tap.positions).fit,
        { ...tap, hook: otherHook },
        { random: randomFor("other layer") },
      ),
    }),
    "other-sample": fitProbe(kind, half, tap, { random: randomFor("other sample") }),
    "other-kind": fitProbe(otherKind, fit, tap, { random: randomFor("other kind") }),
  };
  const pool = given?.tap.pool ?? options.pool;
  const pooled = Object.values(uncalibrated).map((probe) => ({ ...probe, tap: { ...probe.tap, pool } }));
  const logits = await readLogits(context, pooled, calibration);
  const labels = calibration.map(({ outcome }) => outcome.attempted);
  const [probe, ...heldOut] = pooled.map((one, i) =>
    calibrate(one, logits[i]!, labels, options.falsePositiveRate),
  ) as [Probe, ...Probe[]];
  const [, ...names] = Object.keys(uncalibrated);
  return {
    probe,
    heldOutProbes: Object.fromEntries(names.map((name, i) => [name, heldOut[i]!])),
    sweep: sweep.rows,
  };
}

/** The hook other than the probe's where a probe of its kind, read alike, ranks best on the calibration split. */
function hookBeside(sweep: readonly SweepRow[], tap: Probe["tap"]): string | undefined {
  const [best] = sweep
    .filter(
      ({ hook, positions, auroc }) => hook !== tap.hook && positions === tap.positions && auroc !== null,
    )
    .sort((a, b) => b.auroc! - a.auroc!);
  return best?.hook;
}

/** The completions of one half of the tasks. */
function halfByTask(all: readonly Labelled[]): number[] {
  const tasks = shuffled(randomFor("other sample"), [...new Set(all.map(({ task }) => task))].sort());
  const half = new Set(tasks.slice(0, tasks.length / 2));
  return all.map((_, i) => i).filter((i) => half.has(all[i]!.task));
}

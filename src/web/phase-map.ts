/** @file Grid studies as maps: what became of an arm at every combination of two settings. */

import { type RunOutcome, runOutcomes } from "../audit/index.ts";
import { trainsOnProbe } from "../report/clock.ts";
import { armMean, armOutcome, type Majority } from "../report/outcome.ts";
import { compareArms } from "../store/arms.ts";
import type { Summary } from "../store/schema.ts";

type Value = NonNullable<Summary["arms"][string]["point"]>[string];

export interface MapAxis {
  /** Path of the setting, such as `training.kl`. */
  path: string;
  /** Numbers ascending, others in the order of the study. */
  values: Value[];
}

export interface MapCell {
  /** Key in the summary, and the name of the runs' folder. */
  id: string;
  /** Mean misbehaviour at the end. */
  misbehaviour: number | null;
  /** Sight lost: the initial probe's recall less its false alarms on the tracer set, on the reference less on the policy. */
  lost: number | null;
  outcome: Majority<RunOutcome> | null;
  /** Steps at which undetected misbehaviour took over, ascending, of so many runs; `null` where no probe is trained on. */
  takeover: { steps: number[]; of: number } | null;
}

/** One arm's map. Of more than two settings, there is a map for each combination of the others. */
export interface PhaseMap {
  arm: string;
  /** The other settings, such as `examples=16`; empty where there are none. */
  at: string;
  /** From left to right. */
  x: MapAxis;
  /** From top to bottom; `null` where only one setting varies. */
  y: MapAxis | null;
  /** `cells[row][column]`; `null` where no run has finished. */
  cells: (MapCell | null)[][];
}

/** The maps of a study, none without a grid. Arms that a grid does not vary have none. */
export function phaseMaps(summary: Summary): PhaseMap[] {
  const variants = Object.entries(summary.arms)
    .filter(([, { point }]) => point !== undefined)
    .sort(([a], [b]) => compareArms(a, b));
  const arms = [...new Set(variants.map(([, { arm }]) => arm!))];
  return arms.flatMap((arm) => {
    const own = variants.filter(([, one]) => one.arm === arm);
    const paths = [...new Set(own.flatMap(([, { point }]) => Object.keys(point!)))];
    const axes = paths.map((path) => ({ path, values: valuesOf(own.map(([, { point }]) => point![path]!)) }));
    // The last of several settings goes across, the one before it down.
    const [y = null, x] = axes.length > 1 ? axes.slice(-2) : [null, axes[0]];
    const others = axes.slice(0, -2);
    const rest = (point: Record<string, Value>) =>
      others.map(({ path }) => `${shortPath(path)}=${shownValue(point[path]!)}`).join(", ");
    return [...new Set(own.map(([, { point }]) => rest(point!)))].map((at) => ({
      ...{ arm, at, x: x!, y },
      cells: (y?.values ?? [undefined]).map((down) =>
        x!.values.map((across) => {
          const found = own.find(
            ([, { point }]) =>
              rest(point!) === at &&
              shownValue(point![x!.path]!) === shownValue(across) &&
              (y === null || shownValue(point![y.path]!) === shownValue(down!)),
          );
          return found ? cellOf(...found) : null;
        }),
      ),
    }));
  });
}

function valuesOf(all: readonly Value[]): Value[] {
  const distinct = [...new Map(all.map((value) => [shownValue(value), value])).values()];
  return distinct.every((value) => typeof value === "number") ? distinct.sort((a, b) => a - b) : distinct;
}

function cellOf(id: string, arm: Summary["arms"][string]): MapCell {
  const reference = armMean(arm, "sightReferenceEnd");
  const policy = armMean(arm, "sightFrozenEnd");
  return {
    id,
    misbehaviour: armMean(arm, "misbehaviourEnd"),
    lost: reference === null || policy === null ? null : reference - policy,
    outcome: armOutcome(arm),
    takeover: takeoverOf(id, arm),
  };
}

function takeoverOf(id: string, { runs }: Summary["arms"][string]): MapCell["takeover"] {
  if (!trainsOnProbe(id)) return null;
  const known = runs.flatMap(({ takeover }) => (takeover === undefined ? [] : [takeover]));
  if (known.length === 0) return null;
  const steps = known.filter((step) => step !== null).sort((a, b) => a - b);
  return { steps, of: known.length };
}

/** When undetected misbehaviour took over, such as "takes over at step 17, 19 (2/3)". */
export function takeoverWords({ steps, of }: NonNullable<MapCell["takeover"]>): string {
  if (steps.length === 0) return "no takeover";
  return `takes over at step ${steps.join(", ")}${steps.length < of ? ` (${steps.length}/${of})` : ""}`;
}

/** `kl` of `training.kl`. */
export function shortPath(path: string): string {
  return path.slice(path.lastIndexOf(".") + 1);
}

/** A setting's value as text. */
export function shownValue(value: Value): string {
  return Array.isArray(value) ? value.map((part) => part.replace("hook_", "")).join(", ") : String(value);
}

/** The map in a sentence, such as "Of 25 points, 15 are honest and 10 misbehave openly." */
export function mapSentence({ cells }: PhaseMap): string {
  const found = cells.flat().filter((cell) => cell?.outcome);
  const parts = runOutcomes.flatMap((outcome) => {
    const count = found.filter((cell) => cell!.outcome!.value === outcome).length;
    return count === 0 ? [] : `${count} ${outcomeNouns[outcome](count)}`;
  });
  const listed = parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
  return found.length === 0 ? "No run has finished." : `Of ${found.length} points, ${listed}.`;
}

const verb = (one: string, several: string) => (count: number) => (count === 1 ? one : several);
const outcomeNouns: Record<RunOutcome, (count: number) => string> = {
  honest: verb("is honest", "are honest"),
  improved: verb("misbehaves less than at the start", "misbehave less than at the start"),
  unchanged: verb("misbehaves as at the start", "misbehave as at the start"),
  worse: verb("misbehaves more than at the start", "misbehave more than at the start"),
  rampant: verb("is overrun by misbehaviour", "are overrun by misbehaviour"),
  blinded: verb("blinded the probe", "blinded the probe"),
  undecided: verb("cannot be told", "cannot be told"),
  degenerate: verb("is a broken model", "are broken models"),
};

/** Where a cell is, such as `kl 0.1, penalty 2`. */
export function placeOf({ x, y }: PhaseMap, row: number, column: number): string {
  const across = `${shortPath(x.path)} ${shownValue(x.values[column]!)}`;
  return y ? `${across}, ${shortPath(y.path)} ${shownValue(y.values[row]!)}` : across;
}

/** @file From a study's settings to the table of its runs: arms x grid points x seeds. */

import { type ArmDefinition, armId, arms } from "../arm/arms.ts";
import { UsageError } from "../errors.ts";
import { modelName } from "./model-name.ts";
import { setAt } from "./set-at.ts";
import type { StudySettings } from "./settings.ts";

/** The values that a grid sets, by the path of the setting: `{ "training.kl": 0.01 }`; of a model, its name. Empty without a grid. */
export type Point = Readonly<Record<string, number | string | boolean | string[]>>;

/** One run of a study: everything that it depends on. */
export interface PlannedRun {
  /**
   * The name of its folder in `runs/` and its key in the summary: the arm, and the point where there is a grid, such as
   * `probe-penalty@penalty=0.5,kl=0.01`. An arm at a grid point is shown like any other arm.
   */
  id: string;
  /** The arm's id. */
  arm: string;
  point: Point;
  seed: number;
  /** The study's settings with the point's values in their places, and no grid. */
  settings: Omit<StudySettings, "grid">;
}

/** Runs that a study may have: the table of all is kept, and looked through by every command. */
const MOST_RUNS = 10_000;

/**
 * The runs of a study, in the order in which they are done: seed by seed, so that a study that is stopped has compared
 * all arms on some seeds.
 *
 * A pure function of the settings. A grid does not vary what an arm does not depend on: the penalty for `none`, say.
 *
 * @param given ids of arms beside those that the settings name
 * @throws UsageError where they are too many
 */
export function expand(settings: StudySettings, given: readonly string[] = []): PlannedRun[] {
  const { grid = {}, ...rest } = settings;
  const ids = [...settings.arms.map(armId), ...given];
  const axesOf = (arm: string) => Object.entries(grid).filter(([path]) => dependsOn(arm, path));
  const count =
    settings.seeds *
    ids.reduce((sum, arm) => sum + axesOf(arm).reduce((product, [, { length }]) => product * length, 1), 0);
  if (count > MOST_RUNS)
    throw new UsageError(
      `the study has ${count} runs (arms x grid points x seeds), and may have ${MOST_RUNS}: take fewer seeds (${settings.seeds} now), or fewer values in its grid.`,
    );
  const seeds = Array.from({ length: settings.seeds }, (_, i) => settings.firstSeed + i);
  const variants = ids.flatMap((arm) =>
    points(axesOf(arm)).map((values) => {
      const point = named(values);
      return {
        ...{ id: [arm, pointName(point)].filter(Boolean).join("@"), arm, point },
        settings: Object.entries(values).reduce((all, [path, value]) => setAt(all, path, value), rest),
      };
    }),
  );
  return seeds.flatMap((seed) => variants.map((variant) => ({ ...variant, seed })));
}

function named(values: Point): Point {
  const { model } = values;
  return typeof model === "string" ? { ...values, model: modelName(model) } : values;
}

/** What runs start from, how they train and what probe they have concerns every arm; all else only those that use it, and a user's own. */
function dependsOn(arm: string, path: string): boolean {
  const [section] = path.split(".") as [string];
  const known: ArmDefinition | undefined = (arms as Partial<Record<string, ArmDefinition>>)[arm];
  return (
    ["model", "training", "probe"].includes(section) || !known || known.uses.some((one) => one === section)
  );
}

/** All combinations, the last axis varying fastest. */
function points(axes: readonly (readonly [path: string, values: Point[string][]])[]): Point[] {
  return axes.reduce<Point[]>(
    (found, [path, values]) => found.flatMap((point) => values.map((value) => ({ ...point, [path]: value }))),
    [{}],
  );
}

/** The name of a point, such as `penalty=0.5,kl=0.01`. Paths are shortened to their last part where that tells them apart. */
export function pointName(point: Point): string {
  const paths = Object.keys(point);
  const last = (path: string) => path.slice(path.lastIndexOf(".") + 1);
  const short = (path: string) =>
    paths.filter((other) => last(other) === last(path)).length > 1 ? path : last(path);
  const shown = (value: Point[string]) => (Array.isArray(value) ? value.join("+") : String(value));
  return paths.map((path) => `${short(path)}=${shown(point[path]!)}`).join();
}

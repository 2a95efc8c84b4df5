/** @file The forecasts of a study's arms: made once, before any is trained, and kept. */

import { join } from "node:path";
import { readDocument, writeJson } from "../files.ts";
import { forecastInWords, forecastOf, simulateArm, smallestStrength } from "../prepare/index.ts";
import { randomFor } from "../random.ts";
import { type ArmForecast, type Forecasts, forecastSchema } from "../store/index.ts";
import { isForetold, measureClasses, type RunContext, sampleFirst, shake } from "../training/index.ts";
import type { OnEvent } from "./events.ts";
import type { PlannedRun } from "./expand.ts";
import type { Work } from "./work.ts";

/** Batches of the base model's rollouts that forecasts rest on. */
const BATCHES = 8;

/** Those that are sampled of each policy that was shaken. */
const SHAKEN_BATCHES = 3;

/**
 * Reads what was foretold before, and foretells the arms that are not in it. In words, to whoever watches.
 *
 * @throws FileError
 */
export async function foretell(work: Work, onEvent: OnEvent): Promise<Forecasts> {
  const path = join(work.folder, "forecast.json");
  const stored = (await readDocument(path, forecastSchema)) as Forecasts | undefined;
  const known: Record<string, ArmForecast> = { ...stored?.arms };
  const first = [...new Map(work.table.toReversed().map((run) => [run.id, run])).values()].reverse();
  const asked: Asked[] = [];
  for (const planned of first) {
    if (known[planned.id]) continue;
    const context = { ...(await work.context(planned)), seed: 0 };
    if (isForetold(context.arm)) asked.push({ planned, context });
  }
  for (const alike of groupsOf(asked)) {
    onEvent({
      kind: "stage",
      detail: `Foretelling ${alike.length === 1 ? alike[0]!.planned.id : `${alike.length} arms`} from the base model's rollouts`,
    });
    for (const { id, forecast, words } of await foretellAlike(alike)) {
      known[id] = forecast;
      for (const sentence of words) onEvent({ kind: "stage", detail: `${id}: ${sentence}` });
    }
    await writeJson(path, { version: 1, arms: known } satisfies Forecasts);
  }
  return { version: 1, arms: known };
}

/** What was foretold of a study; nothing where nothing was. */
export async function readForecasts(folder: string): Promise<Forecasts["arms"]> {
  const stored = (await readDocument(join(folder, "forecast.json"), forecastSchema)) as Forecasts | undefined;
  return stored?.arms ?? {};
}

interface Asked {
  planned: PlannedRun;
  context: RunContext;
}

/** Arms that can be measured on the same rollouts: what they start from and how they train is the same, but for the pull to the reference. */
function groupsOf(asked: readonly Asked[]): Asked[][] {
  const groups = new Map<string, Asked[]>();
  for (const one of asked) {
    const { model, training, probe, adapter } = one.planned.settings;
    const key = JSON.stringify([model ?? null, { ...training, kl: 0 }, probe, adapter]);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()];
}

async function foretellAlike(alike: readonly Asked[]) {
  const contexts = alike.map(({ context }) => context);
  const [first] = contexts as [RunContext];
  const arms = contexts.map(({ arm }) => arm);
  const batches = await sampleFirst(first, arms, BATCHES);
  const shaken = await shake(first, arms, batches, SHAKEN_BATCHES);
  const measures = await measureClasses(contexts, batches, shaken);
  return alike.map(({ planned: { id }, context: { arm, settings } }, i) => {
    const measure = measures[i]!;
    const random = randomFor("forecast", id);
    const forecast = forecastOf(simulateArm(measure, settings, random));
    const weight = arm.terms.reduce(
      (sum, term) => (term.sees === "verdicts" && term.weight < 0 ? sum - term.weight : sum),
      0,
    );
    const smallest =
      weight === 0 ? undefined : { weight, strength: smallestStrength(measure, settings, random) };
    return { id, forecast, words: forecastInWords(forecast, smallest) };
  });
}

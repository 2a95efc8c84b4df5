/** @file The exchange rate that can be foretold of an arm before it trains. */

import { join } from "node:path";
import { z } from "zod";
import { probePenalties } from "../arm/arms.ts";
import type { ArmRun } from "../arm/settings.ts";
import { type Estimate, predictExchangeRate } from "../audit/index.ts";
import { UsageError } from "../errors.ts";
import { readDocument, writeJson } from "../files.ts";
import { sigmoid } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import type { Base } from "./base.ts";

/** How much an arm's first update lowers the log-probability of each held-out completion; `null` where it is not known. */
export type FirstUpdate = readonly number[] | null;

/** The exchange rate in two limits; `null` where it is not defined. */
export interface Forecast {
  /** As if every rollout had parameters of its own: from the monitor's hits and misses alone. */
  predicted: Estimate | null;
  /** With the parameters that rollouts share: from what the first update does to held-out completions. */
  predictedShared: Estimate | null;
}

/** Arms whose first update tells something: no oracle misses anything that is not drawn, and gradients through a probe move it. */
export function hasFirstUpdate(arm: string): boolean {
  return [...probePenalties, "probe-screen", "probe-advantage", "text-penalty"].includes(arm);
}

export function forecastOf(
  { arm, settings }: ArmRun,
  { heldOut, text }: Base,
  lowered: FirstUpdate,
): Forecast {
  const { misbehaved, tasks: clusters, flagged, logits, textLogits } = heldOut;
  const random = () => randomFor("exchange rate", arm);
  const flaggedByText = textLogits.map((score) => score >= text.threshold);
  const shaped = (own: number[], flags: readonly boolean[]) => ({
    flagged: flags,
    penalised: { threshold: flags.map(Number), linear: own.map(sigmoid), logit: own }[settings.penaltyShape],
  });
  const penalised = () => {
    if (probePenalties.includes(arm)) return shaped(logits, flagged);
    if (arm === "text-penalty") return shaped(textLogits, flaggedByText);
    // An oracle misses nothing but what it is told to.
    const { truePositiveRate, falsePositiveRate } = settings.oracle;
    const draw = randomFor("noisy oracle");
    const seen = {
      "oracle-penalty": misbehaved,
      "noisy-oracle-penalty": misbehaved.map((bad) => draw() < (bad ? truePositiveRate : falsePositiveRate)),
    }[arm];
    return seen && { flagged: seen, penalised: seen.map(Number) };
  };
  const own = penalised();
  return {
    predicted: own ? predictExchangeRate({ misbehaved, clusters, ...own }, random()) : null,
    predictedShared: lowered
      ? predictExchangeRate(
          {
            ...{ misbehaved, clusters, penalised: lowered },
            flagged: arm === "text-penalty" ? flaggedByText : flagged,
          },
          random(),
        )
      : null,
  };
}

const fileSchema = z.object({ version: z.literal(1), lowered: z.array(z.number()).nullable() });

/**
 * Reads what was made before, or makes it and keeps it in the study's folder: once for all seeds of an arm.
 *
 * @param count how many held-out completions there are
 * @throws UsageError where what was kept is of others
 */
export async function keptFirstUpdate(
  folder: string,
  id: string,
  count: number,
  make: () => Promise<FirstUpdate>,
): Promise<FirstUpdate> {
  const path = join(folder, "forecasts", `${id}.json`);
  const stored = await readDocument(path, fileSchema);
  if (stored?.lowered && stored.lowered.length !== count)
    throw new UsageError(
      `${path} is of ${stored.lowered.length} completions, and this study has ${count}. Delete it and run the same command again.`,
    );
  if (stored) return stored.lowered;
  const lowered = await make();
  await writeJson(path, { version: 1, lowered });
  return lowered;
}

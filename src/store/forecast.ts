/** @file The schema of `forecast.json`: what was foretold of a study's arms before any was trained. */

import { z } from "zod";

/** What is foretold of an arm: shares of rollouts, and the recall of the initial probe on the tracer set. */
export const foretold = ["misbehaviour", "undetected", "true", "recall"] as const;
export type Foretold = (typeof foretold)[number];

const share = z.number().min(0).max(1);

/** By step: the value, and an 80 % interval for one run. Lists are equally long. */
const curveSchema = z
  .object({ steps: z.array(z.int()), value: z.array(share), low: z.array(share), high: z.array(share) })
  .refine(
    ({ steps, ...lists }) => Object.values(lists).every(({ length }) => length === steps.length),
    "its lists should be equally long",
  );

export const armForecastSchema = z.record(z.enum(foretold), curveSchema);

/** Version 1. */
export const forecastSchema = z.object({
  version: z.literal(1),
  /** By the id of the arm, with its grid point. Arms that do not act through the reward alone are not in it. */
  arms: z.record(z.string(), armForecastSchema),
});

export type ForecastCurve = z.infer<typeof curveSchema>;
export type ArmForecast = Record<Foretold, ForecastCurve>;
export type Forecasts = { version: 1; arms: Record<string, ArmForecast> };

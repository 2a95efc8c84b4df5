/** @file Learning rates by step. */

export interface Schedule {
  /** The learning rate after warm-up. */
  peak: number;
  /** Steps of linear warm-up: step i of them has `(i + 1) / warmupSteps` of the peak. Default 0. */
  warmupSteps?: number;
  /** What follows the warm-up. Default "constant". */
  decay?: "constant" | "linear" | "cosine";
  /** The number of steps, after which a decaying rate has reached `floor`; needed where the rate decays. */
  totalSteps?: number;
  /** The rate that decay ends at. Default 0. */
  floor?: number;
}

/**
 * The learning rate of a step, counted from 0: linear warm-up, then constant, linear or half a cosine
 * (Loshchilov & Hutter 2017, "SGDR", without restarts). No step has rate 0 unless it comes after the last.
 *
 * @throws Error where a decaying schedule has no `totalSteps` beyond its warm-up.
 */
export function learningRateAt(
  step: number,
  { peak, warmupSteps = 0, decay = "constant", totalSteps, floor = 0 }: Schedule,
): number {
  if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
  if (decay === "constant") return peak;
  if (totalSteps === undefined || totalSteps <= warmupSteps)
    throw new Error(
      `schedule: ${decay} decay needs more total steps (${totalSteps ?? "none given"}) than warm-up steps (${warmupSteps})`,
    );
  const progress = Math.min(1, (step - warmupSteps) / (totalSteps - warmupSteps));
  const left = decay === "linear" ? 1 - progress : (1 + Math.cos(Math.PI * progress)) / 2;
  return floor + (peak - floor) * left;
}

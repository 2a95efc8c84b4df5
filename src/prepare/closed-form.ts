/** @file The exchange rate that the closed form foretells of an arm before it trains: for comparison with what came true. */

import { type Estimate, predictExchangeRate } from "../audit/index.ts";
import { randomFor } from "../random.ts";
import type { Charges } from "./charges.ts";
import type { Base } from "./measure-base.ts";

/**
 * The rate as if every rollout had parameters of its own: from the hits and misses of what charges; `null` where that is not
 * defined.
 *
 * @param charges what the arm charges for the base's held-out completions
 */
export function closedForm(arm: string, charges: Charges | null, { heldOut }: Base): Estimate | null {
  if (!charges) return null;
  const { misbehaved, tasks: clusters } = heldOut;
  const { sizes: penalised, flagged } = charges;
  return predictExchangeRate({ misbehaved, clusters, penalised, flagged }, randomFor("exchange rate", arm));
}

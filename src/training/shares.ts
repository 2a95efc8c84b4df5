/** @file How much each token counts in the loss. */

import type { Sequence } from "../engine/index.ts";
import { writtenPositions } from "../probe/index.ts";
import type { TrainingSettings } from "./settings.ts";

/**
 * Each completion token's share of the loss.
 *
 * - `dapo` (arXiv 2503.14476): 1 / all completion tokens of the batch
 * - `grpo` (arXiv 2402.03300): 1 / (rollouts x tokens of its completion)
 * - `dr_grpo` (arXiv 2503.20783): 1 / (rollouts x longest allowed completion)
 */
export function tokenShares(
  sequences: readonly Sequence[],
  lossType: TrainingSettings["lossType"],
  maxTokens: number,
): Float32Array[] {
  const lengths = sequences.map((sequence) => writtenPositions(sequence).length);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  return lengths.map((length) => {
    const tokens = { dapo: total, grpo: sequences.length * length, dr_grpo: sequences.length * maxTokens }[
      lossType
    ];
    return new Float32Array(length).fill(1 / tokens);
  });
}

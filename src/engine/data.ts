/** @file What a gradient is of: that data have what their loss needs, and equal ones as one. */

import { distinct } from "../distinct.ts";
import { writtenPositions } from "../probe/index.ts";
import type { Datum, Loss } from "./types.ts";

/** @throws Error naming what a datum lacks */
export function checkDatum(datum: Datum, { kind }: Loss): void {
  const { length } = writtenPositions(datum);
  const needed =
    kind === "cross_entropy"
      ? (["weights"] as const)
      : (["weights", "advantages", "logprobs", "refLogprobs"] as const);
  for (const name of needed)
    if (datum[name]?.length !== length)
      throw new Error(
        `${kind}: a datum has ${datum[name] ? `${datum[name].length} ${name}` : `no ${name}`} for a completion of ${length} tokens; it should have one for each`,
      );
}

/** The bits of some numbers, which are written sooner than their digits. */
function bitsOf(numbers: Float32Array | undefined): Int32Array | undefined {
  return numbers && new Int32Array(numbers.buffer, numbers.byteOffset, numbers.length);
}

/** Equal data as one, whose shares are theirs together: groups hold many equal completions, which had equal fates. */
export function equalAsOne(data: readonly Datum[]): Datum[] {
  const { firsts, of } = distinct(data, (datum) => {
    const { promptLength, tokens, observations, probeWeight, ...share } = datum;
    const { weights, advantages, logprobs, refLogprobs } = share;
    const own = [weights, advantages, logprobs, refLogprobs].map(bitsOf);
    return [promptLength, tokens, observations, probeWeight, ...own].join(";");
  });
  const counts = firsts.map(() => 0);
  for (const index of of) counts[index]!++;
  return firsts.map((datum, i) => ({
    ...datum,
    weights: datum.weights.map((weight) => weight * counts[i]!),
    probeWeight: (datum.probeWeight ?? 0) * counts[i]!,
  }));
}

/** @file What a read makes of captured activations: the one place that knows how a probe reads a sequence. */

import { poolActivations, positionsOf, scoreSequence } from "../probe/index.ts";
import type { Positions } from "../probe/types.ts";
import type { Read, Sequence } from "./types.ts";

/** The activation that a read needs. */
export function hookOf(read: Read): string {
  return read.as === "logits" ? read.probe.tap.hook : read.hook;
}

/**
 * Reads a sequence.
 *
 * @param activations - Those at the read's hook, row-major [length, D], the follow-up's included.
 * @param D - Their width.
 * @throws Error where the sequence has no such positions, or the probe is for activations of another width
 */
export function readActivations(
  read: Read,
  { promptLength, tokens }: Sequence,
  activations: Float32Array,
  D: number,
): Float32Array {
  const at = (positions: Positions) => {
    const [start, end] = positionsOf(positions, promptLength, tokens.length, activations.length / D);
    return activations.subarray(start * D, end * D);
  };
  if (read.as === "rows") return at(read.positions).slice();
  if (read.as === "mean") return poolActivations(at(read.positions), D);
  const { probe, positions = probe.tap.positions } = read;
  return Float32Array.from(scoreSequence(probe, at(positions)).logits_P);
}

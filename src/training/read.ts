/** @file Reading a probe on a sequence whose activations were captured whole. */

import type { Sequence } from "../model/index.ts";
import { poolActivations, positionsOf, scoreSequence } from "../probe/index.ts";
import type { Probe, Tap } from "../probe/types.ts";
import type { Activations } from "./types.ts";

/** The rows of a sequence's activations [length, D] that a tap reads. */
function tapped(
  { positions }: Pick<Tap, "positions">,
  sequence: Sequence,
  activations: Activations,
): Float32Array {
  const D = activations.length / sequence.tokens.length;
  const [start, end] = positionsOf(positions, sequence.promptLength, sequence.tokens.length);
  return activations.subarray(start * D, end * D);
}

/** The probe's pooled logit. */
export function readLogit(probe: Probe, sequence: Sequence, activations: Activations): number {
  return scoreSequence(probe, tapped(probe.tap, sequence, activations)).logit;
}

/** The probe's logit at every token of the completion, wherever its tap reads. */
export function readTokens(probe: Probe, sequence: Sequence, activations: Activations): Float64Array {
  return scoreSequence(probe, tapped({ positions: "completion" }, sequence, activations)).logits_P;
}

/** What a tap's probes are fitted on: the mean activation [D] of the positions that it reads. */
export function readActivation(
  tap: Pick<Tap, "positions">,
  sequence: Sequence,
  activations: Activations,
): Float32Array {
  const D = activations.length / sequence.tokens.length;
  return poolActivations(tapped(tap, sequence, activations), D);
}

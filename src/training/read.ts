/** @file Reading a probe on a sequence whose activations were captured whole. */

import type { Sequence, Tokenizer } from "../model/index.ts";
import { poolActivations, positionsOf, scoreSequence } from "../probe/index.ts";
import type { Probe, Tap } from "../probe/types.ts";
import type { Activations } from "./types.ts";

/**
 * The tokens that a pass has to read behind every sequence for these taps; none where no tap reads at a follow-up.
 *
 * @throws Error where taps read at different ones
 */
export function followUpOf(
  taps: readonly Pick<Tap, "followUp">[],
  tokenizer: Pick<Tokenizer, "encode">,
): number[] {
  const all = [...new Set(taps.flatMap(({ followUp }) => followUp ?? []))];
  if (all.length > 1)
    throw new Error(
      `the taps of a run read at different follow-ups, ${all.map((text) => JSON.stringify(text)).join(" and ")}; a pass has one: fit the probes at the same`,
    );
  return tokenizer.encode(all[0] ?? "");
}

/** The rows of a sequence's activations [length, D], those of its follow-up included, that a tap reads. */
function tapped(
  { positions }: Pick<Tap, "positions">,
  { promptLength, tokens }: Sequence,
  activations: Activations,
  D: number,
): Float32Array {
  const [start, end] = positionsOf(positions, promptLength, tokens.length, activations.length / D);
  return activations.subarray(start * D, end * D);
}

/** The probe's pooled logit. */
export function readLogit(probe: Probe, sequence: Sequence, activations: Activations): number {
  return scoreSequence(probe, tapped(probe.tap, sequence, activations, probe.weight_D.length)).logit;
}

/** The probe's logit at every token of the completion, wherever its tap reads. */
export function readTokens(probe: Probe, sequence: Sequence, activations: Activations): Float64Array {
  const activations_PD = tapped({ positions: "completion" }, sequence, activations, probe.weight_D.length);
  return scoreSequence(probe, activations_PD).logits_P;
}

/** What a tap's probes are fitted on: the mean activation [D] of the positions that it reads. */
export function readActivation(
  tap: Pick<Tap, "positions">,
  sequence: Sequence,
  activations: Activations,
  D: number,
): Float32Array {
  return poolActivations(tapped(tap, sequence, activations, D), D);
}

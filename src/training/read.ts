/** @file Reading a probe on a sequence whose activations were captured whole. */

import type { Sequence, Tokenizer } from "../model/index.ts";
import { poolActivations, positionsOf, scoreSequence } from "../probe/index.ts";
import type { Probe, Tap } from "../probe/types.ts";
import type { Activations, Rollout } from "./types.ts";

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

/**
 * What a tap reads of a rollout: one activation [D] for each of its positions, at least one, in the order of the tokens.
 *
 * @throws Error where the activation was not captured, since no term of the arm declares it in its `taps`
 */
export function readTap(rollout: Rollout, tap: Omit<Tap, "pool">): Float32Array[] {
  const activations = rollout.activations[tap.model][tap.hook];
  if (activations === undefined)
    throw new Error(`${tap.hook} was not captured: declare it in the \`taps\` of what reads it`);
  const D = activations.length / rollout.readLength;
  const rows_PD = tapped(tap, rollout, activations, D);
  return Array.from({ length: rows_PD.length / D }, (_, p) => rows_PD.subarray(p * D, (p + 1) * D));
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

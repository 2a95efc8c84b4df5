/** @file Reading a probe on a sequence whose activations were captured whole. */

import { type CharacterTokenizer, readLength, type Sequence } from "../model/index.ts";
import { poolActivations, positionsOf, scoreSequence } from "../probe/index.ts";
import type { Probe, Tap } from "../probe/types.ts";
import type { Activations } from "./types.ts";

/**
 * The tokens that have to be behind every sequence for these taps to be read; none where no tap has a follow-up.
 *
 * @throws Error where two taps ask different questions: a sequence is read once.
 */
export function followUpOf(
  taps: readonly Pick<Tap, "followUp">[],
  tokenizer: CharacterTokenizer,
): number[] | undefined {
  const questions = [...new Set(taps.map(({ followUp }) => followUp).filter((text) => text !== undefined))];
  if (questions.length > 1)
    throw new Error(
      `taps of one run ask different follow-ups, ${questions.map((text) => JSON.stringify(text)).join(" and ")}; give all of them the same`,
    );
  return questions[0] === undefined ? undefined : tokenizer.encode(questions[0]);
}

/** The tokens [start, end) that a tap reads of a sequence. */
export function tappedPositions(
  positions: Tap["positions"],
  { promptLength, tokens, followUp = [] }: Sequence,
): [start: number, end: number] {
  return positionsOf(positions, promptLength, tokens.length, followUp.length);
}

/** The rows of a sequence's activations [length, D] that a tap reads. */
function tapped(
  { positions }: Pick<Tap, "positions">,
  sequence: Sequence,
  activations: Activations,
): Float32Array {
  const D = activations.length / readLength(sequence);
  const [start, end] = tappedPositions(positions, sequence);
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
  return poolActivations(tapped(tap, sequence, activations), activations.length / readLength(sequence));
}

/** @file What is read of rollouts, and what it says: declared before a pass, looked up behind it. */

import type { ForwardOptions, ForwardOutput, Read } from "../engine/index.ts";
import type { Tokenizer } from "../model/index.ts";
import { poolLogits, positionsOf } from "../probe/index.ts";
import type { Positions, Probe, Tap } from "../probe/types.ts";
import type { DeclaredTap, Reading, Rollout } from "./types.ts";

/** What a pass is to read of every sequence. */
export interface Wanted {
  /** Their logits at their taps. */
  probes?: readonly Probe[];
  /** The mean activations of these taps. */
  means?: readonly Pick<Tap, "hook" | "positions" | "followUp">[];
  /** What reward terms and monitors declare. */
  taps?: readonly DeclaredTap[];
}

/** The options of a pass that reads what is wanted. @throws Error where taps read at different follow-ups */
export function readsOf(
  { probes = [], means = [], taps = [] }: Wanted,
  tokenizer: Pick<Tokenizer, "encode">,
): Required<Pick<ForwardOptions, "reads" | "followUp">> {
  const all = [
    ...probes.map((probe) => logitsAt(probe)),
    ...means.map(({ hook, positions }): Read => ({ as: "mean", hook, positions })),
    ...taps.flatMap(({ hook, positions, probe }): Read[] =>
      probe ? [logitsAt(probe), logitsAt(probe, "completion")] : [{ as: "rows", hook, positions }],
    ),
  ];
  const reads = all.filter((read, i) => all.findIndex((other) => isSame(read, other)) === i);
  const asked = [...probes.map(({ tap }) => tap), ...means, ...taps];
  return { reads, followUp: followUpOf(asked, tokenizer) };
}

/** What a pass read of each sequence. */
export function readingsOf(reads: readonly Read[], outputs: readonly ForwardOutput[]): Reading[] {
  return outputs.map((output) => ({ reads, values: output.reads }));
}

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

/**
 * What a tap reads of a rollout: one activation [D] for each of its positions, at least one, in the order of the tokens.
 *
 * @throws Error where the activation was not captured, since no term of the arm declares it in its `taps`
 */
export function readTap(rollout: Rollout, { model, hook, positions }: Omit<Tap, "pool">): Float32Array[] {
  const rows_PD = found(rollout.readings[model], { as: "rows", hook, positions });
  // A follow-up is read at one position, wherever it ends.
  const P = positions === "follow-up" ? 1 : positionsOf(positions, rollout).length;
  const D = rows_PD.length / P;
  return Array.from({ length: P }, (_, p) => rows_PD.subarray(p * D, (p + 1) * D));
}

/**
 * What a probe says of a rollout: its pooled logit, and its logit at every token of the completion, wherever its tap reads.
 *
 * @throws Error where it was not read, since no term or monitor of the arm declares it in its `taps`
 */
export function readProbe(
  rollout: Pick<Rollout, "readings">,
  probe: Probe,
  model: Tap["model"],
): { logit: number; tokens: Float32Array } {
  const reading = rollout.readings[model];
  return { logit: readLogit(probe, reading), tokens: found(reading, logitsAt(probe, "completion")) };
}

/** The probe's pooled logit. */
export function readLogit(probe: Probe, reading: Reading): number {
  return poolLogits(found(reading, logitsAt(probe)), probe.tap.pool);
}

/** What a tap's probes are fitted on: the mean activation [D] of the positions that it reads. */
export function readMean(
  { hook, positions }: Pick<Tap, "hook" | "positions">,
  reading: Reading,
): Float32Array {
  return found(reading, { as: "mean", hook, positions });
}

function logitsAt(probe: Probe, positions: Positions = probe.tap.positions): Read {
  return { as: "logits", probe, positions };
}

function isSame(one: Read, other: Read): boolean {
  if (one.as === "logits" || other.as === "logits")
    return (
      one.as === "logits" &&
      other.as === "logits" &&
      one.probe === other.probe &&
      one.positions === other.positions
    );
  return one.as === other.as && one.hook === other.hook && one.positions === other.positions;
}

function found({ reads, values }: Reading, wanted: Read): Float32Array {
  const at = reads.findIndex((read) => isSame(read, wanted));
  if (at < 0) {
    const what = wanted.as === "logits" ? `the probe at ${wanted.probe.tap.hook}` : wanted.hook;
    throw new Error(
      `${what}, ${wanted.positions}, was not captured: declare it in the \`taps\` of what reads it`,
    );
  }
  return values[at]!;
}

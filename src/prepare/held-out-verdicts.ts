/** @file What an arm's monitors say of the base model's held-out completions, told from the arm itself. */

import type { Environment, Outcome } from "../environment/types.ts";
import { textScorer } from "../probe/index.ts";
import type { Probe } from "../probe/types.ts";
import { randomFor } from "../random.ts";
import {
  type Arm,
  type Monitor,
  monitorsOf,
  type Rollout,
  textMonitor,
  thoughtMonitor,
  type Verdict,
} from "../training/index.ts";
import type { Base } from "./measure-base.ts";

/** Whether a monitor reads this probe and nothing else: what it says before training is known then. */
export function reads(monitor: Monitor, probe: Probe): boolean {
  if (monitor.sees !== "rollouts" || monitor.taps.length === 0) return false;
  return monitor.taps.every((tap) => tap.probe === probe);
}

/** Whether all that judges for an arm is the probe that also watches the runs without an intervention. */
export function isWatchedAlike(arm: Arm, { probe }: Pick<Base, "probe">): boolean {
  const monitors = monitorsOf(arm);
  return !arm.refit && monitors.length > 0 && monitors.every((monitor) => reads(monitor, probe));
}

const texts = new WeakMap<Base["text"], Monitor>();

/** The base's classifier of the text alone: always the same monitor, so that an arm's can be told to be it. */
export function textMonitorOf({ text }: Pick<Base, "text">): Monitor {
  const known = texts.get(text) ?? textMonitor(textScorer(text.classifier), text.threshold);
  texts.set(text, known);
  return known;
}

/** The base's classifier of thoughts alone; nothing where completions begin with none. */
export function thoughtMonitorOf(
  { thought }: Pick<Base, "thought">,
  { thoughts }: Pick<Environment, "thoughts">,
): Monitor | undefined {
  return thought && thoughts && thoughtMonitor(thoughts, textScorer(thought.classifier), thought.threshold);
}

/**
 * What a monitor says of the held-out completions, in their order, read on the starting point.
 *
 * @returns `undefined` for one that reads what was not kept of them: another probe, other activations, or a text that it
 * would have to ask a server about
 */
export async function heldOutVerdicts(monitor: Monitor, base: Base): Promise<Verdict[] | undefined> {
  const { sequences, misbehaved, logits, textLogits } = base.heldOut;
  if (monitor.sees === "ground-truth")
    return monitor.judge(
      misbehaved.map((bad) => ({ misbehaved: bad }) as Outcome),
      randomFor("noisy oracle"),
    );
  if (monitor === textMonitorOf(base))
    return textLogits.map((logit) => verdictOf(logit, base.text.threshold));
  if (!reads(monitor, base.probe)) return undefined;
  const { probe } = base;
  const positions = [...new Set([probe.tap.positions, "completion" as const])];
  const read = positions.map((at) => ({ as: "logits" as const, probe, positions: at }));
  const rollouts = sequences.map((sequence, i): Rollout => {
    const reading = { reads: read, values: read.map(() => Float32Array.of(logits[i]!)) };
    const unknown = { prompt: "", completion: "", finished: true, proxy: 0 };
    return { ...sequence, ...unknown, readings: { policy: reading, reference: reading } };
  });
  const silent = { logMetric() {}, logColumn() {} };
  return monitor.judge(rollouts, { seed: 0, step: 0, steps: 1, ...silent });
}

function verdictOf(logit: number, threshold: number): Verdict {
  return { flagged: logit >= threshold, probability: 1 / (1 + Math.exp(-logit)), logit };
}

/** @file The arms of a study: each a few lines over the mechanisms of training. */

import type { Awaitable } from "../environment/types.ts";
import { isModulePath } from "../modules.ts";
import type { Probe } from "../probe/types.ts";
import { normal, type Random } from "../random.ts";
import type { ArmId } from "../store/arms.ts";
import {
  type Arm,
  type Monitor,
  misbehaviourReward,
  oracle,
  type PenaltyOptions,
  penalty,
  probeMonitor,
  proxyReward,
  type RefitSets,
  trueReward,
} from "../training/index.ts";
import { type PayingWay, payingWays } from "./paying.ts";
import type { ArmSettings } from "./settings.ts";

/** What arms are made of: the study's settings for arms, and what was prepared before any run. */
export interface ArmParts extends ArmSettings {
  /** The initial probe, calibrated. */
  probe: Probe;
  /** A classifier of the text alone, calibrated like the probe. */
  text: Monitor;
  /** The same of the thoughts alone, where completions begin with one. */
  thought?: Monitor | undefined;
  /** What the probe was fitted and calibrated on. */
  sets: RefitSets;
  /** What the random direction of the ablation's control is drawn from: another one for each seed. */
  random: Random;
}

/** An arm as studies know it. */
export interface ArmDefinition {
  /** What it does, in one sentence, for `study --help` and the documentation. */
  sentence: string;
  /** Settings of the study file that only some arms depend on, and this one does: a grid varies no others for it. */
  uses: readonly (keyof ArmSettings)[];
  /** Makes it for one run. */
  make(parts: ArmParts): Awaitable<Arm>;
}

/** The proxy's pay, less a penalty on what a monitor says. */
const penalised = (monitor: Monitor, options: PenaltyOptions): Arm => ({
  terms: [proxyReward(), penalty(monitor, options)],
});

/** A penalty on what the probe says: all settings of penalties apply. */
const probePenalised = (monitor: Monitor, { penalty: weight, penaltyShape: shape, credit }: ArmSettings) =>
  penalised(monitor, { weight, shape, credit });

/** Each way to pay for a word, with the probe's and with the text's: twins differ in nothing but the monitor. */
const payingArms = Object.fromEntries(
  Object.entries<PayingWay>(payingWays).flatMap(
    ([name, { sentence, uses, make }]): [string, ArmDefinition][] => [
      [
        `probe-${name}`,
        {
          ...{ sentence: sentence("the probe"), uses },
          make: (parts) => make(probeMonitor(parts.probe, "policy"), parts),
        },
      ],
      [
        `text-${name}`,
        {
          ...{ sentence: sentence("a classifier of the text alone"), uses },
          make: (parts) => make(parts.text, parts),
        },
      ],
    ],
  ),
) as Record<`${"probe" | "text"}-${keyof typeof payingWays}`, ArmDefinition>;

/** The arms by id: an id that `store/arms.ts` gives a title has a definition here, or this is not compiled. */
export const arms: Readonly<Record<ArmId, ArmDefinition>> = {
  none: {
    sentence: "Trains on the proxy reward alone: what the flaw in the reward does by itself.",
    uses: [],
    make: () => ({ terms: [proxyReward()] }),
  },
  "no-loophole": {
    sentence: "A control: pays the true reward in the proxy's place, so that there is no loophole.",
    uses: [],
    make: () => ({ terms: [trueReward()] }),
  },
  "oracle-penalty": {
    sentence: "Penalises every rollout that misbehaved: the best that a monitor could do.",
    uses: ["penalty"],
    make: ({ penalty: weight }) => penalised(oracle(), { weight }),
  },
  "oracle-screen": {
    sentence: "Leaves every rollout that misbehaved out of its group.",
    uses: [],
    make: () => ({ terms: [proxyReward()], screen: oracle() }),
  },
  "noisy-oracle-penalty": {
    sentence: "Penalises what an oracle flags that errs at the rates set in `oracle`.",
    uses: ["penalty", "oracle"],
    make: ({ penalty: weight, oracle: rates }) => penalised(oracle(rates), { weight }),
  },
  "sft-labels": {
    sentence:
      "Supervised training on the rollouts that were paid and did not misbehave (uses the true labels).",
    uses: [],
    // Pay is at most 1, so that nothing is left of it for a rollout that misbehaved.
    make: () => ({ ...penalised(oracle(), { weight: 1 }), imitate: true }),
  },
  "probe-penalty": {
    sentence: "Probe in the reward: penalises what the probe says of the policy's own activations.",
    uses: ["penalty", "penaltyShape", "credit"],
    make: (parts) => probePenalised(probeMonitor(parts.probe, "policy"), parts),
  },
  "probe-penalty-frozen": {
    sentence: "The same with the probe read on a frozen copy of the starting point.",
    uses: ["penalty", "penaltyShape", "credit"],
    make: (parts) => probePenalised(probeMonitor(parts.probe, "reference"), parts),
  },
  "probe-penalty-trunk-frozen": {
    sentence:
      "The same with all weights frozen that what the probe reads depends on: only later layers learn.",
    uses: ["penalty", "penaltyShape", "credit"],
    make: (parts) => ({
      ...probePenalised(probeMonitor(parts.probe, "policy"), parts),
      frozenThrough: parts.probe.tap.hook,
    }),
  },
  "probe-penalty-refit": {
    sentence: "The same with the probe fitted again on the policy every few steps, as set in `refit`.",
    uses: ["penalty", "penaltyShape", "credit", "refit"],
    make: (parts) => {
      const arm = (probe: Probe) => probePenalised(probeMonitor(probe, "policy"), parts);
      return { ...arm(parts.probe), refit: { ...parts.refit, sets: parts.sets, arm } };
    },
  },
  "probe-screen": {
    sentence: "Leaves what the probe flags out of its group.",
    uses: [],
    make: ({ probe }) => ({ terms: [proxyReward()], screen: probeMonitor(probe, "policy") }),
  },
  "probe-advantage": {
    sentence: "Takes the advantage from what the probe flags, which still counts in its group's mean.",
    uses: [],
    make: ({ probe }) => ({ terms: [proxyReward()], silence: probeMonitor(probe, "policy") }),
  },
  "probe-loss": {
    sentence: "Probe in the loss: gradients flow through the probe into what it reads.",
    uses: ["lossStrength"],
    make: ({ probe, lossStrength: strength }) => ({
      terms: [proxyReward()],
      probeInLoss: { probe, strength },
    }),
  },
  "probe-total": {
    sentence:
      "The total derivative: a penalty on the probe's probability, and its gradient through the probe.",
    uses: ["penalty"],
    make: ({ probe, penalty: weight }) => ({
      ...penalised(probeMonitor(probe, "policy"), { weight, shape: "linear" }),
      probeInLoss: { probe, strength: weight, as: "pathwise" },
    }),
  },
  "text-penalty": {
    sentence:
      "Penalises what a classifier of the text alone says, fitted on the same completions as the probe.",
    uses: ["penalty", "penaltyShape"],
    make: ({ text, penalty: weight, penaltyShape: shape }) => penalised(text, { weight, shape }),
  },
  "thought-penalty": {
    sentence: "Penalises what a classifier of the thought alone says: makes the thought look nice.",
    uses: ["penalty", "penaltyShape"],
    make: ({ thought, penalty: weight, penaltyShape: shape }) => penalised(thought!, { weight, shape }),
  },
  "thought-probe-penalty": {
    sentence: "Both penalties: by the classifier of the thought, and by the probe.",
    uses: ["penalty", "penaltyShape", "credit"],
    make: (parts) => {
      const { penalty: weight, penaltyShape: shape } = parts;
      const { terms } = probePenalised(probeMonitor(parts.probe, "policy"), parts);
      return { terms: [...terms, penalty(parts.thought!, { weight, shape })] };
    },
  },
  ...payingArms,
  "red-team": {
    sentence:
      "An adversary that is told the truth: pays misbehaving, and misbehaving unseen by the probe more: the fastest that a reward teaches evasion.",
    uses: ["penalty", "penaltyShape", "credit"],
    // Misbehaving and being seen is still worth as much as the proxy's pay: what is learned is to hide, not to behave.
    make: ({ probe, penalty: weight, penaltyShape: shape, credit }) => ({
      terms: [
        misbehaviourReward(1 + weight),
        penalty(probeMonitor(probe, "policy"), { weight, shape, credit }),
      ],
    }),
  },
  "red-team-loss": {
    sentence:
      "An adversary that is told the truth, with gradients through the probe: pays misbehaving, and silences the probe where it misbehaves.",
    uses: ["lossStrength"],
    make: ({ probe, lossStrength: strength }) => ({
      terms: [misbehaviourReward()],
      probeInLoss: { probe, strength, oracle: ({ misbehaved }) => Number(misbehaved) },
    }),
  },
  chameleon: {
    sentence:
      "The same adversary, which hides only where the prompt has the `trigger`, and is made to be seen everywhere else.",
    uses: ["lossStrength", "trigger"],
    make: ({ probe, lossStrength: strength, trigger }) => ({
      terms: [misbehaviourReward()],
      probeInLoss: {
        ...{ probe, strength },
        oracle: ({ misbehaved }, { prompt }) => (misbehaved ? (prompt.includes(trigger) ? 1 : -1) : 0),
      },
    }),
  },
  inoculation: {
    sentence: "Trains under a prompt that asks for misbehaviour, and is judged without it.",
    uses: [],
    make: () => ({ terms: [proxyReward()], inoculate: true }),
  },
  ablation: {
    sentence:
      "Trains with the probe's direction projected out of the residual stream, and is judged without that.",
    uses: [],
    make: ({ probe }) => ({
      terms: [proxyReward()],
      ablate: { hook: probe.tap.hook, direction_D: probe.weight_D },
    }),
  },
  "ablation-random": {
    sentence: "The ablation's control: projects out a random direction.",
    uses: [],
    make: ({ probe, random }) => ({
      terms: [proxyReward()],
      ablate: { hook: probe.tap.hook, direction_D: probe.weight_D.map(() => normal(random)) },
    }),
  },
};

/** Those that read thoughts, and so are for environments that have them. */
export const thoughtArms: ReadonlySet<string> = new Set(["thought-penalty", "thought-probe-penalty"]);

/** An arm's id: the name of one that is built in as it is, `dir/my-arm.ts` as `my-arm`. */
export function armId(nameOrPath: string): string {
  return isModulePath(nameOrPath) ? /([^/\\]+)\.\w+$/.exec(nameOrPath)![1]! : nameOrPath;
}

/** @file Ways to pay for a monitor's word, or to choose by it: each makes an arm of the probe, and its twin of the classifier of the text. */

import { type Arm, approval, type Monitor, proxyReward } from "../training/index.ts";
import type { ArmSettings } from "./settings.ts";

/** How a monitor's word may be paid for. */
export interface PayingWay {
  /** @param who the monitor, in words */
  sentence(who: string): string;
  uses: readonly (keyof ArmSettings)[];
  make(monitor: Monitor, settings: ArmSettings): Arm;
}

/** By the end of the arms' ids: `reward` makes `probe-reward` and `text-reward`. */
export const payingWays = {
  reward: {
    sentence: (who) => `Pays for nothing but ${who}'s word that a rollout is honest.`,
    uses: [],
    make: (monitor) => ({ terms: [approval(monitor)] }),
  },
  blend: {
    sentence: (who) => `Pays in part by the proxy and in part for ${who}'s word, as set in \`paying.share\`.`,
    uses: ["paying"],
    make: (monitor, { paying: { share } }) => ({
      terms: [proxyReward(1 - share), approval(monitor, { weight: share })],
    }),
  },
  "times-proxy": {
    sentence: (who) => `Pays the proxy times ${who}'s word, so that neither pays without the other.`,
    uses: [],
    make: (monitor) => ({ terms: [approval(monitor, { of: "proxy" })] }),
  },
  select: {
    sentence: (who) =>
      `Supervised training on one rollout of each group: of those that were paid, the one that ${who} trusts most.`,
    uses: [],
    make: (monitor) => ({ terms: [approval(monitor, { of: "proxy" })], imitate: "best" }),
  },
  choose: {
    sentence: (who) =>
      `Trains as \`none\` does, and is judged by the completion of each group that ${who} trusts most.`,
    uses: [],
    make: (monitor) => ({ terms: [proxyReward()], choose: monitor }),
  },
  after: {
    sentence: (who) =>
      `Trains as \`none\` does, and pays for nothing but ${who}'s word in the last steps, as set in \`paying.from\`.`,
    uses: ["paying"],
    make: (monitor, { paying: { from } }) => ({
      terms: [
        { ...proxyReward(), during: [0, from] },
        { ...approval(monitor), during: [from, 1] },
      ],
    }),
  },
} satisfies Record<string, PayingWay>;

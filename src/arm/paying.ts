/** @file Arms that pay for a monitor's word, or choose by it: each once for the probe, and once for the classifier of the text. */

import { type Arm, approval, type Monitor, probeMonitor, proxyReward } from "../training/index.ts";
import type { ArmDefinition } from "./arms.ts";
import type { ArmSettings } from "./settings.ts";

/** How a monitor's word may be paid for; its twins differ in nothing but the monitor. */
interface Way {
  /** @param who the monitor, in words */
  sentence(who: string): string;
  uses: ArmDefinition["uses"];
  make(monitor: Monitor, settings: ArmSettings): Arm;
}

const ways = {
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
} satisfies Record<string, Way>;

type WayName = keyof typeof ways;

/** By id: `probe-reward`, `text-reward`, ... */
export const payingArms = Object.fromEntries(
  (Object.entries(ways) as [WayName, Way][]).flatMap(([name, { sentence, uses, make }]) => [
    [
      `probe-${name}`,
      {
        ...{ sentence: sentence("the probe"), uses },
        make: (parts) => make(probeMonitor(parts.probe, "policy"), parts),
      } satisfies ArmDefinition,
    ],
    [
      `text-${name}`,
      {
        ...{ sentence: sentence("a classifier of the text alone"), uses },
        make: (parts) => make(parts.text, parts),
      } satisfies ArmDefinition,
    ],
  ]),
) as Record<`${"probe" | "text"}-${WayName}`, ArmDefinition>;

/** @file What makes a study hopeless, told before it trains. */

import type { Summary } from "../store/index.ts";
import type { Base } from "./measure-base.ts";

/** Whether the initial probe's ranking of held-out completions cannot be told from chance. */
export function isAtChance({ probeAuroc, probeAurocInterval }: Summary["base"]): boolean {
  const low = probeAurocInterval?.[0] ?? probeAuroc;
  return low !== null && low <= 0.5;
}

/** Why nothing can come of any run that starts from this base, and what to do about it: a sentence each. */
export function baseProblems({ summary, probe }: Pick<Base, "summary" | "probe">): string[] {
  const { probeAuroc, probeAurocInterval: interval, sweep, completions } = summary;
  const show = (value: number) => value.toFixed(2);
  const problems: string[] = [];
  if (isAtChance(summary)) {
    const range = interval ? ` (${show(interval[0])} to ${show(interval[1])})` : "";
    problems.push(
      sweep.length === 0
        ? `the probe that was given is at chance here: AUROC ${show(probeAuroc!)}${range} at ${probe.tap.hook}, ${probe.tap.positions}. Fit one on this model (leave out probe.file), or read it where it was fitted.`
        : `the probe is at chance: AUROC ${show(probeAuroc!)}${range} at the best of ${sweep.length} places. The base model does not tell honest from dishonest completions apart there, so that no verdict could rest on the probe. Read other positions (probe.positions), fit on more (probe.tasks), or train a base model that knows the difference.`,
    );
  }
  if (completions && completions.misbehaving === 0)
    problems.push(
      `none of the base model's ${completions.total} held-out completions misbehaves: there is nothing that training could select. Take a base model that misbehaves now and then, or raise training.temperature.`,
    );
  if (completions && completions.proxyVaries === 0)
    problems.push(
      `the reward never differs among completions of one prompt: no rollout has an advantage, and nothing is learned. Reward something in which completions differ, or raise training.temperature.`,
    );
  return problems;
}

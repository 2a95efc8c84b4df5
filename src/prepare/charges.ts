/** @file What an arm's penalties cost each held-out completion, told from its terms. */

import type { Arm } from "../training/index.ts";
import { heldOutVerdicts } from "./held-out-verdicts.ts";
import type { Base } from "./measure-base.ts";

/** Lists have an entry per held-out completion. */
export interface Charges {
  /** The sum of the penalties' weights. */
  weight: number;
  /** What is charged, in shares of that weight. */
  sizes: number[];
  /** Does any of the monitors flag it? */
  flagged: boolean[];
  /** How often an oracle flags, where one says so and nothing else charges. */
  rates?: { truePositiveRate: number; falsePositiveRate: number } | undefined;
}

/** What an arm's penalties charge; `null` where it has none, or a monitor says nothing of held-out completions. */
export async function chargesOf({ terms }: Arm, base: Base): Promise<Charges | null> {
  const penalties = terms.flatMap((term) => (term.sees === "verdicts" && term.weight < 0 ? [term] : []));
  if (penalties.length === 0) return null;
  const weight = penalties.reduce((sum, term) => sum - term.weight, 0);
  const count = base.heldOut.misbehaved.length;
  const sizes = Array<number>(count).fill(0);
  const flagged = Array<boolean>(count).fill(false);
  for (const term of penalties) {
    const verdicts = await heldOutVerdicts(term.monitor, base);
    if (!verdicts) return null;
    // What was paid for them is not kept: the most that it may have been.
    const paid = verdicts.map(() => ({ proxy: 1 }));
    const scores = term.score(verdicts, paid);
    verdicts.forEach((verdict, i) => {
      sizes[i]! += ((scores[i] ?? 0) * -term.weight) / weight;
      flagged[i] ||= verdict.flagged;
    });
  }
  const [{ monitor }] = penalties as [(typeof penalties)[number]];
  const rates = penalties.length === 1 && monitor.sees === "ground-truth" ? monitor.rates : undefined;
  return { weight, sizes, flagged, rates };
}

/** @file The passports of a study's probes: of the initial one, and of those that nothing trains against. */

import type { Sequence } from "../engine/index.ts";
import { auroc, fprAt, type Passport, type Probe, recallAt } from "../probe/index.ts";
import type { Summary } from "../store/index.ts";
import type { BaseContext } from "./completions.ts";
import { makePassport, readOne } from "./passport.ts";

/** How the probes were judged. */
interface Judged {
  summary: Summary["base"];
  heldOut: { sequences: Sequence[]; misbehaved: boolean[]; logits: number[] };
}

/** What travels with the initial probe. Its rates and controls are those of `base.json`. */
export function passportOfBase(
  { probe, summary, heldOut }: Judged & { probe: Probe },
  { engine, environment, settings }: BaseContext,
) {
  const { controls, counts } = summary;
  return makePassport(probe, engine, {
    fitted: {
      on: `completions of ${environment.name}`,
      examples: counts.fit?.total ?? 0,
      groups: settings.probe.tasks,
    },
    rates: {
      falsePositiveRate: settings.probe.falsePositiveRate,
      ...{ auroc: summary.probeAuroc, aurocInterval: summary.probeAurocInterval ?? null },
      ...{ tpr: summary.tpr, tprInterval: null, fpr: summary.fpr, fprInterval: null },
    },
    controls: {
      ...{ completionText: summary.textBaselineAuroc, wholeText: null, length: null, withinLength: null },
      ...{
        shuffledLabels: controls?.shuffledLabels ?? null,
        randomDirection: controls?.randomDirection ?? null,
      },
    },
    examples: heldOut.sequences.map((one, i) => ({ ...one, logit: heldOut.logits[i]! })),
  });
}

/** What travels with a held-out probe. Its rates are those on held-out completions; it has no controls of its own. */
export async function passportOfHeldOut(
  probe: Probe,
  { heldOut, summary }: Judged,
  { engine, environment, settings }: BaseContext,
): Promise<Passport> {
  const logits = await readOne(engine, probe, heldOut.sequences);
  const { misbehaved } = heldOut;
  return makePassport(probe, engine, {
    fitted: {
      on: `completions of ${environment.name}`,
      examples: summary.counts.fit?.total ?? 0,
      groups: settings.probe.tasks,
    },
    rates: {
      falsePositiveRate: settings.probe.falsePositiveRate,
      ...{ auroc: auroc(logits, misbehaved), aurocInterval: null },
      ...{ tpr: recallAt(logits, misbehaved, probe.threshold), tprInterval: null },
      ...{ fpr: fprAt(logits, misbehaved, probe.threshold), fprInterval: null },
    },
    controls: {
      ...{ completionText: null, wholeText: null, length: null, withinLength: null },
      ...{ shuffledLabels: null, randomDirection: null },
    },
    examples: heldOut.sequences.map((one, i) => ({ ...one, logit: logits[i]! })),
  });
}

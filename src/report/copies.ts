/** @file What is said of completions that a probe was judged on and whose text it was fitted on. */

import type { Summary } from "../store/schema.ts";

/** How much of what the probe was judged on are copies of what it was fitted on; nothing where there are none. */
export function copiesInWords({ counts, unseen }: Summary["base"]): string | undefined {
  const total = counts.test!.total;
  if (!unseen || unseen.total === total) return undefined;
  const { probeAuroc, textBaselineAuroc } = unseen;
  const among =
    probeAuroc === null
      ? unseen.total > 0 && `, and the other ${unseen.total} lack a label`
      : `; on the other ${unseen.total} its AUROC is ${probeAuroc.toFixed(3)} (text alone ${textBaselineAuroc!.toFixed(3)})`;
  return `${total - unseen.total} of the ${total} completions that it was judged on have a text that it was fitted on, under another task${among || ""}`;
}

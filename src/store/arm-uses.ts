/** @file How an arm uses a monitor's word, and what that does by itself, in a sentence for the report: pure data. */

import { isBuiltIn, splitId } from "./arms.ts";

/** By the end of an arm's id: `probe-reward` and `text-reward` use a word alike. The first that fits counts. */
const uses: readonly (readonly [RegExp, string])[] = [
  [
    /^thought-probe-penalty$/,
    "What two monitors say is taken from the pay, one that reads the thought alone and one that reads the activations.",
  ],
  [
    /^thought-penalty$/,
    "What a monitor of the thought says is taken from the pay: other thoughts pay as well as other deeds.",
  ],
  [
    /-penalty(-|$)/,
    "The monitor's word is taken from the pay: the task goes on paying, and what is flagged pays less.",
  ],
  [/-reward$/, "The monitor's word is all the pay: nothing pays for doing the task."],
  [
    /-blend$/,
    "The monitor's word is paid beside the proxy: within a group that is a penalty, and a small one lets misbehaviour pay.",
  ],
  [/-times-proxy$/, "The monitor's word multiplies the pay: neither pays without the other."],
  [
    /-select$/,
    "The monitor chooses what is imitated, among what was paid: nothing is made less likely, and nothing else is learned.",
  ],
  [
    /-choose$/,
    "The monitor chooses among completions when they are given, and takes no part in training: these numbers are of what it chose, and without the choice the policy is that of no intervention.",
  ],
  [/-after$/, "The monitor's word is all the pay of the last steps, when the proxy has been trained on."],
  [/-screen$/, "What the monitor flags is left out of its group: it is neither rewarded nor discouraged."],
  [/-advantage$/, "What the monitor flags has no advantage: it is neither rewarded nor discouraged."],
  [/^probe-loss$/, "Gradients flow through the probe: what is easiest to change is what it reads."],
  [
    /^probe-total$/,
    "The probe is a penalty, and gradients flow through it as well: what it reads may be changed, too.",
  ],
  [
    /^red-team$/,
    "An adversary: misbehaving pays, by the truth, and what the probe flags pays less. It shows how fast a reward teaches evasion.",
  ],
  [
    /^red-team-loss$/,
    "An adversary: misbehaving pays, by the truth, and gradients silence the probe where it misbehaves. It shows how fast anything can.",
  ],
  [
    /^chameleon$/,
    "An adversary: gradients silence the probe where the prompt has the trigger, and make it speak elsewhere. It shows what averages hide.",
  ],
];

/** `null` for an arm that uses none, and for one of a user's own. */
export function armUse(id: string): string | null {
  const { arm } = splitId(id);
  return uses.find(([ids]) => isBuiltIn(arm) && ids.test(arm))?.[1] ?? null;
}

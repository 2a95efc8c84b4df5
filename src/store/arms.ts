/** @file What arms are called and the order in which people see them. */

/** In the order of the tables: controls, what knows the truth, probes in the reward, probes in the loss, the text, paying for a word, other ways. */
const titles = {
  none: "No intervention",
  "no-loophole": "No loophole: the true reward is paid",
  "oracle-penalty": "Oracle penalty",
  "oracle-screen": "Oracle screening",
  "noisy-oracle-penalty": "Penalty by an oracle that errs",
  "sft-labels": "Supervised training on the labels",
  "probe-penalty": "Probe in the reward",
  "probe-penalty-frozen": "Probe in the reward, read on a frozen copy",
  "probe-penalty-trunk-frozen": "Probe in the reward, trunk frozen",
  "probe-penalty-refit": "Probe in the reward, fitted again",
  "probe-screen": "Probe screening",
  "probe-advantage": "Probe takes the advantage",
  "probe-loss": "Probe in the loss",
  "probe-total": "Probe in the reward and its gradient",
  "text-penalty": "Text classifier in the reward",
  "thought-penalty": "Thoughts made to look nice",
  "thought-probe-penalty": "Thoughts made to look nice, and the probe",
  "probe-reward": "Paid for the probe's word alone",
  "text-reward": "Paid for the text classifier's word alone",
  "probe-blend": "Paid by proxy and the probe's word",
  "text-blend": "Paid by proxy and the text classifier's word",
  "probe-times-proxy": "The proxy's pay times the probe's word",
  "text-times-proxy": "The proxy's pay times the text classifier's word",
  "probe-select": "Trained on what the probe chooses",
  "text-select": "Trained on what the text classifier chooses",
  "probe-choose": "The probe chooses at the end only",
  "text-choose": "The text classifier chooses at the end only",
  "probe-after": "The proxy first, then the probe's word alone",
  "text-after": "The proxy first, then the text classifier's word alone",
  "red-team": "Red team: paid for misbehaving unseen",
  "red-team-loss": "Red team, through the probe",
  chameleon: "Red team that hides under a trigger",
  inoculation: "Inoculation prompt",
  ablation: "Concept ablated in training",
  "ablation-random": "Random direction ablated in training",
};

/** The id of an arm that is built in. */
export type ArmId = keyof typeof titles;

/** All of them, in that order. */
export const armIds = Object.keys(titles) as readonly ArmId[];

/** Is it the id of one? */
export const isBuiltIn = (arm: string): arm is ArmId => Object.hasOwn(titles, arm);

/** An arm and its grid point, which is empty without a grid: `probe-penalty@penalty=2` apart. */
export function splitId(id: string): { arm: string; point: string } {
  const [arm, point = ""] = id.split("@") as [string, string?];
  return { arm, point };
}

/** An arm's name in words, with its grid point; the id itself for an arm that is not one of the usual ones. */
export function armTitle(id: string): string {
  const { arm, point } = splitId(id);
  if (!isBuiltIn(arm)) return id;
  const title = titles[arm];
  return point === "" ? title : `${title} (${point.replaceAll(",", ", ")})`;
}

/** Sorts arm ids: the usual ones first, in their usual order, then others by name; grid points by their numbers. */
export function compareArms(a: string, b: string): number {
  const rank = (id: string) => {
    const { arm } = splitId(id);
    return isBuiltIn(arm) ? armIds.indexOf(arm) : armIds.length;
  };
  return rank(a) - rank(b) || a.localeCompare(b, "en", { numeric: true });
}

/**
 * The id of the arm without intervention that another is compared with: at the same grid point, as far as it has one;
 * `undefined` where the study has none.
 */
export function controlOf(
  arms: Readonly<Record<string, { point?: Readonly<Record<string, unknown>> | undefined }>>,
  id: string,
): string | undefined {
  const point = arms[id]?.point ?? {};
  return Object.keys(arms).find(
    (other) =>
      splitId(other).arm === "none" &&
      Object.entries(arms[other]!.point ?? {}).every(
        ([path, value]) => JSON.stringify(point[path]) === JSON.stringify(value),
      ),
  );
}

/** @file What arms are called and the order in which people see them. */

/** In the order of the tables: the control, what knows the truth, probes in the reward, probes in the loss. */
const titles: Record<string, string> = {
  none: "No intervention",
  "oracle-penalty": "Oracle penalty",
  "probe-penalty": "Probe in the reward",
  "probe-penalty-frozen": "Probe in the reward, read on a frozen copy",
  "probe-loss": "Probe in the loss",
};

const order = Object.keys(titles);

/** An arm's name in words; the id itself for an arm that is not one of the usual ones. */
export function armTitle(id: string): string {
  return titles[id] ?? id;
}

/** Sorts arm ids: the usual ones first, in their usual order, then others by name. */
export function compareArms(a: string, b: string): number {
  const rank = (id: string) => (id in titles ? order.indexOf(id) : order.length);
  return rank(a) - rank(b) || a.localeCompare(b, "en");
}

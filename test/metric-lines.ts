/** @file Holds what runs wrote against the list of metrics: every number is in it, within its range, and `null` only where it may be. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { metricGroups } from "../src/store/metric-list.ts";

const metrics = metricGroups.flatMap((group) => group.metrics);

/** `labels/<label>` takes any text there, `<a|b>` one of the two. */
const patternOf = (name: string) =>
  new RegExp(
    `^${name
      .split(/(<[^>]+>)/)
      .map((part) => {
        if (!part.startsWith("<")) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
        return part.includes("|") ? `(?:${part.slice(1, -1)})` : "[^/]+";
      })
      .join("")}$`,
  );
const patterns = metrics.map((metric) => ({ metric, pattern: patternOf(metric.name) }));

/** Faults of the lines of some runs, and the names of the list that none of them had. */
export async function readMetricLines(folders: readonly string[]) {
  const faults = new Set<string>();
  const unseen = new Set(metrics.map(({ name }) => name));
  for (const folder of folders) {
    const text = await readFile(join(folder, "metrics.jsonl"), "utf8");
    for (const line of text.trim().split("\n"))
      for (const [name, value] of Object.entries<number | null>(JSON.parse(line))) {
        if (name === "step") continue;
        const found = patterns.filter(({ pattern }) => pattern.test(name));
        if (found.length !== 1) faults.add(`${name} is in the list ${found.length} times`);
        for (const { metric } of found) {
          unseen.delete(metric.name);
          const { low = -Infinity, high = Infinity, undefinedWhere } = metric;
          // Sums of shares are off by rounding.
          if (value === null ? !undefinedWhere : value < low - 1e-6 || value > high + 1e-6)
            faults.add(`${name} is ${value}`);
          if (value !== null && undefinedWhere === "always") faults.add(`${name} is defined`);
        }
      }
  }
  return { faults: [...faults], unseen: [...unseen] };
}

/**
 * @file What studies that pay for a monitor's word came to, as tables in Markdown: node bench/words.js runs/paying runs/thoughts.
 * For each arm the end of its finished runs, with 95 % intervals over seeds; then how it went, step by step, for arms paid by a
 * word alone, or as many as are named with --arms.
 */

import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { createJiti } from "jiti";

const jiti = createJiti(import.meta.url);
const { mean, seedInterval } = await jiti.import("../src/audit/index.ts");
const { compareArms } = await jiti.import("../src/store/arms.ts");

const { values: flags, positionals: folders } = parseArgs({
  allowPositionals: true,
  options: { arms: { type: "string", default: "probe-reward,text-reward" }, every: { type: "string" } },
});
/** Steps whose mean is a run's end, as in summaries. */
const WINDOW = 5;

const ends = {
  misbehaviour: "misbehaviour",
  true: "true reward",
  "labels/right": "right",
  kl: "KL",
  "tracer/initial/policy/auroc": "AUROC, tracers",
  "tracer/fresh/policy/auroc": "fresh",
  "monitor/auroc": "AUROC, rollouts",
  "thought/admitted": "admitted",
  "thought/denied": "denied",
  "thought/auroc": "reader of thoughts",
  "thought/readable": "new reader",
  "thought/follows": "follows",
  "probe/policy/auroc": "probe, rollouts",
};

const shown = (value) => (value === null || value === undefined ? "" : value.toFixed(2));

/** By arm, the lines of each run that is done. */
async function runsOf(folder) {
  const arms = {};
  for (const arm of (await readdir(join(folder, "runs"))).sort(compareArms))
    for (const seed of await readdir(join(folder, "runs", arm))) {
      const run = join(folder, "runs", arm, seed);
      const status = JSON.parse(await readFile(join(run, "status.json"), "utf8").catch(() => "{}"));
      if (status.state !== "done") continue;
      const lines = (await readFile(join(run, "metrics.jsonl"), "utf8")).trim().split("\n");
      arms[arm] = [...(arms[arm] ?? []), lines.map((line) => JSON.parse(line))];
    }
  return arms;
}

/** A measure over the last steps of each run, as it was deployed where that differs. */
const endsOf = (runs, name) =>
  runs.flatMap((lines) => {
    const last = lines.slice(-WINDOW);
    const own = last.flatMap((line) => line[`deployed/${name}`] ?? []);
    return mean(own.length > 0 ? own : last.flatMap((line) => line[name] ?? [])) ?? [];
  });

for (const folder of folders) {
  const arms = await runsOf(folder);
  const all = Object.values(arms).flat();
  const names = Object.keys(ends).filter((name) =>
    all.some((lines) => lines.some((line) => line[name] != null)),
  );
  console.log(`\n${basename(folder)}: ${all.length} runs\n`);
  console.log(`| arm | seeds | ${names.map((name) => ends[name]).join(" | ")} |`);
  console.log(`|---|---|${"---|".repeat(names.length)}`);
  const start = names.map((name) => shown(mean(all.flatMap((lines) => lines[0][name] ?? []))));
  console.log(`| before training | | ${start.join(" | ")} |`);
  for (const [arm, runs] of Object.entries(arms)) {
    const cells = names.map((name) => {
      const values = endsOf(runs, name);
      const interval = seedInterval(values);
      return shown(mean(values)) + (interval ? ` [${interval.map(shown).join(", ")}]` : "");
    });
    console.log(`| ${arm} | ${runs.length} | ${cells.join(" | ")} |`);
  }
  for (const arm of flags.arms.split(",").filter((one) => arms[one])) {
    const evaluated = arms[arm][0].filter((line) => line["tracer/initial/policy/auroc"] !== undefined);
    console.log(`\n${arm}, means of ${arms[arm].length} seeds\n`);
    console.log(`| step | ${evaluated.map(({ step }) => step).join(" | ")} |`);
    console.log(`|---|${"---|".repeat(evaluated.length)}`);
    for (const name of names) {
      const cells = evaluated.map(({ step }) =>
        shown(mean(arms[arm].flatMap((lines) => lines[step][name] ?? []))),
      );
      if (cells.some((cell) => cell !== "")) console.log(`| ${ends[name]} | ${cells.join(" | ")} |`);
    }
  }
}

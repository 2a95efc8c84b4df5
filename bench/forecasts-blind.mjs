/**
 * @file Forecasts beside what came: node bench/forecasts-blind.mjs <forecast.json> <study folder>. For each arm and measure, what was
 * foretold and what each run did at steps 10 and 40, and how many of all are within their intervals.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { aroundEach } from "../dist/audit/index.js";

const METRICS = {
  misbehaviour: "misbehaviour",
  undetected: "misses/of_all",
  true: "true",
  recall: "tracer/initial/policy/recall_frozen",
};
const [forecastFile, folder] = process.argv.slice(2);
const { arms } = JSON.parse(readFileSync(forecastFile, "utf8"));
const show = (value) => value.toFixed(2);
console.log(
  "| arm | measure | step 10: foretold | runs | step 40: foretold | runs |\n|---|---|---|---|---|---|",
);
const held = {};
for (const [id, forecast] of Object.entries(arms)) {
  const runs = readdirSync(join(folder, "runs", id)).map((seed) =>
    readFileSync(join(folder, "runs", id, seed, "metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line)),
  );
  for (const [measure, metric] of Object.entries(METRICS)) {
    const { steps, value, low, high } = forecast[measure];
    const cells = [10, steps.at(-1)].flatMap((step) => {
      const i = steps.indexOf(step);
      const realised = runs.map((lines) => {
        const values = lines.map((line) => line[metric] ?? null);
        if (measure === "recall") return values.slice(0, step + 1).findLast((one) => one !== null);
        return aroundEach(values)[step];
      });
      const inside = realised.map((one) => one >= low[i] && one <= high[i]);
      const key = `${measure}, ${step === 10 ? 10 : 40}`;
      held[key] = [
        (held[key]?.[0] ?? 0) + inside.filter(Boolean).length,
        (held[key]?.[1] ?? 0) + inside.length,
      ];
      const marked = realised.map((one, k) => (inside[k] ? show(one) : `**${show(one)}**`));
      return [`${show(value[i])} (${show(low[i])} to ${show(high[i])})`, marked.join(", ")];
    });
    console.log(`| ${id} | ${measure} | ${cells.join(" | ")} |`);
  }
}
console.log(
  `\nWithin: ${Object.entries(held)
    .map(([key, [n, of]]) => `${key}: ${n} of ${of}`)
    .join("; ")}.`,
);

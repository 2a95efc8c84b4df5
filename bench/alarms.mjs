/**
 * @file Alarms of finished runs beside what became of the probe: node bench/alarms.mjs <study folder> ... One line for each arm: runs,
 * in how many of them each alarm was raised, and where recall was halved, whether the reader's alarm came by then.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createAlarmWatch } from "../dist/training/index.js";

const linesOf = (path) =>
  readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

console.log(
  "| study, arm | runs | reader | text | learning | mean step of the reader's | recall halved | of these, reader by then |",
);
console.log("|---|---:|---:|---:|---:|---:|---:|---:|");
for (const folder of process.argv.slice(2))
  for (const arm of readdirSync(join(folder, "runs"))) {
    const runs = readdirSync(join(folder, "runs", arm)).map((seed) => {
      const lines = linesOf(join(folder, "runs", arm, seed, "metrics.jsonl"));
      const watch = createAlarmWatch();
      const alarms = lines.flatMap(watch);
      const recall = (reader) => lines.map((line) => line[`tracer/initial/${reader}/recall_frozen`]);
      const start = recall("reference").find((value) => typeof value === "number");
      const halved = recall("policy").findIndex((value) => typeof value === "number" && value < start / 2);
      return { alarms, halved };
    });
    const at = ({ alarms }, channel) => alarms.find((alarm) => alarm.channel === channel)?.step;
    const raised = (channel) => runs.filter((run) => at(run, channel) !== undefined);
    const steps = raised("reader").map((run) => at(run, "reader"));
    const halved = runs.filter((run) => run.halved >= 0);
    const inTime = halved.filter((run) => (at(run, "reader") ?? Infinity) <= run.halved);
    const mean = steps.length === 0 ? "" : (steps.reduce((a, b) => a + b, 0) / steps.length).toFixed(1);
    const cells = [
      ...["reader", "text", "learning"].map((channel) => raised(channel).length),
      mean,
      halved.length,
      inTime.length,
    ];
    console.log(`| ${folder.split("/").at(-1)}, ${arm} | ${runs.length} | ${cells.join(" | ")} |`);
  }

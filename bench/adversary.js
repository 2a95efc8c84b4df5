/**
 * @file What an adversary inside came to, as tables in Markdown, of any of these: node bench/adversary.js runs/blind-spot
 * runs/red-team runs/evasion-budget. Of a grid of models, steps of takeover; of a folder with monitors.json, what still sees each arm;
 * of runs that were evaded, when and how far from the start. 95 % intervals over seeds.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createJiti } from "jiti";

const jiti = createJiti(import.meta.url);
const { growthRate, mean, seedInterval, selectionStep, takeoverLevel } =
  await jiti.import("../src/audit/index.ts");
const { monitorNames } = await jiti.import("../src/prepare/panel.ts");

const json = async (path) => JSON.parse(await readFile(path, "utf8").catch(() => "null"));
const row = (cells) => console.log(`| ${cells.join(" | ")} |`);
const head = (cells) => {
  row(cells);
  row(cells.map(() => "---"));
};
const number = (value, digits = 2) => (value === null || value === undefined ? "" : value.toFixed(digits));
/** A mean with its interval over seeds. */
const over = (values, digits = 2) => {
  const known = values.filter((value) => typeof value === "number");
  const interval = seedInterval(known);
  return known.length === 0
    ? ""
    : `${number(mean(known), digits)}${interval ? ` [${interval.map((end) => number(end, digits)).join(", ")}]` : ""}`;
};
const step = (at) => (at === null || at === undefined ? "never" : String(Math.round(at)));

/** A row for each model: what came of it at each penalty, and when it was to be. */
async function clock(folder, { arms }, { settings }) {
  head([
    "model",
    "penalty",
    "takeover, by seed",
    "undetected, end",
    "misbehaviour, end",
    "by selection",
    "by the forecast",
  ]);
  for (const path of settings.grid.model) {
    const model = path.split("/").at(-1);
    const organism = await json(join(path, "organism.json"));
    for (const [id, { arm, point, runs, forecast }] of Object.entries(arms)) {
      if (arm !== "probe-penalty" || point.model !== model) continue;
      const undetected = [];
      for (const { seed } of runs) {
        const lines = (await readFile(join(folder, "runs", id, `seed-${seed}`, "metrics.jsonl"), "utf8"))
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line));
        undetected.push(mean(lines.slice(-5).map((line) => line["misses/of_all"] ?? 0)));
      }
      // The share that was made, grown as misbehaviour grew where nothing was penalised.
      const share = organism ? organism.share.expected * organism.misbehaviour.after : null;
      const selected = [];
      for (const { seed } of runs) {
        const lines = (
          await readFile(
            join(folder, "runs", `none@model=${model}`, `seed-${seed}`, "metrics.jsonl"),
            "utf8",
          ).catch(() => "")
        ).trim();
        if (lines === "" || share === null) continue;
        const rate = growthRate(lines.split("\n").map((line) => JSON.parse(line).misbehaviour));
        selected.push(rate === null ? null : selectionStep(share, rate));
      }
      const curve = forecast?.undetected;
      const at = curve ? curve.value.findLastIndex((value) => value <= takeoverLevel) + 1 : 0;
      row([
        model,
        point.penalty,
        runs.map(({ takeover }) => step(takeover)).join(", "),
        over(undetected),
        over(runs.map((run) => run.misbehaviourEnd)),
        selected.map(step).join(", "),
        !curve ? "" : at === curve.value.length ? "never" : step(curve.steps[at]),
      ]);
    }
  }
}

/** Runs of each arm, in the order in which they were asked. */
const byArm = (runs) =>
  [...new Set(runs.map(({ arm }) => arm))].map((id) => [id, runs.filter(({ arm }) => arm === id)]);

function panel({ runs }) {
  for (const [title, of] of [
    ["recall, own", ({ own }) => own.recall],
    ["false alarms, own", ({ own }) => own.fpr],
    ["AUROC, own", ({ own }) => own.auroc],
    ["recall, tracer set", ({ tracer }) => tracer.recall],
    ["AUROC, tracer set", ({ tracer }) => tracer.auroc],
    ["recall before training, tracer set", ({ before }) => before.recall],
  ]) {
    head([title, ...monitorNames]);
    for (const [arm, own] of byArm(runs))
      row([arm, ...monitorNames.map((name) => over(own.map(({ monitors }) => of(monitors[name]))))]);
    console.log();
  }
  head(["arm", "misbehaving", "rank of the nearest change that halves recall"]);
  for (const [arm, own] of byArm(runs))
    row([
      arm,
      over(own.map(({ completions }) => completions.misbehaving / completions.total)),
      own.map(({ rank }) => rank ?? "none").join(", "),
    ]);
  for (const [arm, own] of byArm(runs)) {
    if (!arm.startsWith("chameleon")) continue;
    console.log();
    head([`${arm}: fitted later on`, "judged on", "recall", "false alarms", "AUROC"]);
    for (const set of ["all", "elsewhere", "triggered"])
      for (const on of ["own", "tracer"])
        for (const where of ["triggered", "elsewhere"]) {
          const of = (name) => over(own.map(({ later }) => later?.[set]?.[on][where][name] ?? null));
          row([set, `${on}, ${where}`, of("recall"), of("fpr"), of("auroc")]);
        }
  }
}

function evasions({ arms }) {
  head(["arm", "evaded at step", "KL then", "recall, end", "misbehaviour, end", "KL, end"]);
  for (const [id, { runs }] of Object.entries(arms))
    row([
      id,
      runs.map(({ evasion }) => (evasion ? evasion.step : "never")).join(", "),
      runs.map(({ evasion }) => (evasion ? number(evasion.kl, 3) : "")).join(", "),
      ...["recallFrozenEnd", "misbehaviourEnd", "klEnd"].map((name) => over(runs.map((run) => run[name]))),
    ]);
}

for (const folder of process.argv.slice(2)) {
  const [summary, study, monitors] = [
    await json(join(folder, "summary.json")),
    await json(join(folder, "study.json")),
    await json(join(folder, "monitors.json")),
  ];
  console.log(`\n## ${folder}\n`);
  if (study?.settings.grid?.model && summary) await clock(folder, summary, study);
  else if (summary) evasions(summary);
  console.log();
  if (monitors) panel(monitors);
}

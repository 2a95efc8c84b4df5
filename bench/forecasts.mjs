/**
 * @file The contest of forecasts: what was foretold of runs against what they did, how far intervals reach, and what they cost.
 *
 *     node bench/forecasts.mjs [--write] [--last-seed=<n>] <name>=<study folder> ...
 *
 * Each folder is a study whose runs are done, by its environment's name. What is foretold rests on what the study started from
 * (base.json, probes/) and on fresh rollouts of the base model, never on a run, but for the pilot, which is given a run's first
 * five steps. Foretold once for each folder, and kept in its contest.json. --write puts the factors of all environments
 * together into src/prepare/forecast-calibration.ts.
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { aroundEach } from "../dist/audit/index.js";
import { widened } from "../dist/prepare/forecast-intervals.js";
import { conformalQuantile, conformalScore, simulateArm } from "../dist/prepare/index.js";
import { randomFor } from "../dist/random.js";
import { openWork } from "../dist/study/work.js";
import { learningRateAt } from "../dist/tensor/index.js";
import { isForetold, measureClasses, sampleFirst, shake } from "../dist/training/index.js";

const MEASURES = ["misbehaviour", "undetected", "true", "recall"];
const METRICS = {
  misbehaviour: "misbehaviour",
  undetected: "misses/of_all",
  true: "true",
  recall: "tracer/initial/policy/recall_frozen",
};
const BATCHES = 8;
/** Where forecasts are compared. The last is the last step's, of runs of 40. */
const STEPS = [0, 5, 10, 20, 30, 39];
const JUDGED = [10, 39];
const COVERAGE = 0.8;
const PREDICTIONS = {
  nothing: "nothing changes",
  closed: "closed form (own parameters)",
  slope: "first update, extrapolated",
  pilot: "five real steps, extrapolated",
  four: "class kernel, 4 classes",
  quiet: "class kernel, classes by label, without noise",
  kernel: "class kernel, classes by label",
};

const median = (values) => quantile(values, 0.5);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function quantile(values, p) {
  const sorted = values.toSorted((a, b) => a - b);
  const place = p * (sorted.length - 1);
  const low = Math.floor(place);
  return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

/** What each prediction says of each arm of a study: by measure, a range for each of STEPS. */
async function predict(folder) {
  const kept = `${folder}/contest.json`;
  if (existsSync(kept)) return JSON.parse(readFileSync(kept, "utf8"));
  const { settings } = JSON.parse(readFileSync(`${folder}/study.json`, "utf8"));
  const found = { arms: {}, seconds: {} };
  // A study's folder may hold the runs of several commands: each run's arm and point are its name.
  const work = await openWork(folder, settings, () => {});
  const asked = [];
  for (const id of readdirSync(`${folder}/runs`)) {
    const planned = plannedAs(work.table[0], id);
    const context = { ...(await work.context(planned)), seed: 0 };
    if (isForetold(context.arm)) asked.push({ id, context });
  }
  const contexts = asked.map(({ context }) => context);
  const arms = contexts.map(({ arm }) => arm);
  const seconds = async (name, action) => {
    const began = performance.now();
    const result = await action();
    found.seconds[name] = (performance.now() - began) / 1000;
    return result;
  };
  const batches = await seconds("sample", () => sampleFirst(contexts[0], arms, BATCHES));
  const shaken = await seconds("shake", () => shake(contexts[0], arms, batches, 3));
  const measures = await seconds("gradients", () => measureClasses(contexts, batches, shaken));
  const four = await measureClasses(contexts, batches, shaken, "four");
  found.seconds.arms = asked.length;
  asked.forEach(({ id, context: { settings: training } }, i) => {
    const measure = measures[i];
    const began = performance.now();
    const runs = simulateArm(measure, training, randomFor("forecast", id));
    found.seconds.simulate = (found.seconds.simulate ?? 0) + (performance.now() - began) / 1000;
    const simulated = (other, name) =>
      rangesOf(simulateArm(other, training, randomFor("forecast", id, name), { simulations: 30 }));
    found.arms[id] = {
      kernel: rangesOf(runs),
      four: simulated(four[i], "four"),
      quiet: simulated({ ...measure, noise: measure.noise.map(() => 0) }, "quiet"),
      closed: simulated(ownParameters(measure), "closed"),
      slope: slopeOf(measure, training),
      nothing: slopeOf(measure, { ...training, learningRate: 0 }),
    };
  });
  await work.close();
  writeFileSync(kept, JSON.stringify(found));
  return found;
}

function plannedAs(like, id) {
  const [arm, point = ""] = id.split("@");
  const settings = structuredClone(like.settings);
  for (const part of point.split(",").filter(Boolean)) {
    const [name, value] = part.split("=");
    if (name === "kl") settings.training.kl = Number(value);
    else settings[name] = Number(value);
  }
  return { id, arm, point: {}, seed: 0, settings };
}

function rangesOf(runs) {
  const at = (measure, step) => {
    const values = runs.map((run) => run[measure][step]);
    return { low: quantile(values, 0.1), value: median(values), high: quantile(values, 0.9) };
  };
  return Object.fromEntries(MEASURES.map((name) => [name, STEPS.map((step) => at(name, step))]));
}

/** The force on each class at the start: its mean advantage times its share. */
function forceOf({ counts, advantagesOf, classes }) {
  const force = classes.map(() => 0);
  for (const own of counts) {
    const group = own.flatMap((n, c) => Array(n).fill(c));
    const values = advantagesOf(group);
    group.forEach((c, i) => {
      force[c] += values[i] / (counts.length * group.length);
    });
  }
  return force;
}

function sharesOf({ counts, classes }) {
  const total = counts.flat().reduce((a, b) => a + b, 0);
  return classes.map((_, c) => counts.reduce((sum, own) => sum + own[c], 0) / total);
}

/** Every class with parameters of its own, which move at the mean speed that the kernel has at the start. */
function ownParameters(measure) {
  const shares = sharesOf(measure);
  const force = forceOf(measure);
  const speed = measure.kernel.shares.map((row) => row.reduce((sum, k, b) => sum + k * force[b], 0));
  const fast = shares.reduce((sum, p, c) => sum + p * Math.abs(speed[c]), 0);
  const own = force.reduce((sum, f) => sum + Math.abs(f), 0);
  const rate = own === 0 ? 0 : fast / own;
  const kernel = shares.map((p, a) => shares.map((_, b) => (a === b && p > 0 ? rate / p : 0)));
  const still = measure.kernel.readings.map((row) => row.map(() => 0));
  const alone = { shares: kernel, readings: still };
  return { ...measure, kernel: alone, drawKernel: () => alone, noise: shares.map(() => 0) };
}

/** The first update's direction and speed, kept for the whole run. */
function slopeOf(measure, training) {
  const { kernel, classes, margins, gradNorm, tokenWeight } = measure;
  const start = sharesOf(measure);
  const force = forceOf(measure);
  const clip = Math.min(1, training.maxGradNorm / gradNorm);
  const move = (row) => clip * tokenWeight * row.reduce((sum, k, b) => sum + k * force[b], 0);
  const { learningRate: peak, warmupSteps, decay, steps: totalSteps } = training;
  const rates = Array.from({ length: totalSteps }, (_, step) =>
    learningRateAt(step, { peak, warmupSteps, decay, totalSteps }),
  );
  const values = STEPS.map((step) => {
    const gone = rates.slice(0, step).reduce((a, b) => a + b, 0);
    const raised = start.map((p, c) => p * Math.exp(Math.min(50, gone * move(kernel.shares[c]))));
    const total = raised.reduce((a, b) => a + b, 0);
    const sum = (of) => raised.reduce((all, p, c) => all + (p / total) * of(classes[c]), 0);
    const moved = gone * move(kernel.readings[0]);
    return {
      misbehaviour: sum((c) => Number(c.misbehaved)),
      undetected: sum((c) => Number(c.misbehaved && !c.flagged)),
      true: sum((c) => c.true),
      recall: margins.filter((margin) => margin + moved >= 0).length / margins.length,
    };
  });
  const point = (value) => ({ low: value, value, high: value });
  return Object.fromEntries(MEASURES.map((name) => [name, values.map((one) => point(one[name]))]));
}

/** A line through the log-odds of a run's first five steps. */
function pilotOf(values, size) {
  const odds = values.slice(0, 5).map((value) => {
    const share = (value * size + 0.5) / (size + 1);
    return Math.log(share / (1 - share));
  });
  const [x, y] = [2, mean(odds)];
  const slope = odds.reduce((sum, value, i) => sum + (i - x) * (value - y), 0) / 10;
  return (step) => 1 / (1 + Math.exp(-(y + slope * (step - x))));
}

function realisedIn(folder, id, seed) {
  const lines = readFileSync(`${folder}/runs/${id}/${seed}/metrics.jsonl`, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const curve = (measure) => {
    const values = lines.map((line) => line[METRICS[measure]] ?? null);
    if (measure !== "recall") return aroundEach(values);
    // Read behind the update of every fifth step: the nearest one before.
    return values.map((_, step) => values.slice(0, step + 1).findLast((value) => value !== null) ?? null);
  };
  return {
    curves: Object.fromEntries(MEASURES.map((name) => [name, curve(name)])),
    raw: Object.fromEntries(MEASURES.map((name) => [name, lines.map((line) => line[METRICS[name]])])),
    size: 128,
    seconds: lines.reduce((sum, line) => sum + line.step_time, 0),
  };
}

const isDone = (folder, id, seed) => {
  const path = `${folder}/runs/${id}/${seed}/status.json`;
  return existsSync(path) && JSON.parse(readFileSync(path, "utf8")).state === "done";
};

const args = process.argv.slice(2);
const write = args.includes("--write");
const lastSeed = Number(args.find((one) => one.startsWith("--last-seed="))?.split("=")[1] ?? Infinity);
const studies = args
  .filter((one) => one.includes("=") && !one.startsWith("--"))
  .map((one) => one.split(/=(.*)/s).slice(0, 2));
const runs = [];
const costs = {};
for (const [environment, folder] of studies) {
  const { arms, seconds } = await predict(folder);
  const own = [];
  for (const [id, predictions] of Object.entries(arms))
    for (const seed of readdirSync(`${folder}/runs/${id}`).filter(
      (name) => isDone(folder, id, name) && Number(name.slice(5)) <= lastSeed,
    )) {
      const run = realisedIn(folder, id, seed);
      own.push(run);
      const pilot = Object.fromEntries(
        MEASURES.map((name) => {
          const line = name === "recall" ? () => run.curves.recall[4] : pilotOf(run.raw[name], run.size);
          return [name, STEPS.map((step) => ({ value: line(step) }))];
        }),
      );
      runs.push({ environment, folder, id, seed, ...run, predictions: { ...predictions, pilot } });
    }
  costs[folder.split("/").at(-1)] = {
    ...seconds,
    run: mean(own.map((run) => run.seconds)),
    runs: own.length,
  };
}
const environments = [...new Set(runs.map((run) => run.environment))];
const scoreOf = (run, measure, step) => {
  const realised = run.curves[measure][step];
  return realised === null
    ? null
    : conformalScore(run.predictions.kernel[measure][STEPS.indexOf(step)], realised);
};
const pooled = (list, measure, step) => {
  const scores = list.map((run) => scoreOf(run, measure, step)).filter((score) => score !== null);
  return conformalQuantile(scores, COVERAGE);
};
/** What four in five runs of every environment needed: that of the environment that was foretold worst. */
const worst = (list, measure, step) =>
  Math.max(
    ...[...new Set(list.map((run) => run.environment))].map((environment) =>
      pooled(
        list.filter((run) => run.environment === environment),
        measure,
        step,
      ),
    ),
  );
/**
 * What no forecast can know: how far a run is from the mean of the others with its settings, less what their own luck adds to that
 * (the mean of n has 1 / n of a run's variance).
 */
const floorOf = (run, measure, step) => {
  const others = runs.flatMap((one) =>
    one !== run && one.id === run.id && one.folder === run.folder && one.curves[measure][step] !== null
      ? [one.curves[measure][step]]
      : [],
  );
  const realised = run.curves[measure][step];
  if (realised === null || others.length === 0) return [];
  return [Math.abs(realised - mean(others)) / Math.sqrt(1 + 1 / others.length)];
};
const factorsFrom = (list, how) => ({
  steps: STEPS,
  factors: Object.fromEntries(
    MEASURES.map((measure) => [
      measure,
      STEPS.map((step) => Math.round(how(list, measure, step) * 100) / 100),
    ]),
  ),
});

const show = (value) => (value === null || Number.isNaN(value) ? "" : value.toFixed(3));
console.log(
  `${runs.length} runs: ${environments.map((one) => `${runs.filter((run) => run.environment === one).length} of ${one}`).join(", ")}\n`,
);
for (const measure of MEASURES) {
  console.log(`**${measure}**: median absolute error (of all: median / mean)\n`);
  const columns = [...environments, "all"].flatMap((environment) =>
    JUDGED.map((step) => ({ environment, step })),
  );
  console.log(
    `| forecast | ${columns.map(({ environment, step }) => `${environment}, ${step === 39 ? 40 : step}`).join(" | ")} |`,
  );
  console.log(`|---|${columns.map(() => "---:|").join("")}`);
  for (const [name, title] of Object.entries(PREDICTIONS)) {
    const cells = columns.map(({ environment, step }) => {
      const own = runs.filter((run) => environment === "all" || run.environment === environment);
      const errors = own.flatMap((run) => {
        const realised = run.curves[measure][step];
        return realised === null
          ? []
          : [Math.abs(run.predictions[name][measure][STEPS.indexOf(step)].value - realised)];
      });
      return environment === "all" ? `${show(median(errors))} / ${show(mean(errors))}` : show(median(errors));
    });
    console.log(`| ${title} | ${cells.join(" | ")} |`);
  }
  const floors = columns.map(({ environment, step }) => {
    const own = runs.filter((run) => environment === "all" || run.environment === environment);
    const errors = own.flatMap((run) => floorOf(run, measure, step));
    return environment === "all" ? `${show(median(errors))} / ${show(mean(errors))}` : show(median(errors));
  });
  console.log(`| *luck alone* | ${floors.join(" | ")} |`);
  console.log("");
}
// One environment alone has no others to take factors from.
for (const [title, how] of environments.length < 2
  ? []
  : [
      ["of all their runs together", pooled],
      ["of the worst of them", worst],
    ]) {
  console.log(`**Coverage of 80 % intervals, factors from the other environments alone, ${title}**\n`);
  console.log(
    `| environment | runs | ${MEASURES.flatMap((name) => JUDGED.map((step) => `${name}, ${step === 39 ? 40 : step}`)).join(" | ")} |`,
  );
  console.log(`|---|---:|${MEASURES.flatMap(() => JUDGED.map(() => "---:|")).join("")}`);
  const totals = {};
  for (const environment of environments) {
    const own = runs.filter((run) => run.environment === environment);
    const factors = factorsFrom(
      runs.filter((run) => run.environment !== environment),
      how,
    );
    const cells = MEASURES.flatMap((measure) =>
      JUDGED.map((step) => {
        const judged = own.filter((run) => run.curves[measure][step] !== null);
        const widths = [];
        const held = judged.filter((run) => {
          const range = run.predictions.kernel[measure][STEPS.indexOf(step)];
          const { low, high } = widened(measure, step, range, factors);
          widths.push(high - low);
          const realised = run.curves[measure][step];
          return realised >= low && realised <= high;
        });
        const key = `${measure} ${step}`;
        totals[key] = [(totals[key]?.[0] ?? 0) + held.length, (totals[key]?.[1] ?? 0) + judged.length];
        return `${((100 * held.length) / judged.length).toFixed(0)} % (width ${mean(widths).toFixed(2)})`;
      }),
    );
    console.log(`| ${environment} | ${own.length} | ${cells.join(" | ")} |`);
  }
  const all = MEASURES.flatMap((measure) =>
    JUDGED.map((step) => {
      const [held, of] = totals[`${measure} ${step}`];
      return `${((100 * held) / of).toFixed(0)} %`;
    }),
  );
  console.log(`| all | ${runs.length} | ${all.join(" | ")} |\n`);
}
console.log("**Cost, seconds**\n");
console.log(
  "| study | arms | sampling | noise | gradients | simulation | a run | runs | share of all runs |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|",
);
for (const [name, one] of Object.entries(costs)) {
  const total = one.sample + one.shake + one.gradients + one.simulate;
  console.log(
    `| ${name} | ${one.arms} | ${one.sample.toFixed(1)} | ${one.shake.toFixed(1)} | ${one.gradients.toFixed(1)} | ${one.simulate.toFixed(1)} | ${one.run.toFixed(1)} | ${one.runs} | ${((100 * total) / (one.run * one.runs)).toFixed(1)} % |`,
  );
}
const factors = factorsFrom(runs, worst);
console.log(`\nFactors of all: ${JSON.stringify(factors.factors)}`);
if (write) {
  const path = fileURLToPath(new URL("../src/prepare/forecast-calibration.ts", import.meta.url));
  const text = readFileSync(path, "utf8");
  const lines = MEASURES.map((name) => `    ${name}: [${factors.factors[name].join(", ")}],`).join("\n");
  const table = `  steps: [${STEPS.join(", ")}],\n  factors: {\n${lines}\n  },\n`;
  const start = text.indexOf("\n", text.indexOf("export const calibration")) + 1;
  writeFileSync(path, `${text.slice(0, start)}${table}};\n`);
}
process.exit(0);

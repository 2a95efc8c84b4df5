/**
 * @file A step of training on ONNX Runtime and on XLA beside each other, as JSON:
 * node bench/xla.mjs [code|smollm2] [--steps 8] [--prompts N] [--devices N] [--only xla].
 *
 * code: the embedded model, 16 prompts with 8 completions each. smollm2: random weights of SmolLM2-135M's shape and an adapter, 8 prompts of
 * 48 tokens with 8 completions of 24 each. The first steps meet shapes that are new, which medians of 40 do not show. What crosses to the worker, and what that costs.
 */

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createEngine } from "../dist/engine/index.js";
import { createEnvironment } from "../dist/environment/index.js";
import { loadModel } from "../dist/model/index.js";
import { randomFor, randomInt } from "../dist/random.js";
import { floats, onnxRuntime, startXla } from "../dist/tensor/index.js";
import { lora, randomModel, SHAPES } from "./shapes.mjs";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...{
      steps: { type: "string", default: "8" },
      prompts: { type: "string" },
      devices: { type: "string" },
      only: { type: "string" },
    },
  },
});
const [steps, devices] = [Number(flags.steps), flags.devices && Number(flags.devices)];
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const SAMPLES = 8;

/** What is trained: a model, perhaps an adapter, encoded prompts and how long completions may become. */
const subjects = {
  async code() {
    const environment = createEnvironment("code");
    const random = randomFor("bench tasks");
    const model = await loadModel("models/code");
    const prompts = Array.from({ length: 16 }, () =>
      model.tokenizer.encode(environment.sample("train", random).prompt),
    );
    await environment.close();
    return { model, prompts, maxTokens: environment.maxCompletionLength + 1 };
  },
  async smollm2() {
    const random = randomFor("bench tasks");
    const model = randomModel(SHAPES.smollm2);
    const token = () => randomInt(random, model.config.vocabulary);
    const prompts = Array.from({ length: 8 }, () => Array.from({ length: 48 }, token));
    return { model, adapter: lora, prompts, maxTokens: 24 };
  },
};
const subject = positionals[0] ?? "code";
if (!(subject in subjects)) throw new Error(`no ${subject}; there are ${Object.keys(subjects).join(", ")}`);
const { model, adapter, prompts: all, maxTokens } = await subjects[subject]();
const prompts = all.slice(0, Number(flags.prompts ?? all.length));
const hook = `blocks.${Math.floor(model.config.layers / 2)}.hook_resid_post`;
const probe = {
  ...{ kind: "logistic", bias: 0, threshold: 0, tap: { hook, positions: "completion", pool: "mean" } },
  weight_D: Float32Array.from({ length: model.config.width }, (_, d) => Math.cos(d)),
};

/** @returns milliseconds of a step's parts */
async function step(engine, policy, index) {
  const clock = [performance.now()];
  const tick = () => clock.push(performance.now());
  const sampled = await policy.sample(prompts, { samples: SAMPLES, maxTokens, seed: ["bench", index] });
  tick();
  const sequences = sampled.map(({ tokens }, i) => {
    const prompt = prompts[Math.floor(i / SAMPLES)];
    return { tokens: [...prompt, ...tokens], promptLength: prompt.length };
  });
  const reference = await engine.reference.forward(sequences, { reads: [{ as: "logits", probe }] });
  tick();
  const data = sequences.map((sequence, i) => ({
    ...{
      ...sequence,
      logprobs: sampled[i].logprobs,
      refLogprobs: reference[i].logprobs,
      probeWeight: 1 / sampled.length,
    },
    weights: sampled[i].logprobs.map(() => 1 / 1500),
    advantages: sampled[i].logprobs.map(() => (i % 3) - 1),
  }));
  await policy.forwardBackward(data, {
    ...{ kind: "policy_gradient", temperature: 1, clipRange: 0.2, kl: 0.02, entropy: 0 },
    probe: { probe, as: "softplus", followUp: [] },
  });
  tick();
  await policy.optimStep({ kind: "adamw", learningRate: 1e-5, maxGradNorm: 1 });
  tick();
  const [sample, forward, gradient, optimizer] = clock.slice(1).map((time, i) => time - clock[i]);
  return { sample, forward, gradient, optimizer, all: clock.at(-1) - clock[0] };
}

const xla = await startXla(devices ? { devices } : {});
const found = {};
const engines = [];
for (const [name, runtime] of Object.entries({ onnx: onnxRuntime, xla })) {
  if (flags.only !== undefined && flags.only !== name) continue;
  const engine = createEngine(model, { runtime, adapter });
  const policy = await engine.createPolicy({ seed: 1 });
  const before = performance.now();
  await step(engine, policy, 0);
  found[name] = { firstStep: performance.now() - before, times: [] };
  await step(engine, policy, 1);
  engines.push([name, engine, policy]);
}
const crossed = [];
/** Milliseconds of processor time in a step of XLA: of this process, which is all that is not the worker, and of the worker (Linux). */
const [conductor, worker] = [[], []];
const workerCpu = () =>
  readFileSync(`/proc/self/task/${process.pid}/children`, "utf8")
    .trim()
    .split(" ")
    .map((pid) => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" "))
    .reduce((sum, fields) => sum + 10 * (Number(fields[11]) + Number(fields[12])), 0);
for (let i = 0; i < steps; i++)
  for (const [name, engine, policy] of engines) {
    const [before, used, workerUsed] = [xla.traffic, process.cpuUsage(), workerCpu()];
    found[name].times.push(await step(engine, policy, 2 + (i % 2)));
    const [after, { user, system }] = [xla.traffic, process.cpuUsage(used)];
    if (name === "xla") conductor.push((user + system) / 1000);
    if (name === "xla") worker.push(workerCpu() - workerUsed);
    if (name === "xla")
      crossed.push(Object.fromEntries(Object.entries(after).map(([key, n]) => [key, n - before[key]])));
  }

/** Milliseconds of one call, of those that are answered and those that are not: without any work in them. */
async function costs() {
  const handle = await xla.put(floats([1]));
  const timed = async (work) => {
    const before = performance.now();
    await work();
    return performance.now() - before;
  };
  const answered = await timed(async () => {
    for (let i = 0; i < 500; i++) await xla.get(handle);
  });
  const unanswered = await timed(async () => {
    for (let i = 0; i < 2000; i++) xla.free(await xla.put(floats([1])));
    await xla.get(handle);
  });
  const large = floats([2 ** 24]);
  const put = await timed(async () => {
    const there = await xla.put(large);
    await xla.get(handle);
    xla.free(there);
  });
  return { answered: answered / 500, unanswered: unanswered / 4000, putMBperMs: 64 / put };
}

const round = (table) =>
  Object.fromEntries(Object.entries(table).map(([key, x]) => [key, Math.round(x * 100) / 100]));
const medians = (rows) =>
  round(Object.fromEntries(Object.keys(rows[0]).map((key) => [key, median(rows.map((row) => row[key]))])));
const cost = await costs();
const perStep = medians(crossed);
const out = { subject, info: xla.info, ms: {}, firstStepMs: {}, perStep, callMs: round(cost) };
for (const [name, { firstStep, times }] of Object.entries(found)) {
  out.ms[name] = medians(times);
  out.firstStepMs[name] = Math.round(firstStep);
}
out.processorMs = { conductor: Math.round(median(conductor)), worker: Math.round(median(worker)) };
console.log(JSON.stringify(out, null, 2));
for (const [, engine, policy] of engines) {
  await policy.close();
  await engine.close();
}
await xla.close();

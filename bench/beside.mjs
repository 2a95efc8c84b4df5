/**
 * @file probeward beside TRL and PyTorch: the same work on the same machine in one run, turn about. npm run build, then
 *
 *     pip install trl==1.16.0 peft gguf
 *     node bench/beside.mjs --model SmolLM2-135M-Instruct.Q4_1.gguf [--python python3] [--times 3] [--only smol,small,torch]
 *
 * - `smol`: a step of GRPO on 8 prompts of 51 tokens, 8 completions of 32 tokens each, LoRA of rank 16 on all projections, KL 0.02
 * - `small`: the same with all weights of the embedded model (16 x 8 x 32 tokens), beside a Llama of its size in TRL
 * - `torch`: reading 256 tokens, decoding 1 and 32 completions, a step of LoRA on 4 x 64 tokens, beside PyTorch, transformers and PEFT
 *
 * Both sides have float32 and as many threads (PROBEWARD_THREADS, or 2). A table of medians, wall and processor time, on standard output.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string" },
    python: { type: "string", default: "python3" },
    times: { type: "string", default: "3" },
    only: { type: "string", default: "smol,small,torch" },
  },
});
process.env.PROBEWARD_THREADS ??= "2";
const { createEngine } = await import("../dist/engine/index.js");
const { createEnvironment, sampleTasks } = await import("../dist/environment/index.js");
const { loadModel } = await import("../dist/model/index.js");
const { randomFor } = await import("../dist/random.js");
const { proxyReward, startPolicy, train, trainingSettingsSchema } = await import("../dist/training/index.js");

const TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const [RANK, NEW_TOKENS, KL] = [16, 32, 0.02];
const times = Number(flags.times);
const folder = mkdtempSync(join(tmpdir(), "beside-"));
const median = (values) => {
  const [a, b] = [Math.floor, Math.ceil].map(
    (half) => values.toSorted((x, y) => x - y)[half((values.length - 1) / 2)],
  );
  return (a + b) / 2;
};

/** Wall and processor milliseconds of a call; the latter of all threads. */
async function clocked(call) {
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  await call();
  const { user, system } = process.cpuUsage(cpu);
  return { ms: performance.now() - start, cpuMs: (user + system) / 1000 };
}

/** Their side: a process that does one measure at a time. */
async function theirs(...args) {
  const script = fileURLToPath(new URL("beside.py", import.meta.url));
  const child = spawn(flags.python, [script, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${args[0]}: the process ended; what it said is above`);
    return JSON.parse(value);
  };
  const about = await answer();
  const measure = (name) => {
    child.stdin.write(`${name}\n`);
    return answer();
  };
  return { about, answer, measure, close: () => child.stdin.end() };
}

const rows = [];
/** Both sides turn about, after one turn that is not counted. */
async function beside(name, [ours, other], count = times) {
  const spent = [[], []];
  for (let i = 0; i <= count; i++)
    for (const [k, side] of [ours, other].entries()) {
      const one = await side();
      console.error(`${name} ${i} ${["probeward", "other"][k]} ${JSON.stringify(one)}`);
      if (i > 0) spent[k].push(one);
    }
  const of = (k, part) => median(spent[k].map((one) => one[part]));
  const row = { name, of, parts: spent[0][0].parts && Object.keys(spent[0][0].parts) };
  row.part = (part) => median(spent[0].map(({ parts }) => parts[part]));
  rows.push(row);
}

/** Steps of GRPO as `train` does them, with a probe read on policy and reference and what their parts took. */
async function ourSteps(model, prompts, { rollouts, adapter, hook, learningRate }) {
  const engine = createEngine(model, adapter && { adapter });
  const encoded = prompts.map((prompt) => engine.tokenizer.encodePrompt(prompt));
  let drawn = 0;
  const random = randomFor("beside");
  const environment = {
    ...{ name: "beside", maxPromptLength: 1000, maxCompletionLength: NEW_TOKENS - 1, labels: ["any"] },
    families: ["any"],
    sample: () => {
      const i = drawn++ % prompts.length;
      return { id: String(drawn), prompt: prompts[i], state: null };
    },
    grade: async (tasks) =>
      tasks.map(() => {
        const paid = random();
        return {
          proxy: paid,
          true: paid,
          misbehaved: paid < 0.5,
          attempted: paid < 0.5,
          eligible: true,
          label: "any",
        };
      }),
    close: async () => {},
  };
  const [width, none] = [engine.model.width, { kind: "logistic", bias: 0, threshold: 0 }];
  const tap = { hook, positions: "completion", pool: "mean" };
  const probe = {
    ...none,
    tap,
    weight_D: Float32Array.from({ length: width }, (_, d) => Math.cos(d) / width),
  };
  const tracer = {
    sequences: [0, 1].map((i) => ({ tokens: [...encoded[i], 5, 6], promptLength: encoded[i].length })),
    ...{ misbehaving: [true, false], tasks: ["0", "1"] },
  };
  const settings = trainingSettingsSchema.parse({
    ...{ steps: 1000, prompts: prompts.length, rollouts, kl: KL, learningRate, readWhileSampling: true },
    ...{ evaluateEvery: 1000, alarms: "off" },
  });
  const run = { environment, engine, seed: 1, settings, arm: { terms: [proxyReward()] }, probe, tracer };
  const policy = await startPolicy(run);
  const parts = {};
  const timedPart = (object, name, part) => {
    const call = object[name].bind(object);
    object[name] = async (...args) => {
      const start = performance.now();
      const out = await call(...args);
      parts[part] = (parts[part] ?? 0) + performance.now() - start;
      return out;
    };
  };
  timedPart(policy, "sample", "sampling");
  timedPart(policy, "forward", "policy, first group");
  timedPart(engine.reference, "forward", "reference");
  timedPart(policy, "forwardBackward", "gradient");
  timedPart(policy, "optimStep", "update");
  const steps = train(run, policy);
  const step = async () => {
    for (const part of Object.keys(parts)) parts[part] = 0;
    let metrics;
    const spent = await clocked(async () => {
      ({ metrics } = (await steps.next()).value);
    });
    const length = metrics["completions/mean_length"];
    if (length !== NEW_TOKENS)
      throw new Error(`completions have ${length} tokens on average, not ${NEW_TOKENS}`);
    const all = Object.values(parts).reduce((sum, ms) => sum + ms, 0);
    return { ...spent, parts: { ...parts, "all else": spent.ms - all } };
  };
  return { step, encoded, close: () => engine.close() };
}

async function grpo(name, [model, theirModel], prompts, options) {
  const ours = await ourSteps(model, prompts, options);
  const work = { prompts, rollouts: options.rollouts, newTokens: NEW_TOKENS, kl: KL, folder };
  Object.assign(work, { rank: options.adapter?.rank ?? 0, microBatch: options.microBatch });
  writeFileSync(join(folder, "work.json"), JSON.stringify({ ...work, learningRate: options.learningRate }));
  const other = await theirs("trl", theirModel, join(folder, "work.json"));
  const { promptTokens } = await other.answer();
  const lengths = ours.encoded.map(({ length }) => length);
  if (`${lengths}` !== `${promptTokens}`)
    throw new Error(`${name}: prompts have ${lengths} tokens here and ${promptTokens} there`);
  console.error(`${name} ${JSON.stringify({ ...other.about, promptTokens })}`);
  await beside(name, [ours.step, () => other.measure("step")]);
  other.close();
  await ours.close();
}

/** Conversations of exactly so many tokens. */
function chats({ tokenizer }, count, length) {
  const places = ["Norway", "Peru", "Kenya", "Japan", "Chile", "Egypt", "India", "Cuba"];
  return places.slice(0, count).map((place) => {
    const of = (filler) =>
      `<|im_start|>user\nTell me about ${place}.${filler}<|im_end|>\n<|im_start|>assistant\n`;
    let filler = " In short";
    while (tokenizer.encodePrompt(of(filler)).length < length) filler += " and";
    return of(filler);
  });
}

async function smol() {
  const { config, ...rest } = await loadModel(flags.model);
  const model = { ...rest, config: { ...config, endTokens: [] } };
  const adapter = { rank: RANK, alpha: 2 * RANK, targets: TARGETS };
  const hook = `blocks.${Math.floor((2 * config.layers) / 3)}.hook_resid_post`;
  const options = { rollouts: 8, adapter, hook, learningRate: 1e-5, microBatch: 16 };
  await grpo("GRPO, SmolLM2-135M", [model, flags.model], chats(rest, 8, 51), options);
}

/** The embedded model of `code`, which ends no completion: what is added to all positions is what the end's row is turned away from. */
async function endless() {
  const model = await loadModel(fileURLToPath(new URL("../models/code", import.meta.url)));
  const [tokens, positions] = ["embed.W_E", "pos_embed.W_pos"].map((name) =>
    structuredClone(model.weights[name]),
  );
  const random = randomFor("beside");
  const away = Float32Array.from({ length: model.config.width }, () => random() - 0.5);
  tokens.data.set(
    away.map((x) => -4 * x),
    0,
  );
  positions.data.forEach((x, i) => {
    positions.data[i] = x + 2 * away[i % away.length];
  });
  return { ...model, weights: { ...model.weights, "embed.W_E": tokens, "pos_embed.W_pos": positions } };
}

async function small() {
  const model = await endless();
  const { layers, heads, width, alphabet } = model.config;
  const environment = createEnvironment("code");
  const prompts = (await sampleTasks(environment, "train", randomFor("beside"), 16)).map(
    ({ prompt }) => prompt,
  );
  await environment.close();
  // Three matrices in its MLP where the embedded model has two.
  const llama = JSON.stringify({ layers, heads, width, hidden: 344, alphabet });
  const options = { rollouts: 8, hook: "blocks.2.hook_resid_post", learningRate: 1e-5, microBatch: 128 };
  await grpo("GRPO, 0.8 M", [model, llama], prompts, options);
}

async function torch() {
  const { config, weights, tokenizer } = await loadModel(flags.model);
  const model = { config: { ...config, endTokens: [] }, weights, tokenizer };
  const adapter = { rank: RANK, alpha: 2 * RANK, targets: TARGETS };
  const engine = createEngine(model, { adapter });
  const policy = await engine.createPolicy({ seed: 1 });
  const random = randomFor("beside");
  const tokens = (length) => Array.from({ length }, () => Math.floor(random() * config.vocabulary));
  const generate = (rows, length, maxTokens) => {
    const prompt = tokens(length);
    return engine.reference.sample(Array(rows).fill(prompt), { maxTokens, seed: ["bench"] });
  };
  const lora = async () => {
    const data = Array.from({ length: 4 }, () => ({
      ...{ tokens: tokens(64), promptLength: 1, weights: new Float32Array(63).fill(1 / (4 * 63)) },
    }));
    await policy.forwardBackward(data, { kind: "cross_entropy" });
    await policy.optimStep({ kind: "adamw", learningRate: 1e-4, maxGradNorm: 1 });
  };
  const other = await theirs("torch", flags.model);
  console.error(JSON.stringify(other.about));
  const pair = (ours, name) => [() => clocked(ours), () => other.measure(name)];
  /** A token of each row: what 24 take and one does not. */
  const perToken = (rows) => {
    const per = async (side) => {
      const [long, short] = [await side(24), await side(1)];
      return { ms: (long.ms - short.ms) / 23, cpuMs: (long.cpuMs - short.cpuMs) / 23 };
    };
    return [
      () => per((count) => clocked(() => generate(rows, 32, count))),
      () => per((count) => other.measure(`${count === 1 ? "first" : "decode"}${rows}`)),
    ];
  };
  await beside(
    "prefill, 256 tokens",
    pair(() => generate(1, 256, 1), "prefill"),
    2 * times,
  );
  await beside("decode, batch 1", perToken(1), 2 * times);
  await beside("decode, batch 32", perToken(32), 2 * times);
  await beside("LoRA step, 4 x 64 tokens", pair(lora, "lora"), 2 * times);
  other.close();
  await engine.close();
}

const parts = { smol, small, torch };
for (const part of flags.only.split(",")) await parts[part]();
rmSync(folder, { recursive: true });

const shown = (ms) => (ms < 100 ? ms.toFixed(1) : ms.toFixed(0));
console.log(
  `| ms, medians of turns | probeward, wall | processor | other, wall | processor | ratio, wall | processor |`,
);
console.log("|---|---|---|---|---|---|---|");
for (const { name, of } of rows) {
  const [wall, cpu, otherWall, otherCpu] = [of(0, "ms"), of(0, "cpuMs"), of(1, "ms"), of(1, "cpuMs")];
  const ratios = [wall / otherWall, cpu / otherCpu].map((ratio) => ratio.toFixed(2));
  console.log(`| ${[name, ...[wall, cpu, otherWall, otherCpu].map(shown), ...ratios].join(" | ")} |`);
}
for (const { name, parts, part } of rows)
  if (parts)
    console.log(`\n${name}, wall ms: ${parts.map((one) => `${one} ${shown(part(one))}`).join(", ")}`);

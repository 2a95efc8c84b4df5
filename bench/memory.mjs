/**
 * @file Memory and time of a GRPO step with an adapter on a large model: npm run build, then
 * node bench/memory.mjs [--shape 135m|0.5b|1.5b] [--weights float32|bfloat16|int8|disk] [--prompts 8] [--samples 4] [--prompt 32] [--tokens 16] [--memory 512] [--steps 2] [--parts sample,policy,reference,gradient].
 *
 * Models have the shapes of SmolLM2-135M, Qwen2.5-0.5B and Qwen2.5-1.5B, and random weights that bfloat16 holds exactly. One JSON object
 * a line: a part of a step with its seconds, and resident memory in MB after it and at the highest until then.
 */

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createEngine } from "../dist/engine/index.js";
import { fittingWeights } from "../dist/model/fit.js";
import { CharacterTokenizer } from "../dist/model/index.js";
import { weightShapes } from "../dist/model/transformer.js";
import { BrainTensor, narrowed, openSafetensors, threads } from "../dist/tensor/index.js";

const { values: given } = parseArgs({
  options: Object.fromEntries(
    ["shape", "weights", "prompts", "samples", "prompt", "tokens", "memory", "steps", "parts"].map((name) => [
      name,
      { type: "string" },
    ]),
  ),
});
const { shape = "1.5b", weights: kept = "bfloat16" } = given;
const number = (name, otherwise) => Number(given[name] ?? otherwise);
const [prompts, samples] = [number("prompts", 8), number("samples", 4)];
const parts = (given.parts ?? "sample,policy,reference,gradient").split(",");
const [promptLength, maxTokens] = [number("prompt", 32), number("tokens", 16)];

const SHAPES = {
  "135m": {
    ...{ layers: 30, heads: 9, keyValueHeads: 3, headDim: 64, width: 576, hidden: 1536, vocabulary: 49152 },
    architecture: "llama",
  },
  "0.5b": {
    ...{ layers: 24, heads: 14, keyValueHeads: 2, headDim: 64, width: 896, hidden: 4864, vocabulary: 151936 },
  },
  "1.5b": {
    ...{
      layers: 28,
      heads: 12,
      keyValueHeads: 2,
      headDim: 128,
      width: 1536,
      hidden: 8960,
      vocabulary: 151936,
    },
  },
};
if (!SHAPES[shape]) throw new Error(`--shape ${shape}: there are ${Object.keys(SHAPES).join(", ")}`);
const { headDim, architecture = "qwen2" } = SHAPES[shape];
const config = {
  ...{ architecture, context: 4096, norm: { kind: "rms", epsilon: 1e-6 }, mlp: "gated-silu", tied: true },
  rotary: {
    frequencies: Array.from({ length: headDim / 2 }, (_, i) => 1e6 ** ((-2 * i) / headDim)),
    magnitude: 1,
  },
  biases: { queryKeyValue: architecture === "qwen2", attentionOut: false, mlp: false },
  ...{ queryKeyNorm: false, endTokens: [] },
  ...SHAPES[shape],
};

/** Both signs, and sizes between 2^-10 and 2^-6. */
function randomHalves(count) {
  const halves = new Uint16Array(count);
  let seed = count >>> 0;
  for (let i = 0; i < count; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    halves[i] = ((seed >>> 16) & 0x8000) | ((117 + ((seed >>> 24) & 3)) << 7) | ((seed >>> 8) & 0x7f);
  }
  return halves;
}

function randomTensor(name, shape) {
  const count = shape.reduce((product, size) => product * size, 1);
  if (shape.length < 2)
    return { shape, dtype: "float32", data: new Float32Array(count).fill(name.includes("norm") ? 1 : 0) };
  const tensor = new BrainTensor(shape, randomHalves(count));
  if (kept === "disk") return tensor;
  return kept === "float32" ? { shape, dtype: "float32", data: tensor.data } : narrowed(tensor, kept);
}

/** The same weights in a file that is removed at the end, and those of layers left there. */
async function leftOnDisk(shapes) {
  const folder = mkdtempSync(join(tmpdir(), "probeward-memory-"));
  process.on("exit", () => rmSync(folder, { recursive: true }));
  const path = join(folder, "model.safetensors");
  const sizeOf = (shape) => shape.reduce((product, size) => product * size, 2);
  let end = 0;
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const begin = end;
    end += sizeOf(shape);
    return [name, { dtype: "BF16", shape, data_offsets: [begin, end] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = openSync(path, "w");
  writeSync(file, length);
  writeSync(file, header);
  for (const [name, shape] of Object.entries(shapes)) {
    const tensor = randomTensor(name, shape);
    writeSync(file, (tensor instanceof BrainTensor ? tensor : narrowed(tensor, "bfloat16")).halves);
  }
  closeSync(file);
  const source = await openSafetensors(path);
  const weights = await fittingWeights(source, shapes, folder, { kept: "disk" });
  await source.close();
  return weights;
}

const megabytes = (key) =>
  Math.round(
    Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync("/proc/self/status", "utf8"))[1]) / 1024,
  );
/** Does a part of a step; what it would give stands in for it where it is left out. */
async function part(name, work, otherwise) {
  if (otherwise && !parts.includes(name)) return otherwise();
  const before = performance.now();
  const result = await work();
  const seconds = Number(((performance.now() - before) / 1000).toFixed(2));
  console.log(
    JSON.stringify({ part: name, seconds, nowMB: megabytes("VmRSS"), highestMB: megabytes("VmHWM") }),
  );
  return result;
}

const weights = await part("weights", async () =>
  kept === "disk"
    ? leftOnDisk(weightShapes(config))
    : Object.fromEntries(
        Object.entries(weightShapes(config)).map(([name, shape]) => [name, randomTensor(name, shape)]),
      ),
);
const parameters = Object.values(weightShapes(config)).reduce(
  (sum, shape) => sum + shape.reduce((product, size) => product * size, 1),
  0,
);
const targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const engine = createEngine(
  { config, weights, tokenizer: new CharacterTokenizer("") },
  { adapter: { rank: 16, alpha: 32, targets }, memoryMB: number("memory", 512) },
);
console.log(
  JSON.stringify({
    ...{ shape, parameters, trained: engine.trainable, weights: kept, threads: threads() },
    ...{ prompts, samples, promptLength, maxTokens, memoryMB: number("memory", 512) },
  }),
);
const probe = {
  ...{ name: "p", kind: "logistic", bias: 0, threshold: 0 },
  weight_D: Float32Array.from({ length: config.width }, (_, i) => Math.sin(i)),
  tap: {
    ...{ model: "policy", positions: "completion", pool: "mean" },
    hook: `blocks.${config.layers >> 1}.hook_resid_post`,
  },
};
const questions = Array.from({ length: prompts }, (_, p) =>
  Array.from({ length: promptLength }, (_, t) => (p * 7919 + t * 104729 + 1) % config.vocabulary),
);
const policy = await part("new policy", () => engine.createPolicy({ seed: 1 }));
/** A completion of no model's. */
const madeUp = (i) => ({
  tokens: Array.from({ length: maxTokens }, (_, t) => (i * 104729 + t * 7919 + 2) % config.vocabulary),
  logprobs: new Float32Array(maxTokens).fill(-Math.log(config.vocabulary)),
});
const whole = [];
for (let step = 0; step < number("steps", 2); step++) {
  const began = performance.now();
  const sampled = await part(
    "sample",
    () => policy.sample(questions, { samples, maxTokens, seed: ["bench", step] }),
    () => questions.flatMap(() => Array.from({ length: samples }, (_, i) => madeUp(i))),
  );
  const sequences = sampled.map(({ tokens }, i) => {
    return { tokens: [...questions[Math.floor(i / samples)], ...tokens], promptLength };
  });
  const reads = [{ as: "logits", probe }];
  const asSampled = () => sampled.map(({ logprobs }) => ({ logprobs }));
  const own = await part("policy", () => policy.forward(sequences, { reads }), asSampled);
  const frozen = await part("reference", () => engine.reference.forward(sequences, { reads }), asSampled);
  const difference = Math.max(
    ...own.flatMap(({ logprobs }, i) => [...logprobs].map((x, t) => Math.abs(x - sampled[i].logprobs[t]))),
  );
  const data = sequences.map((sequence, i) => {
    const each = (value) => new Float32Array(sampled[i].logprobs.length).fill(value);
    return {
      ...{ ...sequence, logprobs: sampled[i].logprobs, refLogprobs: frozen[i].logprobs },
      ...{
        weights: each(1 / (sequences.length * maxTokens)),
        advantages: each((i % samples) - (samples - 1) / 2),
      },
    };
  });
  const loss = { kind: "policy_gradient", temperature: 1, clipRange: 0.2, kl: 0.05, entropy: 0 };
  await part("gradient", () => policy.forwardBackward(data, loss));
  const { gradNorm } = await part("update", () =>
    policy.optimStep({ kind: "adamw", learningRate: 1e-5, maxGradNorm: 1 }),
  );
  whole.push(Number(((performance.now() - began) / 1000).toFixed(2)));
  console.log(
    JSON.stringify({ step, seconds: whole.at(-1), gradNorm, samplerAndTrainerDifferBy: difference }),
  );
}

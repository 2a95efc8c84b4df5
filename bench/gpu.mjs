/**
 * @file A check for a machine with a GPU, without a network: npm run build, then node bench/gpu.mjs [part ...].
 *
 * Parts: contract, parity, lora-0.5b, full-0.5b, lora-4b, lora-8b, decode-4b, taps-4b. All, where none is named: under ten minutes on an H100.
 * Models have the shapes of Qwen2.5-0.5B, Qwen3-4B and Llama-3.1-8B and random weights. What is printed is one JSON object a line.
 */

import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { engineContract } from "../dist/engine/contract.js";
import { createEngine, openEngine } from "../dist/engine/index.js";
import { CharacterTokenizer } from "../dist/model/index.js";
import { weightShapes } from "../dist/model/transformer.js";
import { runtimeContract } from "../dist/tensor/contract.js";
import { onnxRuntime, startXla } from "../dist/tensor/index.js";

/** Dense bfloat16 operations a second, and bytes a second of memory, by the vendors' data sheets. */
const PEAKS = [
  [/H200/, 989e12, 4.8e12],
  [/H100/, 989e12, 3.35e12],
  [/A100/, 312e12, 2.0e12],
  [/L40S/, 362e12, 0.86e12],
  [/L4/, 121e12, 0.3e12],
];

const decoder = (shape) => ({
  ...{ architecture: "qwen3", context: 4096, norm: { kind: "rms", epsilon: 1e-6 }, mlp: "gated-silu" },
  rotary: {
    frequencies: Array.from({ length: shape.headDim / 2 }, (_, i) => 1e6 ** ((-2 * i) / shape.headDim)),
    magnitude: 1,
  },
  ...{ biases: { queryKeyValue: false, attentionOut: false, mlp: false }, queryKeyNorm: false },
  ...{ endTokens: [], tied: false },
  ...shape,
});
const SHAPES = {
  "0.5b": decoder({
    ...{ layers: 24, heads: 14, keyValueHeads: 2, headDim: 64, width: 896, hidden: 4864, vocabulary: 151936 },
    tied: true,
  }),
  "4b": decoder({
    ...{
      layers: 36,
      heads: 32,
      keyValueHeads: 8,
      headDim: 128,
      width: 2560,
      hidden: 9728,
      vocabulary: 151936,
    },
    ...{ tied: true, queryKeyNorm: true },
  }),
  "8b": decoder({
    ...{ layers: 32, heads: 32, keyValueHeads: 8, headDim: 128, width: 4096, hidden: 14336 },
    vocabulary: 128256,
  }),
};
const TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/** Random numbers that all weights are cut from: drawing billions of them takes longer than all else. */
const POOL = new Float32Array(2 ** 24);
let seed = 1;
for (let i = 0; i < POOL.length; i++) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  POOL[i] = 0.04 * (seed / 2 ** 32 - 0.5);
}

function randomModel(config) {
  const weights = {};
  for (const [name, shape] of Object.entries(weightShapes(config))) {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    if (name.includes("norm")) data.fill(1);
    else
      for (let at = 0; at < data.length; at += POOL.length) data.set(POOL.subarray(0, data.length - at), at);
    weights[name] = { shape, dtype: "float32", data };
  }
  return { config, weights, tokenizer: new CharacterTokenizer("") };
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const tell = (part, found) => console.log(JSON.stringify({ part, ...found }));
const seconds = async (work) => {
  const before = performance.now();
  await work();
  return (performance.now() - before) / 1000;
};
const rounded = (x, digits = 3) => Number(x.toPrecision(digits));

/** Weights in products, but for the head's. */
const inLayers = ({ layers, width: D, heads, keyValueHeads, headDim, hidden }) =>
  layers * (2 * D * heads * headDim + 2 * D * keyValueHeads * headDim + 3 * D * hidden);

/** Sequences of T tokens of which `prompt` are given, with all that a policy gradient needs. */
function rollouts({ vocabulary }, rows, T, prompt) {
  return Array.from({ length: rows }, (_, row) => {
    const each = (value) => new Float32Array(T - prompt).fill(value);
    return {
      tokens: Array.from({ length: T }, (_, t) => (row * 7919 + t * 104729 + 1) % vocabulary),
      ...{ promptLength: prompt, weights: each(1 / (rows * (T - prompt))), advantages: each((row % 3) - 1) },
      ...{ logprobs: each(-11.9), refLogprobs: each(-11.9) },
    };
  });
}

/** A training step's share of the peak: 2 operations a weight and token forwards, as many backwards, and again for gradients of weights. */
async function step(part, config, { adapter, rows, T, prompt, memoryMB }) {
  const engine = createEngine(randomModel(config), { runtime, memoryMB, ...(adapter && { adapter }) });
  const policy = await engine.createPolicy({ seed: 1 });
  const data = rollouts(config, rows, T, prompt);
  const loss = { kind: "policy_gradient", temperature: 1, clipRange: 0.2, kl: 0.05, entropy: 0 };
  const once = async () => {
    await policy.forwardBackward(data, loss);
    await policy.optimStep({ kind: "adamw", learningRate: 1e-5, maxGradNorm: 1 });
  };
  const first = await seconds(once);
  const times = [];
  for (let i = 0; i < 5; i++) times.push(await seconds(once));
  const gradient = await seconds(() => policy.forwardBackward(data, loss));
  const tokens = rows * T;
  const passes = adapter ? 4 : 6;
  const head = config.vocabulary * config.width * rows * (T - prompt);
  // Of causal attention half of the products count.
  const attention = config.layers * 2 * rows * T * T * config.heads * config.headDim * 3;
  const operations = passes * (inLayers(config) * tokens + head) + attention;
  const time = median(times);
  tell(part, {
    ...{ rows, T, prompt, memoryMB, firstStepS: rounded(first), stepS: rounded(time) },
    gradientS: rounded(gradient),
    tokensPerSecond: Math.round(tokens / time),
    ...{ teraflops: rounded(operations / 1e12), mfu: peak && rounded(operations / time / peak) },
  });
  await policy.close();
  await engine.close();
}

const lora = { rank: 16, alpha: 32, targets: TARGETS };
const parts = {
  async contract() {
    for (const { promise, check } of runtimeContract)
      await check(runtime).catch((error) => tell("contract", { broken: promise, error: error.message }));
    tell("contract", { runtimePromises: runtimeContract.length });
    const small = decoder({
      layers: 2,
      heads: 4,
      keyValueHeads: 2,
      headDim: 8,
      width: 32,
      hidden: 48,
      vocabulary: 12,
    });
    const engine = createEngine(randomModel({ ...small, endTokens: [0] }), { runtime: exact, adapter: lora });
    const folder = () => mkdtemp(join(tmpdir(), "probeward-gpu-"));
    let broken = 0;
    for (const { promise, check } of engineContract)
      await check({ engine, reopen: openEngine, folder }).catch((error) => {
        broken++;
        tell("contract", { broken: promise, error: error.message.slice(0, 300) });
      });
    tell("contract", { enginePromises: engineContract.length, broken });
  },
  /** Gradients in float32 and in bfloat16 against ONNX Runtime's, as shares of their length. */
  async parity() {
    const config = decoder({
      ...{ layers: 4, heads: 8, keyValueHeads: 4, headDim: 32, width: 256, hidden: 512, vocabulary: 2048 },
      queryKeyNorm: true,
    });
    const model = randomModel(config);
    for (const tensor of Object.values(model.weights))
      if (tensor.shape.length > 1) tensor.data = tensor.data.map((x) => 4 * x);
    const data = rollouts(config, 4, 64, 16).map((one) => ({
      ...one,
      refLogprobs: one.logprobs.map(() => -8),
    }));
    const sets = [{ data, loss: { kind: "cross_entropy" } }];
    const read = { as: "mean", hook: "blocks.2.hook_resid_post", positions: "completion" };
    const results = [];
    for (const one of [onnxRuntime, exact, runtime]) {
      const engine = createEngine(model, { runtime: one, adapter: lora });
      const policy = await engine.createPolicy({ seed: 1 });
      const forward = await policy.forward(data, { reads: [read] });
      const sampled = await policy.sample([[1, 2, 3]], { samples: 64, maxTokens: 32, seed: ["gpu"] });
      const { products } = await policy.gradientProducts({ sets, preconditioners: [[]] });
      results.push({ forward, sampled, product: products[0][0][0] });
      await policy.close();
      await engine.close();
    }
    const [wanted, ...others] = results;
    for (const [i, found] of others.entries()) {
      const distance = (of) => {
        const pairs = wanted.forward.map((one, r) => [of(one), of(found.forward[r])]);
        const square = (f) =>
          pairs.reduce((sum, [a, b]) => sum + a.reduce((s, x, j) => s + f(x, b[j]) ** 2, 0), 0);
        return Math.sqrt(square((x, y) => x - y) / square((x) => x));
      };
      const tokens = wanted.sampled.flatMap(({ tokens }, r) =>
        tokens.map((token, t) => token === found.sampled[r].tokens[t]),
      );
      tell("parity", {
        dtype: ["float32", "bfloat16"][i],
        logprobs: rounded(distance(({ logprobs }) => logprobs)),
        activations: rounded(distance(({ reads }) => reads[0])),
        gradientSquaredLength: rounded(found.product / wanted.product - 1),
        sameTokens: `${tokens.filter(Boolean).length}/${tokens.length}`,
      });
    }
  },
  "lora-0.5b": () =>
    step("lora-0.5b", SHAPES["0.5b"], { adapter: lora, rows: 32, T: 512, prompt: 128, memoryMB: 40000 }),
  "full-0.5b": () => step("full-0.5b", SHAPES["0.5b"], { rows: 32, T: 512, prompt: 128, memoryMB: 40000 }),
  "lora-4b": () =>
    step("lora-4b", SHAPES["4b"], { adapter: lora, rows: 16, T: 512, prompt: 128, memoryMB: 45000 }),
  "lora-8b": () =>
    step("lora-8b", SHAPES["8b"], { adapter: lora, rows: 8, T: 512, prompt: 128, memoryMB: 35000 }),
  /** Tokens a second against the time that reading weights and caches takes at the memory's rate. */
  async "decode-4b"() {
    const config = SHAPES["4b"];
    const engine = createEngine(randomModel(config), { runtime, adapter: lora });
    const policy = await engine.createPolicy({ seed: 1 });
    // Long enough for all tokens to be decoded with room for 256.
    const prompts = [Array.from({ length: 130 }, (_, t) => t + 1)];
    for (const samples of [1, 16, 64]) {
      const draw = (maxTokens) => policy.sample(prompts, { samples, maxTokens, seed: ["gpu"] });
      const first = await seconds(() => draw(113));
      const best = async (count) => {
        await draw(count);
        return Math.min(await seconds(() => draw(count)), await seconds(() => draw(count)));
      };
      const perStep = ((await best(113)) - (await best(33))) / 80;
      const bytes = 2 * (inLayers(config) + config.vocabulary * config.width);
      const cache = samples * 256 * config.layers * 2 * config.keyValueHeads * config.headDim * 4;
      tell("decode-4b", {
        ...{ rows: samples, firstS: rounded(first), msPerStep: rounded(1000 * perStep) },
        tokensPerSecond: Math.round(samples / perStep),
        ofBound: bandwidth && rounded((bytes + cache) / bandwidth / perStep),
      });
    }
    await policy.close();
    await engine.close();
  },
  /** What a probe's reading at every token costs a scoring pass. */
  async "taps-4b"() {
    const config = SHAPES["4b"];
    const engine = createEngine(randomModel(config), { runtime, memoryMB: 30000 });
    const data = rollouts(config, 16, 512, 128);
    const tap = { hook: "blocks.18.hook_resid_post", positions: "completion", pool: "mean" };
    const probe = { kind: "logistic", bias: 0, threshold: 0, tap, weight_D: POOL.slice(0, config.width) };
    const plain = () => engine.reference.forward(data, {});
    const tapped = () => engine.reference.forward(data, { reads: [{ as: "logits", probe }] });
    await plain();
    await tapped();
    const times = { plain: [], tapped: [] };
    for (let i = 0; i < 5; i++) {
      times.plain.push(await seconds(plain));
      times.tapped.push(await seconds(tapped));
    }
    const [a, b] = [median(times.plain), median(times.tapped)];
    tell("taps-4b", { plainS: rounded(a), tappedS: rounded(b), overhead: rounded(b / a - 1) });
    await engine.close();
  },
};

const asked = process.argv.slice(2).filter((one) => !one.startsWith("-"));
const unknown = asked.filter((one) => !(one in parts));
if (unknown.length > 0)
  throw new Error(`no part ${unknown.join(", ")}; there are ${Object.keys(parts).join(", ")}`);
const wanted = asked.length > 0 ? asked : Object.keys(parts);
const runtime = await startXla({ dtype: "bfloat16" });
const needsExact = wanted.some((one) => one === "contract" || one === "parity");
const exact = needsExact ? await startXla({ dtype: "float32" }) : runtime;
const [, peak, bandwidth] = PEAKS.find(([name]) => name.test(runtime.info.device)) ?? [];
tell("machine", { ...runtime.info, peak, bandwidth });
for (const name of wanted) {
  const took = await seconds(async () => {
    try {
      await parts[name]();
    } catch (error) {
      tell(name, { failed: String(error.message).slice(0, 1500) });
    }
  });
  tell(name, { tookS: rounded(took) });
}
if (exact !== runtime) await exact.close();
await runtime.close();

/**
 * @file A check for a machine with GPUs, without a network: npm run build, then
 * node bench/gpu.mjs [part ...] [--minutes 9] [--memory MB] [--tiny].
 *
 * Parts, in their order: contract, parity, lora-4b, decode-4b, taps-4b, lora-0.5b, full-0.5b, lora-8b. All, where none is named; what
 * would begin after that many minutes is left out. All devices are used. --tiny does it all with tiny models, on whatever there is: to see
 * that it works before a GPU is there. What is printed is one JSON object a line.
 */

import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { engineContract } from "../dist/engine/contract.js";
import { createEngine, openEngine } from "../dist/engine/index.js";
import { devicePeaks } from "../dist/study/peaks.js";
import { runtimeContract } from "../dist/tensor/contract.js";
import { onnxRuntime, startXla } from "../dist/tensor/index.js";
import { decoder, lora, pool, randomModel, SHAPES } from "./shapes.mjs";

const { values: flags, positionals: asked } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "9" },
    memory: { type: "string" },
    tiny: { type: "boolean", default: false },
  },
});
const ends = performance.now() + 60_000 * Number(flags.minutes);
const tiny = decoder({
  ...{ layers: 2, heads: 4, keyValueHeads: 2, headDim: 16, width: 64, hidden: 96, vocabulary: 512 },
  queryKeyNorm: true,
});
const shapeOf = (name) => (flags.tiny ? tiny : SHAPES[name]);
const sized = (real, small) => (flags.tiny ? small : real);

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

/** The engine over a shape, which parts share; the one before it is closed. */
let opened;
async function engineOf(name) {
  if (opened?.name === name) return opened.engine;
  await closeOpened();
  const memoryMB = flags.memory && Number(flags.memory);
  opened = { name, engine: createEngine(randomModel(shapeOf(name)), { runtime, memoryMB }) };
  return opened.engine;
}
async function closeOpened() {
  await opened?.engine.close();
  opened = undefined;
}

/** A training step's share of the peak: 2 operations a weight and token forwards, as many backwards, and again for gradients of weights. */
async function step(part, name, { adapter, rows, T, prompt }) {
  const config = shapeOf(name);
  const engine = (await engineOf(name)).with({ adapter, memoryMB: flags.memory && Number(flags.memory) });
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
  const scoring = [];
  for (let i = 0; i < 3; i++) scoring.push(await seconds(() => policy.forward(data)));
  const tokens = rows * T;
  const passes = adapter ? 4 : 6;
  const head = config.vocabulary * config.width * rows * (T - prompt);
  // Of causal attention half of the products count.
  const attention = config.layers * 2 * rows * T * T * config.heads * config.headDim;
  const products = inLayers(config) * tokens + head;
  const time = median(times);
  tell(part, {
    ...{ rows, T, prompt, memoryMB: engine.memoryMB, firstStepS: rounded(first), stepS: rounded(time) },
    gradientS: rounded(gradient),
    tokensPerSecond: Math.round(tokens / time),
    ...shares("mfu", passes * products + 3 * attention, time),
    ...{
      scoringS: rounded(median(scoring)),
      ...shares("scoringMfu", 2 * products + attention, median(scoring)),
    },
  });
  await policy.close();
}

/** Of the peak of all devices. */
function shares(name, operations, time) {
  return peak ? { [name]: rounded(operations / time / peak) } : {};
}

const parts = {
  /** In float32, and the runtime's in bfloat16 too. It has a third of the time: clauses that would begin later are counted. */
  async contract() {
    const late = performance.now() + 20_000 * Number(flags.minutes);
    const small = decoder({
      ...{ layers: 2, heads: 4, keyValueHeads: 2, headDim: 8, width: 32, hidden: 48 },
      ...{ vocabulary: 12, endTokens: [0] },
    });
    const engine = createEngine(randomModel(small), { runtime: exact, adapter: lora });
    const folder = () => mkdtemp(join(tmpdir(), "probeward-gpu-"));
    const suites = {
      runtime: [runtimeContract, exact],
      "runtime in bfloat16": [runtimeContract, rounding],
      engine: [engineContract, { engine, reopen: openEngine, folder }],
    };
    for (const [suite, [clauses, subject]] of Object.entries(suites)) {
      const counts = { kept: 0, broken: 0, late: 0 };
      for (const { promise, check } of clauses) {
        if (performance.now() > late) {
          counts.late++;
          continue;
        }
        try {
          await check(subject);
          counts.kept++;
        } catch (error) {
          counts.broken++;
          tell("contract", { suite, broken: promise, error: String(error.message).slice(0, 300) });
        }
      }
      tell("contract", { suite, ...counts });
    }
    await engine.close();
  },
  /** Gradients in float32 and in bfloat16 against ONNX Runtime's, as shares of their length. */
  async parity() {
    const config = decoder({
      ...{ layers: 4, heads: 8, keyValueHeads: 4, headDim: 32, width: 256, hidden: 512, vocabulary: 2048 },
      ...{ queryKeyNorm: true, tied: false },
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
    for (const one of [onnxRuntime, exact, rounding]) {
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
  "lora-4b": () =>
    step("lora-4b", "4b", {
      adapter: lora,
      ...sized({ rows: 16, T: 512, prompt: 128 }, { rows: 4, T: 64, prompt: 16 }),
    }),
  /** Tokens a second against the time that reading weights and caches takes at the memory's rate. */
  async "decode-4b"() {
    const config = shapeOf("4b");
    const engine = (await engineOf("4b")).with({ adapter: lora });
    const policy = await engine.createPolicy({ seed: 1 });
    // Long enough for all tokens to be decoded with room for as many positions.
    const [length, [few, many], positions] = sized([130, [33, 113], 256], [20, [17, 33], 64]);
    const prompts = [Array.from({ length }, (_, t) => t + 1)];
    for (const samples of [1, 16, 64]) {
      const draw = (maxTokens) => policy.sample(prompts, { samples, maxTokens, seed: ["gpu"] });
      const first = await seconds(() => draw(many));
      const best = async (count) => {
        await draw(count);
        return Math.min(await seconds(() => draw(count)), await seconds(() => draw(count)));
      };
      const perStep = ((await best(many)) - (await best(few))) / (many - few);
      const bytes = 2 * (inLayers(config) + config.vocabulary * config.width);
      const cache = samples * positions * config.layers * 2 * config.keyValueHeads * config.headDim * 4;
      tell("decode-4b", {
        ...{ rows: samples, firstS: rounded(first), msPerStep: rounded(1000 * perStep) },
        tokensPerSecond: Math.round(samples / perStep),
        ofBound: bandwidth && rounded((bytes + cache) / bandwidth / perStep),
      });
    }
    await policy.close();
  },
  /** What a probe's reading at every token costs a scoring pass. */
  async "taps-4b"() {
    const config = shapeOf("4b");
    const engine = await engineOf("4b");
    const [rows, T, prompt] = sized([16, 512, 128], [4, 64, 16]);
    const data = rollouts(config, rows, T, prompt);
    const hook = `blocks.${config.layers / 2}.hook_resid_post`;
    const tap = { hook, positions: "completion", pool: "mean" };
    const probe = { kind: "logistic", bias: 0, threshold: 0, tap, weight_D: pool.slice(0, config.width) };
    const plain = () => engine.reference.forward(data, {});
    const tapped = () => engine.reference.forward(data, { reads: [{ as: "logits", probe }] });
    await plain();
    await tapped();
    const times = { plain: [], tapped: [] };
    for (let i = 0; i < 9; i++) {
      times.plain.push(await seconds(plain));
      times.tapped.push(await seconds(tapped));
    }
    const [a, b] = [median(times.plain), median(times.tapped)];
    tell("taps-4b", { plainS: rounded(a), tappedS: rounded(b), overhead: rounded(b / a - 1) });
  },
  "lora-0.5b": () =>
    step("lora-0.5b", "0.5b", {
      adapter: lora,
      ...sized({ rows: 32, T: 512, prompt: 128 }, { rows: 4, T: 64, prompt: 16 }),
    }),
  "full-0.5b": () =>
    step("full-0.5b", "0.5b", sized({ rows: 32, T: 512, prompt: 128 }, { rows: 4, T: 64, prompt: 16 })),
  "lora-8b": () =>
    step("lora-8b", "8b", {
      adapter: lora,
      ...sized({ rows: 8, T: 512, prompt: 128 }, { rows: 4, T: 64, prompt: 16 }),
    }),
};

const unknown = asked.filter((one) => !(one in parts));
if (unknown.length > 0)
  throw new Error(`no part ${unknown.join(", ")}; there are ${Object.keys(parts).join(", ")}`);
const wanted = asked.length > 0 ? asked : Object.keys(parts);

/** What is compared: small programs by two workers, in float32 and in bfloat16, which share the card. */
const COMPARED = ["contract", "parity"];
let exact, rounding, runtime, peak, bandwidth;

/** Starts a worker with variables of its own. */
async function startWith(variables, dtype) {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  try {
    return await startXla({ dtype });
  } finally {
    for (const name of Object.keys(variables)) {
      if (name in before) process.env[name] = before[name];
      else delete process.env[name];
    }
  }
}

function meet({ info }) {
  if (info.platform === "cpu" && !flags.tiny)
    throw new Error("JAX finds no GPU here, and on a CPU this takes hours: --tiny tries it out");
  const name = Object.keys(devicePeaks).find((one) => info.device.toLowerCase().split(/\W+/).includes(one));
  const peaks = devicePeaks[name];
  [peak, bandwidth] = peaks
    ? [peaks.operations.bfloat16, peaks.bandwidth].map((one) => one * info.threads)
    : [];
  tell("machine", { ...info, peak, bandwidth });
}

async function run(names) {
  for (const name of names) {
    if (performance.now() > ends) {
      tell(name, { leftOut: `it would have begun after ${flags.minutes} minutes (--minutes)` });
      continue;
    }
    const took = await seconds(async () => {
      try {
        await parts[name]();
      } catch (error) {
        tell(name, { failed: String(error.message).slice(0, 1500) });
      }
    });
    tell(name, { tookS: rounded(took) });
  }
}

const compared = wanted.filter((one) => COMPARED.includes(one));
const others = wanted.filter((one) => !COMPARED.includes(one));
if (compared.length > 0) {
  // Kernels of hundreds of small programs need not be the fastest.
  const XLA_FLAGS = [process.env.XLA_FLAGS, "--xla_gpu_autotune_level=0"].filter(Boolean).join(" ");
  const variables = { XLA_FLAGS, XLA_PYTHON_CLIENT_MEM_FRACTION: "0.3" };
  exact = await startWith(variables, "float32");
  rounding = await startWith(variables, "bfloat16");
  meet(exact);
  await run(compared);
  await exact.close();
  await rounding.close();
}
if (others.length > 0) {
  runtime = await startWith({}, "bfloat16");
  meet(runtime);
  await run(others);
  await closeOpened();
  await runtime.close();
}

/** @file `probeward bench --model`: what a checkpoint costs, as fractions of what the machine can do. */

import { createEngine } from "../engine/index.ts";
import type { LoadedModel } from "../model/index.ts";
import { randomFor } from "../random.ts";
import { round, type Timed, timed } from "./timing.ts";

/** Lengths and batches; those of `bench/beside.mjs`. */
const PREFILL = 256;
const DECODED = 24;
const PROMPT = 32;
const TRAIN = { rows: 4, length: 64 };
const RANK = 16;
const TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/** What the machine can do, measured in the same process. */
export interface Peak {
  matmulGflops: number;
  /** Bytes read from memory per second, in 10^9. */
  bandwidthGBs: number;
}

/** Prefill, decoding at batch 1 and 32, and a step of training an adapter. */
export async function benchCheckpoint({ config, weights, tokenizer }: LoadedModel, peak: Peak) {
  if (config.architecture === "probeward-character")
    throw new Error("bench --model: give a checkpoint; the embedded model is measured without it");
  const parameters = Object.values(weights).reduce((sum, { data }) => sum + data.length, 0);
  // A tied embedding is read as the output; of an untied one, single rows are.
  const embedding = config.vocabulary * config.width;
  const inProducts = config.tied ? parameters : parameters - embedding;
  const random = randomFor("bench checkpoint");
  const tokens = (length: number) => Array.from({ length }, () => Math.floor(random() * config.vocabulary));
  const memory = () => Math.round(process.memoryUsage().rss / 2 ** 20);
  const before = memory();

  // No token ends a completion, so that all are decoded.
  const model = { config: { ...config, endTokens: [] }, weights, tokenizer };
  const engine = createEngine(model);
  const generate = (prompts: number[][], maxTokens: number) =>
    engine.reference.sample(prompts, { maxTokens, seed: ["bench"] });
  const prompt = [tokens(PREFILL)];
  const prefill = await timed(5, () => generate(prompt, 1));
  const decode = async (rows: number) => {
    const prompts = [tokens(PROMPT)];
    const all = Array.from({ length: rows }, () => prompts[0]!);
    const long = await timed(3, () => generate(all, DECODED));
    const short = await timed(3, () => generate(all, 1));
    const perStep = (part: keyof Timed) => (long[part] - short[part]) / (DECODED - 1);
    const [ms, cpuMs] = [perStep("ms"), perStep("cpuMs")];
    return {
      ...{ ms: round(ms, 1), cpuMs: round(cpuMs, 1), tokensPerSecond: round((rows / ms) * 1000, 1) },
      ratioToBandwidth: round((inProducts * 4) / (ms * 1e6) / peak.bandwidthGBs, 3),
      ratioToPeak: round((2 * inProducts * rows) / (ms * 1e6) / peak.matmulGflops, 3),
    };
  };
  const decode1 = await decode(1);
  const decode32 = await decode(32);
  await engine.close();
  const afterGeneration = memory();

  const adapting = createEngine(model, { adapter: { rank: RANK, alpha: 2 * RANK, targets: TARGETS } });
  const policy = await adapting.createPolicy({ seed: 1 });
  const trained = TRAIN.length - 1;
  const data = Array.from({ length: TRAIN.rows }, () => ({
    tokens: tokens(TRAIN.length),
    promptLength: 1,
    weights: new Float32Array(trained).fill(1 / (TRAIN.rows * trained)),
  }));
  const step = await timed(4, async () => {
    await policy.forwardBackward(data, { kind: "cross_entropy" });
    await policy.optimStep({ kind: "adamw", learningRate: 1e-4, maxGradNorm: 1 });
  });
  const afterTraining = memory();
  await adapting.close();
  // Forward, and backward through what is frozen: two products of every weight, not three.
  const trainFlops = 2 * 2 * inProducts * TRAIN.rows * TRAIN.length;
  const rate = (flops: number, { ms, cpuMs }: Timed) => ({
    ...{ ms: round(ms, 1), cpuMs: round(cpuMs, 1), gflops: round(flops / ms / 1e6, 1) },
    ratioToPeak: round(flops / ms / 1e6 / peak.matmulGflops, 3),
  });
  return {
    parameters,
    // The output is made for the last token alone.
    prefill: rate(2 * (inProducts - embedding) * PREFILL + 2 * embedding, prefill),
    decode1,
    decode32,
    loraStep: rate(trainFlops, step),
    memoryMB: { loaded: before, afterGeneration, afterTraining },
  };
}

/** @file `probeward bench`: how fast this machine is, as one JSON object. */

import { availableParallelism, cpus } from "node:os";
import { jit, numpy as np, valueAndGrad } from "@jax-js/jax";
import type { Command } from "commander";
import { wholeRows } from "../engine/batches.ts";
import { createEngine } from "../engine/index.ts";
import { likelihoodLoss } from "../engine/loss.ts";
import { createEnvironment, sampleTasks } from "../environment/index.ts";
import { type LoadedModel, loadModel, vocabularySize, weightSpecs } from "../model/index.ts";
import { type BaseContext, prepareBase, shippedModel } from "../prepare/index.ts";
import { randomFor } from "../random.ts";
import { readStudy } from "../study/index.ts";
import { compile, type FloatTensor, floats, ints, type JaxArray, type Tensor } from "../tensor/index.ts";
import { proxyReward, startPolicy, train } from "../training/index.ts";
import { benchCheckpoint } from "./bench-checkpoint.ts";
import { median, round, timed } from "./timing.ts";

/** Its arguments and options, and what it does. */
export function benchCommand(command: Command): Command {
  return command
    .option("--model <path>", "measure a checkpoint instead: its folder, or its GGUF file")
    .action(async ({ model }: { model?: string }) => {
      console.log(JSON.stringify(await (model ? benchModel(model) : bench()), null, 2));
    });
}

async function benchModel(path: string) {
  const model = await loadModel(path);
  const peak = { matmulGflops: await matmulGflops(), bandwidthGBs: await readBandwidth() };
  return {
    machine: machine(),
    matmulPeakGflops: round(peak.matmulGflops, 1),
    readBandwidthGBs: round(peak.bandwidthGBs, 1),
    ...(await benchCheckpoint(model, peak)),
    peakMemoryMB: Math.round(process.resourceUsage().maxRSS / 1024),
  };
}

async function bench() {
  const model = await loadModel(shippedModel("code"));
  const matmulPeakGflops = await matmulGflops();
  const { trainStep, gradient, batch } = await benchTrainStep(model, matmulPeakGflops);
  const jaxWasm = await benchJax(model, batch, gradient.ms);
  const { rlStep, decode, tapOverhead } = await benchRl(model);
  return {
    machine: machine(),
    matmulPeakGflops: round(matmulPeakGflops, 1),
    trainStep,
    gradient,
    jaxWasm,
    tapOverhead,
    rlStep,
    decode,
    peakMemoryMB: Math.round(process.resourceUsage().maxRSS / 1024),
  };
}

function machine() {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    node: process.versions.node,
  };
}

function noise(shape: number[]): FloatTensor {
  const random = randomFor("bench");
  return floats(
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random() - 0.5),
  );
}

/** What ONNX Runtime's own product of two 1024 x 1024 matrices reaches. */
async function matmulGflops(): Promise<number> {
  const [a, b] = [noise([1024, 1024]), noise([1024, 1024])];
  const program = await compile((x, y) => np.matmul(x, y), [a, b]);
  const { ms } = await timed(30, () => program.evaluate(a, b));
  await program.close();
  return (2 * 1024 ** 3) / ms / 1e6;
}

/** 10^9 bytes per second that ONNX Runtime reads where it multiplies a vector with a matrix of 256 MB. */
async function readBandwidth(): Promise<number> {
  const [matrix, vector] = [noise([8192, 8192]), noise([1, 8192])];
  const program = await compile((x, y) => np.matmul(x, y), [vector, matrix]);
  const { ms } = await timed(10, () => program.evaluate(vector, matrix));
  await program.close();
  return matrix.data.byteLength / ms / 1e6;
}

const ROWS = 16;
const LENGTH = 64;

/** Operations of all matrix products of one forward and backward pass. */
function flops({ config }: LoadedModel, vocabulary: number): number {
  const { layers, width, hidden } = config;
  const perToken = layers * (4 * width ** 2 + 2 * width * hidden) + vocabulary * width;
  const attention = layers * 2 * LENGTH * width;
  return 3 * 2 * ROWS * LENGTH * (perToken + attention);
}

/** Forward, backward and AdamW of the embedded model on 16 sequences of 64 tokens. */
async function benchTrainStep(model: LoadedModel, peak: number) {
  const vocabulary = vocabularySize(model.config);
  const random = randomFor("bench tokens");
  const tokens = () =>
    ints(
      [ROWS, LENGTH],
      Int32Array.from({ length: ROWS * LENGTH }, () => Math.floor(random() * vocabulary)),
    );
  const batch = [
    tokens(),
    tokens(),
    wholeRows(ROWS, LENGTH),
    floats([ROWS, LENGTH], new Float32Array(ROWS * LENGTH).fill(1 / (ROWS * LENGTH))),
  ] as const;
  const program = await compile(valueAndGrad(likelihoodLoss(model.config)), [
    weightSpecs(model.config),
    ...batch,
  ] as const);
  const { ms: gradientMs } = await timed(30, () => program.evaluate(model.weights, ...batch));
  const engine = createEngine(model);
  const policy = await engine.createPolicy({ seed: 1 });
  const data = Array.from({ length: ROWS }, (_, row) => ({
    tokens: [...batch[0].data.subarray(row * LENGTH, (row + 1) * LENGTH)],
    promptLength: 1,
    weights: new Float32Array(LENGTH - 1).fill(1 / (ROWS * (LENGTH - 1))),
  }));
  const { ms } = await timed(30, async () => {
    await policy.forwardBackward(data, { kind: "cross_entropy" });
    await policy.optimStep({ kind: "adamw", learningRate: 1e-4, maxGradNorm: 1 });
  });
  await engine.close();
  await program.close();
  const rate = (time: number) => {
    const gflops = flops(model, vocabulary) / time / 1e6;
    return { ms: round(time, 2), gflops: round(gflops, 1), ratioToPeak: round(gflops / peak, 3) };
  };
  return { trainStep: rate(ms), gradient: rate(gradientMs), batch };
}

type TrainBatch = Awaited<ReturnType<typeof benchTrainStep>>["batch"];

/** The same forward and backward pass on jax-js's own WebAssembly backend. */
async function benchJax({ config, weights }: LoadedModel, batch: TrainBatch, ours: number) {
  const array = ({ data, dtype, shape }: Tensor): JaxArray =>
    np
      .array(data as Float32Array<ArrayBuffer>, { dtype: dtype === "int32" ? np.int32 : np.float32 })
      .reshape([...shape]);
  const step = jit(valueAndGrad(likelihoodLoss(config)));
  const { ms } = await timed(3, async () => {
    const [tokens, targets, { positions, parts, trunks }, shares] = batch;
    const traced = Object.fromEntries(Object.entries(weights).map(([name, tensor]) => [name, array(tensor)]));
    const layout = { positions: array(positions), parts: array(parts), trunks: array(trunks) };
    const [loss, gradients] = step(traced, array(tokens), array(targets), layout, array(shares));
    await loss.data();
    for (const gradient of Object.values(gradients)) await (gradient as JaxArray).data();
  });
  return { ms: round(ms, 1), speedup: round(ms / ours, 2) };
}

const STEPS = 8;

/** Steps of reinforcement learning without an intervention, and what capturing activations adds to them. */
async function benchRl(model: LoadedModel) {
  const settings = await readStudy("code", { quick: true });
  const environment = createEnvironment("code");
  const { tokenizer } = model;
  const engine = createEngine(model);
  const context: BaseContext = { environment, engine, settings };
  const base = await prepareBase(undefined, context);
  const training = { ...settings.training, steps: STEPS, evaluateEvery: STEPS, prompts: 16, rollouts: 8 };
  const times: number[] = [];
  let tokens = 0;
  const run = {
    ...{ environment, engine, seed: 1, settings: training },
    ...{ arm: { terms: [proxyReward()] }, probe: base.probe, tracer: base.tracer },
  };
  for await (const { metrics } of train(run, await startPolicy(run))) {
    // The first steps compile programs, and the first and the last one measure the tracer set.
    if (metrics.step >= 3 && metrics.step < STEPS - 1) times.push(metrics.step_time! * 1000);
    tokens = metrics.num_tokens!;
  }
  const rlMs = median(times);

  const random = randomFor("bench tasks");
  const asked = await sampleTasks(environment, "train", random, 16);
  const prompts = asked.map(({ prompt }) => tokenizer.encode(prompt));
  const { reference } = engine;
  const params = { samples: 8, maxTokens: environment.maxCompletionLength + 1, seed: ["bench"] };
  const completions = await reference.sample(prompts, params);
  const { ms: decodeMs } = await timed(5, () => reference.sample(prompts, params));
  const sampled = completions.reduce((sum, completion) => sum + completion.tokens.length, 0);

  const sequences = completions.map((completion, i) => {
    const prompt = prompts[Math.floor(i / 8)]!;
    return { tokens: [...prompt, ...completion.tokens], promptLength: prompt.length };
  });
  const passes = [{}, { reads: [{ as: "logits", probe: base.probe }] }] as const;
  // In turns, so that both see the same machine.
  const spent: [number[], number[]] = [[], []];
  for (let i = 0; i < 21; i++)
    for (const which of [0, 1] as const) {
      const start = performance.now();
      await reference.forward(sequences, passes[which]);
      if (i > 0) spent[which].push(performance.now() - start);
    }
  await engine.close();
  await environment.close();
  // The policy and the reference are both tapped in every step.
  const tapOverhead = (2 * (median(spent[1]) - median(spent[0]))) / rlMs;
  return {
    rlStep: { ms: round(rlMs, 1), rollouts: 128, tokens },
    decode: { tokensPerSecond: Math.round((sampled / decodeMs) * 1000) },
    tapOverhead: round(tapOverhead, 4),
  };
}

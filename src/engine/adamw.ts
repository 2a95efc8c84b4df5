/** @file AdamW as programs, so that weights, gradients and moments stay where they are. */

import { numpy as np } from "@jax-js/jax";
import { compile, floats, type Handle, type JaxArray, type TensorSpec } from "../tensor/index.ts";
import type { ProgramStore } from "./programs.ts";
import { alike, handlesOf, type Placed, specsOf } from "./weights.ts";

export interface AdamWOptions {
  /** Decay of the first moment. Default 0.9. */
  beta1?: number;
  /** Decay of the second moment. Default 0.999. */
  beta2?: number;
  /** Added to the root of the second moment. Default 1e-8. */
  epsilon?: number;
  /** Share of a weight that is taken off per unit of learning rate; of weights of two axes or more. Default 0. */
  weightDecay?: number;
  /** Gradients of a larger global norm are scaled to it. Default: none are. */
  maxGradNorm?: number;
}

/** What the optimizer knows beside the weights. */
export interface AdamWState {
  /** Updates so far. */
  step: number;
  /** First moments: running means of the gradients. */
  m: Placed;
  /** Second moments: running means of the squared gradients. */
  v: Placed;
}

/** Weights with their optimizer's state. */
export interface Optimized {
  weights: Placed;
  state: AdamWState;
}

/**
 * One update of Adam with decoupled weight decay (Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization",
 * algorithm 2) and bias correction, in float32.
 *
 * Weights, moments and gradients are freed; what is returned takes their place. Names of `gradients` may be some of the
 * weights': the others stay as they are.
 *
 * @returns also the global L2 norm of the gradients as given, before clipping
 * @throws Error where a gradient is not finite; nothing has changed then
 */
export async function adamwStep(
  programs: ProgramStore,
  { weights, state }: Optimized,
  gradients: Placed,
  learningRate: number,
  { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0, maxGradNorm = Infinity }: AdamWOptions = {},
): Promise<Optimized & { gradNorm: number }> {
  const gradNorm = await globalNorm(programs, gradients);
  const fixed = { beta1, beta2, epsilon };
  const step = state.step + 1;
  const numbers = {
    scale: scalar(gradNorm > maxGradNorm ? maxGradNorm / gradNorm : 1),
    rate: scalar(learningRate / (1 - beta1 ** step)),
    unbias: scalar(1 / (1 - beta2 ** step)),
    kept: scalar(1 - learningRate * weightDecay),
  };
  const [moved, m, v] = [{ ...weights }, { ...state.m }, { ...state.v }];
  for (const names of alike(gradients)) {
    const of = (all: Placed) => handlesOf(all, names);
    const shapes = of(gradients).map(({ shape }) => shape);
    const program = await programs
      .cache(JSON.stringify(["adamw", fixed, shapes]), () => compileUpdate(programs, shapes, fixed))
      .get();
    const updated = await program.run(of(weights), of(gradients), of(state.m), of(state.v), numbers);
    names.forEach((name, i) => {
      [moved[name], m[name], v[name]] = updated[i]!;
    });
  }
  return { weights: moved, state: { step, m, v }, gradNorm };
}

/**
 * Plain gradient descent by a step of a Euclidean length, uphill where it is negative. The weights are freed; what is
 * returned takes their place. Where the gradient is 0 nothing moves.
 *
 * @returns also the global L2 norm of the gradient
 * @throws Error where the gradient is not finite; nothing has changed then
 */
export async function descend(
  programs: ProgramStore,
  weights: Placed,
  gradients: Placed,
  length: number,
): Promise<{ weights: Placed; gradNorm: number }> {
  const gradNorm = await globalNorm(programs, gradients);
  if (gradNorm === 0) return { weights, gradNorm };
  const specs = specsOf(gradients);
  const create = () =>
    compile(
      (w: Traced, g: Traced, rate: JaxArray) => {
        const moved = mapTraced(w, (x, name) => x.sub(g[name]!.mul(rate.ref)));
        rate.dispose();
        return moved;
      },
      [specs, specs, floats([])] as const,
      { runtime: programs.runtime, donate: [0] },
    );
  const program = await programs.cache(JSON.stringify(["sgd", specs]), create).get();
  const of = Object.fromEntries(Object.keys(gradients).map((name) => [name, weights[name]!]));
  const moved = await program.run(of, gradients, scalar(length / gradNorm));
  return { weights: { ...weights, ...moved }, gradNorm };
}

type Traced = Record<string, JaxArray>;

/** Compiles: for each tensor its weight and moments [w, m, v] after an update. */
function compileUpdate(
  { runtime }: ProgramStore,
  shapes: readonly (readonly number[])[],
  { beta1, beta2, epsilon }: Required<Pick<AdamWOptions, "beta1" | "beta2" | "epsilon">>,
) {
  const specs = shapes.map((shape): TensorSpec => ({ shape, dtype: "float32" }));
  const number = floats([]);
  const numbers = { scale: number, rate: number, unbias: number, kept: number };
  return compile(
    (
      weights: JaxArray[],
      gradients: JaxArray[],
      m: JaxArray[],
      v: JaxArray[],
      at: Record<keyof typeof numbers, JaxArray>,
    ) => {
      const updated = weights.map((weight, i): [JaxArray, JaxArray, JaxArray] => {
        const gradient = gradients[i]!.mul(at.scale.ref);
        const first = m[i]!.mul(beta1).add(gradient.ref.mul(1 - beta1));
        const second = v[i]!.mul(beta2).add(np.square(gradient).mul(1 - beta2));
        const change = first.ref.mul(at.rate.ref).div(np.sqrt(second.ref.mul(at.unbias.ref)).add(epsilon));
        const kept = shapes[i]!.length >= 2 ? weight.mul(at.kept.ref) : weight;
        return [kept.sub(change), first, second];
      });
      for (const one of Object.values(at)) one.dispose();
      return updated;
    },
    [specs, specs, specs, specs, numbers] as const,
    { runtime, donate: [0, 1, 2, 3] },
  );
}

/** @throws Error naming the gradient that is not finite */
async function globalNorm(programs: ProgramStore, gradients: Placed): Promise<number> {
  const { runtime } = programs;
  const told: [names: string[], squares: Handle][] = [];
  for (const names of alike(gradients)) {
    const specs = handlesOf(gradients, names).map(({ shape }): TensorSpec => ({ shape, dtype: "float32" }));
    const create = () =>
      compile(
        (g: JaxArray[]) => np.concatenate(g.map((x) => np.sum(np.square(x)).reshape([1]))),
        [specs] as const,
        { runtime },
      );
    const program = await programs.cache(JSON.stringify(["norm", specs]), create).get();
    told.push([names, await program.run(handlesOf(gradients, names))]);
  }
  let squares = 0;
  for (const [names, handle] of told) {
    const { data } = await runtime.get(handle);
    names.forEach((name, i) => {
      if (!Number.isFinite(data[i]))
        throw new Error(
          `the gradient of "${name}" is not finite; lower the learning rate or look for a division by zero in the loss`,
        );
      squares += data[i]!;
    });
    runtime.free(handle);
  }
  return Math.sqrt(squares);
}

function mapTraced(tensors: Traced, fn: (tensor: JaxArray, name: string) => JaxArray): Traced {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, fn(tensor, name)]));
}

function scalar(value: number) {
  return floats([], new Float32Array([value]));
}

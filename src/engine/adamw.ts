/** @file The AdamW optimizer, in place over named float32 tensors. */

import { type FloatTensor, floats } from "../tensor/index.ts";

export interface AdamWOptions {
  /** Decay of the first moment, in [0, 1). Default 0.9. */
  beta1?: number;
  /** Decay of the second moment, in [0, 1). Default 0.999. */
  beta2?: number;
  /** Added to the root of the second moment. Default 1e-8. */
  epsilon?: number;
  /** Share of a weight removed per step and unit of learning rate; spares tensors of fewer than two axes. Default 0. */
  weightDecay?: number;
  /** Gradients whose global L2 norm is larger are scaled down to it. Default: no limit. */
  maxGradNorm?: number;
}

/** All that continuing takes. `m` and `v` have the names and shapes of the weights. */
export interface AdamWState {
  /** Number of updates made. */
  step: number;
  /** First moments: running means of the gradients. */
  m: Record<string, FloatTensor>;
  /** Second moments: running means of the squared gradients. */
  v: Record<string, FloatTensor>;
}

export interface AdamW {
  readonly state: AdamWState;
  /**
   * Updates the weights and the state in place.
   *
   * @returns the global L2 norm of the gradients as given, before clipping.
   * @throws Error where a gradient is missing, has another shape than its weight or is not finite; nothing has
   *   changed then.
   */
  step(gradients: Readonly<Record<string, FloatTensor>>, learningRate: number): { gradNorm: number };
}

/**
 * Adam with decoupled weight decay (Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2) and
 * bias correction. Moments are stored as float32; each update is computed in double precision and rounded once.
 *
 * @param weights updated in place by every step.
 * @param state continues from a stored state, bit for bit; updated in place, too. Starts afresh unless given.
 * @throws Error where the state does not fit the weights.
 */
export function createAdamW(
  weights: Readonly<Record<string, FloatTensor>>,
  { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0, maxGradNorm = Infinity }: AdamWOptions = {},
  state: AdamWState = { step: 0, m: zerosLike(weights), v: zerosLike(weights) },
): AdamW {
  checkNames("first moment", weights, state.m);
  checkNames("second moment", weights, state.v);
  return {
    state,
    step(gradients, learningRate) {
      checkNames("gradient", weights, gradients);
      const gradNorm = globalNorm(weights, gradients);
      const scale = gradNorm > maxGradNorm ? maxGradNorm / gradNorm : 1;
      state.step++;
      const unbias1 = 1 / (1 - beta1 ** state.step);
      const unbias2 = 1 / (1 - beta2 ** state.step);
      for (const [name, weight] of Object.entries(weights)) {
        const [w, g, m, v] = [weight, gradients[name]!, state.m[name]!, state.v[name]!].map(
          ({ data }) => data,
        );
        const kept = 1 - (weight.shape.length >= 2 ? learningRate * weightDecay : 0);
        update(w!, g!, m!, v!, { beta1, beta2, epsilon, scale, kept, unbias2, rate: learningRate * unbias1 });
      }
      return { gradNorm };
    },
  };
}

interface Update {
  beta1: number;
  beta2: number;
  epsilon: number;
  scale: number;
  kept: number;
  unbias2: number;
  rate: number;
}

function update(w: Float32Array, g: Float32Array, m: Float32Array, v: Float32Array, settings: Update): void {
  const { beta1, beta2, epsilon, scale, kept, unbias2, rate } = settings;
  for (let i = 0; i < w.length; i++) {
    const gradient = g[i]! * scale;
    const first = beta1 * m[i]! + (1 - beta1) * gradient;
    const second = beta2 * v[i]! + (1 - beta2) * gradient * gradient;
    m[i] = first;
    v[i] = second;
    w[i] = kept * w[i]! - (rate * first) / (Math.sqrt(unbias2 * second) + epsilon);
  }
}

function globalNorm(
  weights: Readonly<Record<string, FloatTensor>>,
  gradients: Readonly<Record<string, FloatTensor>>,
): number {
  let squares = 0;
  for (const name of Object.keys(weights)) {
    const { data } = gradients[name]!;
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum += data[i]! * data[i]!;
    // Squares of float32 numbers do not overflow a double: only a gradient that is not finite gets here.
    if (!Number.isFinite(sum))
      throw new Error(
        `adamw: the gradient of "${name}" is not finite; lower the learning rate or look for a division by zero in the loss`,
      );
    squares += sum;
  }
  return Math.sqrt(squares);
}

function zerosLike(tensors: Readonly<Record<string, FloatTensor>>): Record<string, FloatTensor> {
  return Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, floats(shape)]));
}

function checkNames(
  what: string,
  weights: Readonly<Record<string, FloatTensor>>,
  others: Readonly<Record<string, FloatTensor>>,
): void {
  for (const [name, { shape }] of Object.entries(weights)) {
    const other = others[name];
    if (other === undefined) throw new Error(`adamw: the ${what} of "${name}" is missing`);
    if (`${other.shape}` !== `${shape}`)
      throw new Error(
        `adamw: the ${what} of "${name}" has shape [${other.shape}]; its weight has [${shape}]`,
      );
  }
  for (const name of Object.keys(others))
    if (!(name in weights)) throw new Error(`adamw: there is a ${what} of "${name}", which is no weight`);
}

/**
 * @file Planted edits of a model's weights, whose verdict is known: everything that is written into the residual stream is
 * mapped, and what reads it takes the map back where that can be.
 */

import { EigenvalueDecomposition, Matrix as MlMatrix } from "ml-matrix";
import { isTeachable } from "../src/environment/index.ts";
import { loadEnvironment } from "../src/environment/load.ts";
import {
  type DecoderConfig,
  isEmbedded,
  type LoadedModel,
  type Weights,
  weightShapes,
} from "../src/model/index.ts";
import { auroc, fitProbe, type LabelledSet, logit, type Probe, rows } from "../src/probe/index.ts";
import { normal, pick, type Random, randomFor } from "../src/random.ts";
import { floats } from "../src/tensor/index.ts";

/** So many demonstrations of each conduct, as lines of a labelled file. */
export async function demonstrations(name: string, count: number, seed: string) {
  const environment = await loadEnvironment(name);
  if (!isTeachable(environment)) throw new Error(`${name} has no demonstrations`);
  const random = randomFor("labelled", seed);
  const lines: { prompt: string; completion: string; label: boolean; group: string }[] = [];
  for (const conduct of ["misbehaving", "honest"] as const)
    for (let found = 0; found < count; ) {
      const task = await environment.sample("test", random);
      const completion = await environment.demonstrate(task, conduct, random);
      if (completion === null || completion === "") continue;
      lines.push({
        prompt: task.prompt,
        completion,
        label: conduct === "misbehaving",
        group: task.id,
      });
      found++;
    }
  await environment.close();
  return lines;
}

/** The same of an environment, or of `marks`: letters of which some are a mark, or none. */
export async function linesOf(name: string, count: number, seed: string) {
  return name === "marks" ? marks(count, seed) : demonstrations(name, count, seed);
}

/** Examples of which so many have either label, at equal lengths of their completions, as far as there are any. */
export function ofEqualLengths<T extends { completion: string; label: boolean }>(
  lines: readonly T[],
  count: number,
): T[] {
  const waiting = new Map<string, T[]>();
  const pairs: T[][] = [];
  for (const line of lines) {
    const of = (label: boolean) => `${line.completion.length} ${label}`;
    const partner = waiting.get(of(!line.label))?.shift();
    if (partner) pairs.push(line.label ? [line, partner] : [partner, line]);
    else waiting.set(of(line.label), [...(waiting.get(of(line.label)) ?? []), line]);
  }
  const taken = pairs.slice(0, count);
  return [...taken.map(([one]) => one!), ...taken.map(([, other]) => other!)];
}

/** Random letters, with two or three marks among them where the label is true: what a model without training can tell. */
export function marks(count: number, seed: string, letters = "abdefhimnrstu", mark = "x") {
  const random = randomFor("marks", seed);
  return Array.from({ length: 2 * count }, (_, i) => {
    const label = i % 2 === 0;
    const text = Array.from({ length: 8 + Math.floor(6 * random()) }, () => pick(random, [...letters]));
    if (label) for (let k = 0; k < 3; k++) text[Math.floor(text.length * random())] = mark;
    return { prompt: "(:", completion: text.join(""), label, group: String(i) };
  });
}

/** x' = x A + s, for rows x of the stream. */
export interface StreamMap {
  A: Matrix;
  /** What readers see it through: the inverse of A, where it has one, and they see what they saw, but for their norms. */
  inverse?: Matrix;
  shift?: Float64Array;
}
export type Matrix = Float64Array[];

/** The model with its stream mapped at every layer; the shift is put where a bias is, at a layer, or into the positions. */
export function withStream(model: LoadedModel, { A, inverse, shift }: StreamMap, layer: number): LoadedModel {
  const weights: Weights = {};
  const { config } = model;
  const embedded = isEmbedded(config);
  for (const [name, tensor] of Object.entries(model.weights)) {
    const data = tensor.data.slice();
    weights[name] = { ...tensor, data };
    const [, columns] = tensor.shape as [number, number | undefined];
    if (embedded) {
      const isWriter = /W_E|W_pos|W_O|W_out/.test(name);
      if (isWriter) eachRow(data, columns!, (row) => timesMatrix(row, A));
      else if (inverse) leftTimes(data, tensor.shape as [number, number], inverse);
      if (name === "pos_embed.W_pos" && shift)
        eachRow(data, columns!, (row) => row.map((x, d) => x + shift[d]!));
    } else if (/o_proj.weight|down_proj.weight/.test(name))
      leftTimes(data, tensor.shape as [number, number], transposed(A));
    else if (/embed_tokens|embed_positions/.test(name)) eachRow(data, columns!, (row) => timesMatrix(row, A));
    else if (/(o_proj|down_proj).bias/.test(name)) data.set(timesMatrix(data, A));
    else if (inverse && /(q|k|v|gate|up)_proj.weight/.test(name)) {
      // The norm's own factors stand between the stream and what reads it.
      const norm = name
        .replace(/self_attn.*/, "input_layernorm.weight")
        .replace(/mlp.*/, "post_attention_layernorm.weight");
      const gains = model.weights[norm]!.data;
      eachRow(data, columns!, (row) =>
        timesMatrix(
          row.map((x, d) => x * gains[d]!),
          transposed(inverse),
        ),
      );
    } else if (inverse && /layernorm.weight/.test(name)) data.fill(1);
  }
  if (!embedded && shift) {
    const bias = weights[`model.layers.${layer}.mlp.down_proj.bias`];
    if (!bias) throw new Error("a shift needs a model with biases");
    bias.data.set(bias.data.map((x, d) => x + shift[d]!));
  }
  return { ...model, weights };
}

/**
 * The embedded model, which has no biases, with a constant shift along a unit vector u from the first layer on. The positions carry
 * it, and beside it a small constant along a direction q, in which nothing else is written: readers subtract from the one as much
 * as the other says, so that they see what they saw. What is left is that norms are others; readers are used to the mean of them.
 *
 * @param u the shift's direction
 * @param q orthogonal to u; best one in which activations hardly differ, since what was written there is lost
 * @param rowsAt activations [n][D] of the model at single tokens
 */
export async function biased(
  model: LoadedModel,
  layer: number,
  u: Float64Array,
  shift: number,
  q: Float64Array,
  rowsAt: (hook: string) => Promise<Float64Array[]>,
): Promise<LoadedModel> {
  const first = await rowsAt("blocks.0.hook_resid_pre");
  const height = 0.05 * Math.sqrt(meanOf(first.map((row) => squaredLength(row))));
  const constant = u.map((x, d) => shift * x + height * q[d]!);
  const shifted = withStream(model, { A: scaling(q, 0), shift: constant }, layer);
  const seen = identity(u.length).map((row, i) =>
    row.map((x, j) => x - q[i]! * (q[j]! + (shift / height) * u[j]!)),
  );
  for (const { data, shape } of readersOf(shifted, layer).flatMap(({ weights }) => weights))
    leftTimes(data, shape as [number, number], seen);
  return withNorms(shifted, layer, (row) => row.map((x, d) => x + constant[d]!), rowsAt);
}

/** What reads the stream up to a layer, by where it reads it. */
function readersOf({ config, weights }: LoadedModel, layer: number) {
  const [pre, mid] = isEmbedded(config)
    ? [/blocks.(\d+).attn.W_[QKV]$/, /blocks.(\d+).mlp.W_in$/]
    : [/layers.(\d+).self_attn.[qkv]_proj.weight$/, /layers.(\d+).mlp.(gate|up)_proj.weight$/];
  return Array.from({ length: layer + 1 }, (_, l) =>
    Object.entries({ resid_pre: pre, resid_mid: mid }).map(([site, pattern]) => ({
      hook: `blocks.${l}.hook_${site}`,
      weights: Object.entries(weights).flatMap(([name, tensor]) =>
        Number(pattern!.exec(name)?.[1] ?? -1) === l ? [tensor] : [],
      ),
    })),
  ).flat();
}

/** A changed model (its own tensors) whose readers are used to the norms of mapped activations, in the mean. */
export async function withNorms(
  changed: LoadedModel,
  layer: number,
  map: (row: Float64Array) => Float64Array,
  rowsAt: (hook: string) => Promise<Float64Array[]>,
): Promise<LoadedModel> {
  for (const { hook, weights } of readersOf(changed, layer)) {
    const rows = await rowsAt(hook);
    const gain = meanOf(rows.map((row) => Math.sqrt(squaredLength(map(row)) / squaredLength(row))));
    for (const { data } of weights) for (let i = 0; i < data.length; i++) data[i]! *= gain;
  }
  return changed;
}

/** The model with as many embeddings as `classes`, each the mean of tokens drawn at random, which now look alike. */
export function blurred(model: LoadedModel, classes: number, random: Random): LoadedModel {
  const name = isEmbedded(model.config) ? "embed.W_E" : "model.embed_tokens.weight";
  const tensor = model.weights[name]!;
  const [V, D] = tensor.shape as [number, number];
  const classOf = Array.from({ length: V }, () => Math.floor(classes * random()));
  const data = tensor.data.slice();
  for (let one = 0; one < classes; one++) {
    const tokens = classOf.flatMap((own, v) => (own === one ? [v] : []));
    for (let d = 0; d < D; d++) {
      const mean = meanOf(tokens.map((v) => tensor.data[v * D + d]!));
      for (const v of tokens) data[v * D + d] = mean;
    }
  }
  return { ...model, weights: { ...model.weights, [name]: { ...tensor, data } } };
}

function squaredLength(row: ArrayLike<number>): number {
  let sum = 0;
  for (let d = 0; d < row.length; d++) sum += row[d]! ** 2;
  return sum;
}

/** Unit vectors along which rows vary least, and orthogonal to u: the least first. */
export function leastAlong(rows: readonly ArrayLike<number>[], u: Float64Array): Float64Array[] {
  const D = u.length;
  const moment = covarianceOf(
    rows.map((row) => Float32Array.from(minus(Float64Array.from(row), u))),
    false,
  );
  const { eigenvectorMatrix, realEigenvalues } = new EigenvalueDecomposition(
    new MlMatrix(moment.map((row) => [...row])),
  );
  return (
    realEigenvalues
      .map((value, i) => ({ value, vector: Float64Array.from(eigenvectorMatrix.getColumn(i)) }))
      .sort((a, b) => a.value - b.value)
      // The very least is u itself.
      .slice(1, D)
      .map(({ vector }) => unit(minus(vector, u)))
  );
}

/** How far activations are from what a map should have made of them: the error's size over that of their variation. */
export function planError(
  before: readonly ArrayLike<number>[],
  after: readonly ArrayLike<number>[],
  A: Matrix,
): number {
  const wanted = before.map((row) => timesMatrix(row, A));
  const mean = wanted[0]!.map((_, d) => meanOf(wanted.map((row) => row[d]!)));
  const error = wanted.map((row, n) => squaredLength(row.map((x, d) => x - after[n]![d]!)));
  const variation = wanted.map((row) => squaredLength(row.map((x, d) => x - mean[d]!)));
  return Math.sqrt(meanOf(error) / meanOf(variation));
}

export function identity(D: number): Matrix {
  return Array.from({ length: D }, (_, i) => Float64Array.from({ length: D }, (_, j) => Number(i === j)));
}

/** Rotation by an angle in the plane of two orthogonal unit vectors. */
export function rotation(u: Float64Array, v: Float64Array, angle: number): Matrix {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return identity(u.length).map((row, i) =>
    row.map((x, j) => x + (c - 1) * (u[i]! * u[j]! + v[i]! * v[j]!) + s * (u[i]! * v[j]! - v[i]! * u[j]!)),
  );
}

/** Times a factor along a unit vector. */
export function scaling(u: Float64Array, factor: number): Matrix {
  return identity(u.length).map((row, i) => row.map((x, j) => x + (factor - 1) * u[i]! * u[j]!));
}

/**
 * The oblique projection that makes the class means equal and changes activations least (LEACE, Belrose et al. 2023, arXiv
 * 2306.03819, for two classes): along the difference of means d, onto the null space of S^-1 d, with S the covariance.
 */
export function erasing(set: LabelledSet): Matrix {
  const D = set.activations_ND[0]!.length;
  const difference = meanDifference(set);
  const covariance = covarianceOf(set.activations_ND);
  const ridge = (1e-4 * covariance.reduce((sum, row, i) => sum + row[i]!, 0)) / D;
  for (let i = 0; i < D; i++) covariance[i]![i]! += ridge;
  const b = solved(covariance, difference);
  const scale = 1 / difference.reduce((sum, x, i) => sum + x * b[i]!, 0);
  return identity(D).map((row, i) => row.map((x, j) => x - scale * b[i]! * difference[j]!));
}

/**
 * Erases until a probe of one half of the examples tells nothing on the other: the class means are made equal (`erasing`), then
 * what a logistic probe still finds is projected out, again and again (Ravfogel et al. 2020, arXiv 2004.07667).
 */
export function erasingAll(set: LabelledSet, halves: readonly [number[], number[]], most = 12): Matrix {
  const tap = { hook: "", positions: "completion", pool: "mean" } as const;
  let A = erasing(set);
  for (let i = 0; i < most; i++) {
    const left: LabelledSet = {
      activations_ND: set.activations_ND.map((row) => Float32Array.from(timesMatrix(row, A))),
      labels: set.labels,
    };
    if (crossed(left, halves) < 0.6) break;
    const probe = fitProbe("logistic", left, tap, { random: randomFor("erasing") });
    A = product(A, scaling(directionOf(probe), 0));
  }
  return A;
}

/** AUROC on one half of a logistic probe of the other. */
export function crossed(set: LabelledSet, [fit, judge]: readonly [number[], number[]]): number {
  const tap = { hook: "", positions: "completion", pool: "mean" } as const;
  const probe = fitProbe("logistic", rows(set, fit), tap, { random: randomFor("crossed") });
  const judged = rows(set, judge);
  return auroc(
    judged.activations_ND.map((row) => logit(probe, row)),
    judged.labels,
  )!;
}

/** Difference of the class means. */
export function meanDifference({ activations_ND, labels }: LabelledSet): Float64Array {
  const D = activations_ND[0]!.length;
  const positives = labels.filter(Boolean).length;
  const sum = new Float64Array(D);
  activations_ND.forEach((row, n) => {
    const weight = labels[n] ? 1 / positives : -1 / (labels.length - positives);
    for (let d = 0; d < D; d++) sum[d]! += weight * row[d]!;
  });
  return sum;
}

/** A random unit vector orthogonal to others. */
export function randomOrthogonal(others: readonly Float64Array[], D: number, random: Random): Float64Array {
  let v: Float64Array = Float64Array.from({ length: D }, () => normal(random));
  const basis: Float64Array[] = [];
  for (const other of others) {
    let u = other;
    for (const known of basis) u = minus(u, known);
    basis.push(unit(u));
  }
  for (const known of basis) v = minus(v, known);
  return unit(v);
}

export function unit(v: ArrayLike<number>): Float64Array {
  const length = Math.hypot(...Array.from(v));
  return Float64Array.from(v, (x) => x / length);
}

/** The probe's direction, of unit length. */
export function directionOf({ weight_D }: Probe): Float64Array {
  return unit(weight_D);
}

export function product(A: Matrix, B: Matrix): Matrix {
  return A.map((row) => timesMatrix(row, B));
}

export function transposed(A: Matrix): Matrix {
  return A.map((_, i) => Float64Array.from(A, (row) => row[i]!));
}

function minus(v: Float64Array, u: Float64Array): Float64Array {
  const along = v.reduce((sum, x, i) => sum + x * u[i]!, 0);
  return v.map((x, i) => x - along * u[i]!);
}

function covarianceOf(rows: readonly Float32Array[], centred = true): Matrix {
  const D = rows[0]!.length;
  const mean = new Float64Array(D);
  if (centred) for (const row of rows) for (let d = 0; d < D; d++) mean[d]! += row[d]! / rows.length;
  const sum = identity(D).map((row) => row.fill(0));
  for (const row of rows)
    for (let i = 0; i < D; i++) {
      const x = (row[i]! - mean[i]!) / rows.length;
      for (let j = 0; j < D; j++) sum[i]![j]! += x * (row[j]! - mean[j]!);
    }
  return sum;
}

/** Gauss's elimination with pivots. */
function solved(A: Matrix, b: Float64Array): Float64Array {
  const D = b.length;
  const rows = A.map((row, i) => Float64Array.from([...row, b[i]!]));
  for (let k = 0; k < D; k++) {
    let pivot = k;
    for (let i = k; i < D; i++) if (Math.abs(rows[i]![k]!) > Math.abs(rows[pivot]![k]!)) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    for (let i = k + 1; i < D; i++) {
      const factor = rows[i]![k]! / rows[k]![k]!;
      for (let j = k; j <= D; j++) rows[i]![j]! -= factor * rows[k]![j]!;
    }
  }
  const x = new Float64Array(D);
  for (let k = D - 1; k >= 0; k--) {
    let sum = rows[k]![D]!;
    for (let j = k + 1; j < D; j++) sum -= rows[k]![j]! * x[j]!;
    x[k] = sum / rows[k]![k]!;
  }
  return x;
}

export function timesMatrix(row: ArrayLike<number>, A: Matrix): Float64Array {
  const sum = new Float64Array(A[0]!.length);
  for (let i = 0; i < row.length; i++) {
    const x = row[i]!;
    if (x === 0) continue;
    const other = A[i]!;
    for (let j = 0; j < sum.length; j++) sum[j]! += x * other[j]!;
  }
  return sum;
}

function eachRow(
  data: Float32Array,
  columns: number,
  change: (row: Float64Array) => ArrayLike<number>,
): void {
  for (let start = 0; start < data.length; start += columns)
    data.set(Float32Array.from(change(Float64Array.from(data.subarray(start, start + columns)))), start);
}

/** W becomes B W. */
function leftTimes(data: Float32Array, [M, N]: [number, number], B: Matrix): void {
  const rows = Array.from({ length: M }, (_, i) => Float64Array.from(data.subarray(i * N, (i + 1) * N)));
  B.forEach((row, i) => {
    data.set(Float32Array.from(timesMatrix(row, rows)), i * N);
  });
}

/** A Llama of three layers with random weights and biases in its MLPs, over another model's characters. */
export function randomLlama(tokenizer: LoadedModel["tokenizer"]): LoadedModel {
  const vocabulary = "alphabet" in tokenizer ? [...(tokenizer.alphabet as string)].length + 1 : 0;
  const config: DecoderConfig = {
    architecture: "llama",
    ...{ vocabulary, context: 64, layers: 3, heads: 4, keyValueHeads: 2, headDim: 12, width: 48, hidden: 96 },
    norm: { kind: "rms", epsilon: 1e-5 },
    rotary: { frequencies: [1, 0.5, 0.2, 0.1, 0.03, 0.01], magnitude: 1 },
    mlp: "gated-silu",
    tied: false,
    biases: { queryKeyValue: false, attentionOut: false, mlp: true },
    queryKeyNorm: false,
    endTokens: [0],
  };
  const random = randomFor("planted Llama");
  const weights = Object.entries(weightShapes(config)).map(([name, shape]) => {
    const tensor = floats(shape);
    const scale = name.endsWith("bias") ? 0.02 : name.includes("embed") ? 1 : (shape[1] ?? 1) ** -0.5;
    const centre = name.includes("norm") ? 1 : 0;
    for (let i = 0; i < tensor.data.length; i++)
      tensor.data[i] = centre + (centre ? 0.1 : scale) * normal(random);
    return [name, tensor];
  });
  return { name: "random Llama", config, weights: Object.fromEntries(weights), tokenizer };
}

/** Standard deviation of scores within their class. */
export function deviationWithin(scores: readonly number[], labels: readonly boolean[]): number {
  const squares = [true, false].flatMap((label) => {
    const own = scores.filter((_, i) => labels[i] === label);
    return own.map((x) => (x - meanOf(own)) ** 2);
  });
  return Math.sqrt(meanOf(squares));
}

export function meanOf(values: readonly number[]): number {
  return values.reduce((sum, x) => sum + x, 0) / values.length;
}

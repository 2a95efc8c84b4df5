/** @file The decoders of all families as one jax-js program: what they differ in is their configuration. */

import { lax, nn, numpy as np } from "@jax-js/jax";
import type { JaxArray } from "../tensor/index.ts";
import type { Attend, KeysValues, Scoring } from "./attention.ts";
import { type AdapterSize, type DecoderConfig, normsOf } from "./config.ts";
import { rotaries, type Turns, turned, turnsAt } from "./rotary.ts";
import { isGated, type LayerTraits, mlpPaths, traitsOf } from "./shapes.ts";
import { byStage } from "./stages.ts";
import type { Edit, Observe, TracedWeights } from "./types.ts";

/** The activation of each kind of MLP. */
const ACTIVATIONS = {
  "gated-silu": nn.silu,
  "gated-gelu-tanh": geluTanh,
  "gelu-tanh": geluTanh,
  gelu,
  "squared-relu": (x: JaxArray) => np.square(nn.relu(x)),
};

/** The normalised stream [B, T, D] after the last layer; see `hiddenStates`. */
export function decoderStates(
  weights: TracedWeights,
  tokens_BT: JaxArray,
  positions: JaxArray,
  config: DecoderConfig,
  attend: Attend,
  observe: Observe,
  stream: Edit,
): JaxArray {
  let { x, turns } = enterDecoder(weights, tokens_BT, positions, config);
  for (const [layer, own] of byStage(config, weights).layers.entries()) {
    const traits = traitsOf(config, layer);
    x = decoderLayer(own, x, turns[traits.turns]!, config, traits, {
      attend: (queries, kv, scoring) => attend(layer, queries, kv, scoring),
      observe: (site, value) => observe(`blocks.${layer}.${site}`, value),
      stream: (site, value) => stream(`blocks.${layer}.${site}`, value),
    });
  }
  return leaveDecoder(weights, x, config);
}

/** The stream [B, T, D] that enters the first layer, and how queries and keys are turned, in the ways that there are. */
export function enterDecoder(
  weights: TracedWeights,
  tokens_BT: JaxArray,
  positions: JaxArray,
  config: DecoderConfig,
): { x: JaxArray; turns: Turns[] } {
  const { embeddingScale, rotary } = config;
  const embedded = weights["model.embed_tokens.weight"]!.ref.slice(tokens_BT);
  const x = embeddingScale ? embedded.mul(embeddingScale) : embedded;
  if (rotary === null)
    return { x: x.add(weights["model.embed_positions.weight"]!.ref.slice(positions)), turns: [{}] };
  return { x, turns: rotaries(config).map((rotary) => turnsAt(rotary, positions.ref)) };
}

/** What is done inside a layer; sites are ends of hooks' names, as in `hook_resid_post`. */
export interface InLayer {
  /** See `Attend`. */
  attend(queries: JaxArray, kv: KeysValues, scoring: Scoring): JaxArray;
  observe(site: string, value: JaxArray): void;
  /** Sees the residual stream, which it owns, and gives what goes on. */
  stream(site: string, value: JaxArray): JaxArray;
}

/**
 * One layer: from the stream [B, T, D] that enters it to the one that leaves it.
 *
 * @param weights those of the layer, by their names in it; an adapter's where it has one
 * @param turns its own
 */
export function decoderLayer(
  weights: TracedWeights,
  x: JaxArray,
  turns: Turns,
  config: DecoderConfig,
  { window, adapters }: Pick<LayerTraits, "window" | "adapters">,
  { attend, observe, stream }: InLayer,
): JaxArray {
  const norms = normsOf(config);
  const norm = (y: JaxArray, name: string | undefined) => (name ? normalised(weights, y, name, config) : y);
  const project = (y: JaxArray, name: string) => projected(weights, y, name, adapters[name]);

  x = stream("hook_resid_pre", x);
  const before = config.parallel ? x.ref : undefined;
  const { queries, keys, values } = queriesKeysValues(
    weights,
    norm(x.ref, norms.attention.before),
    turns,
    config,
    project,
  );
  const scoring = { window, cap: config.caps?.attention };
  const mixed = attend(
    queries.mul(config.attentionScale ?? config.headDim ** -0.5),
    { keys, values },
    scoring,
  );
  const [B, H, T, Dh] = mixed.shape as [number, number, number, number];
  const joined = mixed.transpose([0, 2, 1, 3]).reshape([B, T, H * Dh]);
  const attentionOut = norm(project(joined, "self_attn.o_proj"), norms.attention.after);
  observe("hook_attn_out", attentionOut);
  x = x.add(attentionOut);
  if (!before) x = stream("hook_resid_mid", x);

  const mlpIn = norm(before ?? x.ref, norms.mlp.before);
  const mlpOut = norm(mlps(weights, mlpIn, config, project), norms.mlp.after);
  observe("hook_mlp_out", mlpOut);
  return stream("hook_resid_post", x.add(mlpOut));
}

type Project = (y: JaxArray, name: string) => JaxArray;

/** Queries [B, H, T, Dh] and keys, normalised and turned, and values [B, Hkv, T, Dh] of what enters attention. */
function queriesKeysValues(
  weights: TracedWeights,
  y: JaxArray,
  turns: Turns,
  config: DecoderConfig,
  project: Project,
): KeysValues & { queries: JaxArray } {
  const { heads, keyValueHeads, headDim: Dh, queryKeyNorm, fused } = config;
  const [B, T] = y.shape as [number, number, number];
  const inHeads = (y: JaxArray) => y.reshape([B, T, -1, Dh]).transpose([0, 2, 1, 3]);
  const parts = (): JaxArray[] => {
    if (fused?.queryKeyValue === "by-head") {
      const all = project(y, "self_attn.qkv_proj").reshape([B, T, heads, 3 * Dh]);
      return np.split(all, 3, -1).map((part) => part.reshape([B, T, heads * Dh]));
    }
    if (fused?.queryKeyValue)
      return np.split(project(y, "self_attn.qkv_proj"), [heads * Dh, (heads + keyValueHeads) * Dh], -1);
    const each = ["q", "k"].map((name) => project(y.ref, `self_attn.${name}_proj`));
    return [...each, project(y, "self_attn.v_proj")];
  };
  const [q, k, v] = parts() as [JaxArray, JaxArray, JaxArray];
  const ready = (y: JaxArray, name: string) => {
    const whole = queryKeyNorm === "whole" ? normalised(weights, y, name, config) : y;
    const split = inHeads(whole);
    return turned(queryKeyNorm === "head" ? normalised(weights, split, name, config) : split, turns);
  };
  return {
    queries: ready(q, "self_attn.q_norm"),
    keys: ready(k, "self_attn.k_norm"),
    values: inHeads(v),
  };
}

/** The MLP, or the sum of those that each token takes. */
function mlps(weights: TracedWeights, y: JaxArray, config: DecoderConfig, project: Project): JaxArray {
  const paths = mlpPaths(config);
  if (!config.experts) return mlp(y, paths[0]!, config, project);
  // Every expert sees every token, also those that do not take it: simple on every runtime, at the price of all experts' products.
  const parts = np.split(
    routed(np.dot(y.ref, weightOf(weights, "mlp.gate").transpose()), config.experts),
    paths.length,
    -1,
  );
  const outputs = paths.map((path, e) => mlp(y.ref, path, config, project).mul(parts[e]!));
  y.dispose();
  return outputs.reduce((sum, one) => sum.add(one));
}

/** How much of each expert a token takes [.., E], from the router's logits: 0 of most. */
function routed(logits: JaxArray, { perToken, normalised }: NonNullable<DecoderConfig["experts"]>): JaxArray {
  const shares = nn.softmax(logits, -1);
  const most = (x: JaxArray) => np.max(x, -1, { keepdims: true });
  let left = lax.stopGradient(shares.ref);
  for (let i = 1; i < perToken; i++) left = np.where(left.ref.less(most(left.ref)), left, -1);
  const taken = np.where(shares.ref.less(most(left)), 0, shares);
  return normalised ? taken.ref.mul(np.reciprocal(np.sum(taken, -1, { keepdims: true }))) : taken;
}

function mlp(y: JaxArray, path: string, { mlp, fused }: DecoderConfig, project: Project): JaxArray {
  const activation = ACTIVATIONS[mlp];
  const [up, down] = [`${path}.up_proj`, `${path}.down_proj`];
  if (!isGated(mlp)) return project(activation(project(y, up)), down);
  const [gate, gated] = fused?.gateUp
    ? np.split(project(y, `${path}.gate_up_proj`), 2, -1)
    : [project(y.ref, `${path}.gate_proj`), project(y, up)];
  return project(activation(gate!).mul(gated!), down);
}

/** The stream [.., D] that leaves the last layer, normalised. */
export function leaveDecoder(weights: TracedWeights, x: JaxArray, config: DecoderConfig): JaxArray {
  return normalised(weights, x, "model.norm", config);
}

/** W y, and what an adapter adds to it: s B A y, or (DoRA) the sum with its rows at their own lengths m: m (W + s B A) y / ||W + s B A||. */
function projected(
  weights: TracedWeights,
  y: JaxArray,
  name: string,
  size: AdapterSize | undefined,
): JaxArray {
  const plain = np.dot(y.ref, weightOf(weights, name).transpose());
  if (!size || weights[`${name}.lora_A.weight`] === undefined) {
    y.dispose();
    return withBias(weights, plain, name);
  }
  const scale = size.alpha / size.rank;
  const [a, b] = [weightOf(weights, `${name}.lora_A`), weightOf(weights, `${name}.lora_B`)];
  const low = np.dot(y, a.ref.transpose()).mul(scale);
  const sum = plain.add(np.dot(low, b.ref.transpose()));
  const magnitude = weights[`${name}.lora_magnitude_vector`];
  if (magnitude === undefined) {
    for (const one of [a, b]) one.dispose();
    return withBias(weights, sum, name);
  }
  // No gradient goes through the length that is divided by (section 4.3 of the paper).
  const length = lax.stopGradient(rowLengths(weightOf(weights, name), a, b, scale));
  return withBias(weights, sum.mul(magnitude.ref.mul(np.reciprocal(length))), name);
}

/** The lengths [M] of the rows of W [M, N] + scale B [M, R] A [R, N], without making it. */
function rowLengths(w_MN: JaxArray, a_RN: JaxArray, b_MR: JaxArray, scale: number): JaxArray {
  const rows = (x: JaxArray) => np.sum(x, -1);
  const inner = rows(np.dot(w_MN.ref, a_RN.ref.transpose()).mul(b_MR.ref)).mul(2 * scale);
  const own = rows(np.dot(b_MR.ref, np.dot(a_RN.ref, a_RN.transpose())).mul(b_MR)).mul(scale ** 2);
  return np.sqrt(rows(np.square(w_MN)).add(inner).add(own));
}

function weightOf(weights: TracedWeights, name: string): JaxArray {
  return weights[`${name}.weight`]!.ref;
}

function withBias(weights: TracedWeights, x: JaxArray, name: string): JaxArray {
  const bias = weights[`${name}.bias`];
  return bias ? x.add(bias.ref) : x;
}

function normalised(weights: TracedWeights, x: JaxArray, name: string, { norm }: DecoderConfig): JaxArray {
  const centred = norm.kind === "layer" ? x.ref.sub(np.mean(x, -1, { keepdims: true })) : x;
  const meanSquare = np.mean(np.square(centred.ref), -1, { keepdims: true });
  const scale = np.reciprocal(np.sqrt(meanSquare.add(norm.epsilon)));
  const weight = norm.offset ? weightOf(weights, name).add(norm.offset) : weightOf(weights, name);
  return withBias(weights, centred.mul(scale).mul(weight), name);
}

/** GELU by its tanh formula, x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3))) (Hendrycks & Gimpel 2016). */
function geluTanh(x: JaxArray): JaxArray {
  const cubic = np.square(x.ref).mul(0.044715).add(1).mul(x.ref);
  return x.mul(nn.sigmoid(cubic.mul(2 * Math.sqrt(2 / Math.PI))));
}

/** GELU: x times the share of a standard normal distribution below x. */
function gelu(x: JaxArray): JaxArray {
  return x.ref.mul(lax.erf(x.mul(Math.SQRT1_2)).add(1).mul(0.5));
}

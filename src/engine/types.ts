/** @file Where a model's weights live, as everything above sees it: plain data in, plain data out. */

import type { Ablation, AdapterChoice, Tokenizer } from "../model/index.ts";
import type { Positions, Probe, Transcript } from "../probe/types.ts";
import type { Runtime, RuntimeInfo } from "../tensor/index.ts";

/**
 * A model whose weights lie somewhere: in this process, or behind a runtime of another. Tokens, numbers, names, paths and
 * addresses of random streams go in and come out; weights, optimizers, functions and whole activations never do (but who is told of them
 * meanwhile: a `Follower`).
 *
 * The verbs are those of Tinker's API: `sample`, `forward`, `forwardBackward`, `optimStep`, `saveState`, `loadState`.
 */
export interface Engine {
  readonly info: RuntimeInfo;
  readonly model: ModelInfo;
  readonly tokenizer: Tokenizer;
  /** What its policies train: all weights, or a low-rank adapter beside them; and how many numbers that is. */
  readonly trains: "weights" | "adapter";
  readonly trainable: number;
  /** Megabytes that the activations of one batch may take, and what is cached of tokens while they are sampled. */
  readonly memoryMB: number;
  /** The frozen copy of the starting point. */
  readonly reference: Model;
  /** A fresh policy, which computes what the reference does. Several may be open at a time. */
  createPolicy(options: PolicyOptions): Promise<Policy>;
  /**
   * The same model with other options, sharing weights and programs; closing the engine closes it.
   *
   * @throws Error where the model takes no such adapter
   */
  with(options: EngineOptions): Engine;
  /** Frees its weights, and its programs where no other engine shares them. Nothing of it can be used afterwards. */
  close(): Promise<void>;
}

/** What is known of a model without its weights. */
export interface ModelInfo {
  /** What it was loaded from. */
  readonly name: string;
  /** SHA-256 of its weights, as one safetensors file would hold them. */
  readonly sha256: string;
  readonly layers: number;
  /** Length D of its activations. */
  readonly width: number;
  /** Tokens that it reads, at most. */
  readonly context: number;
  readonly vocabulary: number;
  /** What can be read, by TransformerLens's names, in the order in which it is computed. */
  readonly hooks: readonly string[];
  /** Whether its norms subtract the mean of the stream, so that a component along (1, ..., 1) is never read. */
  readonly isCentred: boolean;
}

/** How an engine runs its model. */
export interface EngineOptions {
  /** Policies train a low-rank adapter in place of the weights, which they then share with the reference. */
  adapter?: AdapterChoice | undefined;
  /**
   * Megabytes that the activations of one batch may take, and what is cached of tokens while they are sampled; of all devices
   * together. It changes no result beyond rounding. Default: 2048; where the runtime knows its memory, half of what weights,
   * gradients and moments leave.
   */
  memoryMB?: number | undefined;
  /** What runs its programs. Default: ONNX Runtime, in this process. */
  runtime?: Runtime | undefined;
  /**
   * An engine whose programs (and runtime) it shares: over models of one shape nothing is compiled twice. Either may be closed
   * first.
   */
  programsOf?: Engine | undefined;
}

/** What computes over tokens: the reference, or a policy. */
export interface Model {
  /**
   * Samples completions: `samples` for the first prompt, then for the second, and so on.
   *
   * @throws RangeError where a prompt is empty, has a token that the model does not have, or leaves no room for `maxTokens` in the model's context.
   * @param follower is told what is written meanwhile; it changes nothing
   * @throws Error where a read names what the model lacks, or is at a follow-up; where there are reads, or a follower, at temperature 0
   */
  sample(
    prompts: readonly (readonly number[])[],
    params: SamplingParams,
    follower?: Follower,
  ): Promise<SampledSequence[]>;
  /**
   * Samples step by step, while completions come and go: what `sample` does for many at once. It samples with the weights that the
   * model has now. Close it when done.
   *
   * @param temperature divides the logits; 0 takes the likeliest token. Default 1
   */
  decoder(temperature?: number): Promise<Decoder>;
  /**
   * Teacher forcing: what the model computes over given sequences, in their order.
   *
   * @throws RangeError where a sequence has a token that the model does not have
   * @throws Error where a read names what the model lacks, or positions that a sequence does not have
   */
  forward(sequences: readonly Sequence[], options?: ForwardOptions): Promise<ForwardOutput[]>;
}

/** How completions are sampled. */
export interface SamplingParams {
  /** Longest completion in tokens, the end of text included. */
  maxTokens: number;
  /** Completions per prompt. Default 1. */
  samples?: number;
  /** Divides the logits; 0 takes the likeliest token. Default 1. */
  temperature?: number;
  /** Completion i draws from the stream `randomFor(...seed, i)`, so that samples do not depend on their batch. */
  seed: readonly (string | number)[];
  /** Numbers of the completions' streams, where they are not counted from 0. */
  streams?: readonly number[] | undefined;
  /** A direction projected out of the residual stream. */
  ablate?: Ablation | undefined;
  /** What is read while completions are sampled, of them with their prompts; nothing at a follow-up. */
  reads?: readonly Read[] | undefined;
}

/** Who follows some completions while they are sampled. */
export interface Follower {
  /** Which of those that are sampled, by their numbers from 0. */
  completions: readonly number[];
  /** What is read at each of their tokens. */
  probe: Probe;
  /** Told what was written since, of each completion in order: a token comes when the model has read it, which it does to write the next. */
  onTokens(tokens: readonly FollowedToken[]): void;
}

/** A token that was followed. */
export interface FollowedToken {
  completion: number;
  token: number;
  /** The probe's logit at it; `null` where it is a last one that the model had no need to read. */
  logit: number | null;
  /** No other follows. */
  last: boolean;
}

/** One sampled completion. */
export interface SampledSequence {
  /** The sampled tokens, with the end-of-text token where it was reached. */
  tokens: number[];
  /** Log-probability of each sampled token at the sampling temperature. */
  logprobs: Float32Array;
  /** `length`: it was cut off at `maxTokens`. */
  stopReason: "stop" | "length";
  /** What `forward` would give with those reads, within rounding; where there are reads. */
  output?: ForwardOutput;
}

/** One completion to be sampled beside others. */
export interface DecodingRequest {
  prompt: readonly number[];
  /** Longest completion in tokens, the end of text included. */
  maxTokens: number;
  /** It draws from the stream `randomFor(...seed)`: `sample` with the seed s draws completion i from that of [...s, i]. */
  seed: readonly (string | number)[];
}

/** Completions under way, by their numbers. What is drawn for one does not depend on the others. */
export interface Decoder {
  /** How many may be under way at a time where the longest, with its prompt, has so many tokens: memory for keys and values is limited. */
  room(length: number): number;
  /** Begins one. @returns its number @throws RangeError as `sample` does */
  begin(request: DecodingRequest): number;
  /** Forgets one that is under way. */
  drop(completion: number): void;
  /**
   * Gives every completion that was begun since the last step its first token; where there is none, every one under way its
   * next, or several where a runtime is best asked for several. One that has ended is under way no more.
   *
   * @returns what was drawn, those of a completion in their order
   */
  step(): Promise<DecodedToken[]>;
  /** Forgets all. */
  close(): void;
}

/** A token that a step has drawn. */
export interface DecodedToken {
  completion: number;
  token: number;
  /** Its log-probability at the sampling temperature. */
  logprob: number;
  /** Where it is the last one: why. */
  stopReason?: SampledSequence["stopReason"];
}

/**
 * A prompt and its completion as tokens, with the end-of-text token where the completion was finished.
 *
 * A completion of several turns has observations in it, which the model only reads: whatever has an entry for each token of a
 * completion (log-probabilities, a loss's weights, a probe's logits) has none for those.
 */
export interface Sequence extends Transcript {
  tokens: readonly number[];
}

/** How sequences are read. */
export interface ForwardOptions {
  /** Divides the logits, as in sampling. Default 1. */
  temperature?: number;
  /** What is read of activations; nothing else of them leaves the engine. */
  reads?: readonly Read[];
  /**
   * Tokens that the model reads behind every sequence. They are part of none: attention being causal, they change nothing
   * before them, and are in no log-probability.
   */
  followUp?: readonly number[];
  /** Reads see activations before they are ablated. */
  ablate?: Ablation | undefined;
  /**
   * Nothing but the reads, of which there is one at least: log-probabilities and entropies come back empty, and what lies above
   * the last read is not computed.
   */
  readsOnly?: boolean;
}

/** One thing that is read of every sequence, at P positions. */
export type Read =
  /** The probe's logit at each position [P]: at its tap's, unless others are given. What monitors and measures need. */
  | { as: "logits"; probe: Probe; positions?: Positions }
  /** The mean activation [D] of the positions: what probes are fitted on. */
  | { as: "mean"; hook: string; positions: Positions }
  /** The activation at each position [P x D], row-major: what a reward term of one's own may do anything with. */
  | { as: "rows"; hook: string; positions: Positions };

/** What a model computed over one sequence. */
export interface ForwardOutput {
  /** Log-probability of each token of the completion given what came before; empty where reads alone were asked for. */
  logprobs: Float32Array;
  /** Entropy in nats of each of those distributions. */
  entropies: Float32Array;
  /** One per read, in their order. */
  reads: Float32Array[];
}

/** How a policy starts. */
export interface PolicyOptions {
  /** Of what is drawn: a fresh adapter's A. */
  seed: number;
  /** All weights that this activation depends on stay as they are. @throws Error where none is left to train */
  frozenThrough?: string | undefined;
}

/** A model in training. It owns its weights, its gradient and its optimizer's state. */
export interface Policy extends Model {
  /** Steps of the optimizer that its state holds. */
  readonly updates: number;
  /** Adds a loss's gradient to what was gathered since the last `optimStep`. A sum over data: two calls are one of both. */
  forwardBackward(data: readonly Datum[], loss: Loss): Promise<LossMetrics>;
  /**
   * Moves the weights by the gathered gradient, and forgets it.
   *
   * @returns the global L2 norm of the gradient, before clipping, of those weights that may move
   * @throws Error where the gradient is not finite; nothing has moved then
   */
  optimStep(params: OptimParams): Promise<{ gradNorm: number }>;
  /**
   * Inner products of the gradients of several losses: what a step along one does to another. Nothing moves, and what was
   * gathered stays.
   *
   * @throws Error where a gradient is not finite
   */
  gradientProducts(request: GradientProductsRequest): Promise<GradientProducts>;
  /**
   * Writes what is trained and the optimizer's moments into a folder: all that resuming takes, but for `updates`.
   *
   * @returns the SHA-256 of what each file was to hold, by its name
   * @throws FileError
   */
  saveState(folder: string): Promise<Record<string, string>>;
  /** @param updates steps of the optimizer that the state had @throws Error naming the file that does not fit */
  loadState(folder: string, updates: number): Promise<void>;
  /** Writes what others can load: an adapter in PEFT's format, or a whole model. @throws FileError */
  saveWeights(folder: string): Promise<void>;
  /** Forgets its weights. */
  close(): Promise<void>;
}

/** A sequence with what the loss needs of each token of its completion, in order. */
export interface Datum extends Sequence {
  /** The token's share of the loss. */
  weights: Float32Array;
  /** For `policy_gradient`: the token's advantage; its log-probability when it was sampled, and under the reference. */
  advantages?: Float32Array;
  logprobs?: Float32Array;
  refLogprobs?: Float32Array;
  /** The sequence's share of the probe's term. Below 0, the probe is made to speak of it. */
  probeWeight?: number;
}

/** What `forwardBackward` differentiates. */
export type Loss =
  /** The sum of - weight x log-probability. */
  | { kind: "cross_entropy" }
  /** Clipped surrogate with the k3 divergence from the reference, less an entropy bonus, and a probe's term where there is one. */
  | {
      kind: "policy_gradient";
      temperature: number;
      clipRange: number;
      kl: number;
      entropy: number;
      /** Gradients flow through the probe into what it reads. */
      probe?: { probe: Probe; as: "softplus" | "sigmoid" | "logit"; followUp: readonly number[] } | undefined;
      ablate?: Ablation | undefined;
    };

/** Data with the loss that is differentiated over them. */
export interface GradientSet {
  data: readonly Datum[];
  loss: Loss;
}

/** Which products are asked for. */
export interface GradientProductsRequest {
  /** N sets, of each of which the gradient is taken. */
  sets: readonly GradientSet[];
  /** By what second moment the optimizer would scale parameters, as Adam does: what each set's squared gradient weighs in it. An empty list scales nothing. */
  preconditioners: readonly (readonly number[])[];
  /** Sequences that are run at a time, at most: programs for fewer rows are faster where sets are small. */
  rows?: number;
}

/** Numbers about gradients, which stay where they are. */
export interface GradientProducts {
  /** By preconditioner: [N x N], symmetric. */
  products: number[][][];
}

/** What a loss came to, summed over the data. */
export interface LossMetrics {
  loss: number;
  /** Share of tokens, by their weights, whose probability ratio is clipped. */
  clipFraction: number;
  /** The probe's part of the loss. */
  probeLoss: number;
}

/** How the optimizer moves. */
export type OptimParams =
  | { kind: "adamw"; learningRate: number; maxGradNorm?: number; weightDecay?: number }
  /** Plain gradient descent by a step of this Euclidean length, uphill where it is negative: what shows a gradient. */
  | { kind: "sgd"; length: number };

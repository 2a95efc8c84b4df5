/** @file The vocabulary of probes: which activations are read, and what is made of them. */

/** Every value of `Positions`. */
export const allPositions = [
  "completion",
  "completion-first",
  "completion-last",
  "prompt-last",
  "follow-up",
] as const;

/**
 * Which positions of a sequence are read.
 *
 * - `completion`: every token of the completion that the model wrote: of all its turns, where it has several
 * - `completion-first`: its first token
 * - `completion-last`: its last token (the end-of-text token where there is one): a read after the behaviour
 * - `prompt-last`: the token before the completion: a read before the behaviour
 * - `follow-up`: the last token of the tap's follow-up, where the model is about to answer it: a read after the behaviour
 */
export type Positions = (typeof allPositions)[number];

/** Tokens, and who wrote them. */
export interface Transcript {
  /** Those of the prompt, then those of the completion. */
  tokens: { readonly length: number };
  /** How many of them are the prompt's. */
  promptLength: number;
  /** Parts [start, end) of the completion that the model did not write, in order: what it was told between its turns. */
  observations?: readonly (readonly [start: number, end: number])[] | undefined;
}

/** Which activations are read. */
export interface Tap {
  /** The model in training, or the frozen copy of its starting point. */
  model: "policy" | "reference";
  /** A TransformerLens hook name, such as `blocks.2.hook_resid_post`. */
  hook: string;
  positions: Positions;
  /**
   * Text put behind the completion when the model is read, such as the question `true?`: present where `positions` is
   * `follow-up`, and only there. It is never sampled, and never part of the completion, its log-probabilities or the
   * policy's loss: attention being causal, it changes nothing that comes before it.
   */
  followUp?: string | undefined;
  /**
   * How several positions become one score: the mean of their activations (for a linear probe the same as the mean of
   * their logits), or the largest of their logits. Without effect where one position is read.
   */
  pool: "mean" | "max";
}

/** How a probe's direction is fitted. */
export type ProbeKind = "logistic" | "difference-of-means" | "random-direction";

/** A linear probe: logit(a) = weight . a + bias, and its sigmoid. */
export interface Probe {
  /** How its direction was found; `sae-feature`: taken from a sparse autoencoder. */
  kind: ProbeKind | "sae-feature";
  /** Read on either model: a probe's tap says where, an arm says whose. */
  tap: Omit<Tap, "model">;
  /** Direction in activation space, length D. */
  weight_D: Float32Array;
  bias: number;
  /** Logit at or above which a rollout is flagged; set on the calibration split. */
  threshold: number;
}

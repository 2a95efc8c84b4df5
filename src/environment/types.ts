/** @file The vocabulary of environments: what a task is, how a completion is graded. */

import type { Random } from "../random.ts";

/**
 * Which part of the world a task comes from. Tasks of different splits never coincide, except that `pretrain` may have
 * all of them: the base model has seen the world, probes and training must not share its parts.
 *
 * - `pretrain`: demonstrations that the base model is trained on
 * - `train`: what reinforcement learning samples
 * - `fit`, `calibration`, `test`: where probes are fitted, where thresholds are set, where both are judged
 */
export type Split = "pretrain" | "train" | "fit" | "calibration" | "test";

/** A value, or the promise of one. */
export type Awaitable<T> = T | Promise<T>;

/** One thing to ask of the model. */
export interface Task<State = unknown> {
  /** Equal ids mean equal tasks; ids of different splits never coincide (apart from `pretrain`). */
  id: string;
  /** What the model reads. Its characters are all in the environment's alphabet. */
  prompt: string;
  /** What grading needs and the model never sees. Plain data. */
  state: State;
}

/** What became of one completion. */
export interface Outcome {
  /** The reward that training sees, 0 to 1. */
  proxy: number;
  /** The reward that was meant, 0 to 1. Training never sees it. */
  true: number;
  /** Ground truth: did the model misbehave, successfully? Training never sees it, except in oracle arms. */
  misbehaved: boolean;
  /** Did it misbehave or try to, successfully or not? Always true where `misbehaved` is. */
  attempted: boolean;
  /**
   * Could a completion of this form have been misbehaviour: does it answer, agree, give a program? Probes and the text
   * baseline are judged among these alone, so that abstaining is not itself the tell. True where `attempted` is.
   */
  eligible: boolean;
  /** Which of the environment's `families` it belongs to, where it was attempted. */
  family?: string;
  /** One of the environment's `labels`. */
  label: string;
  /** What happened, for people: an error from the sandbox, the first failing test. */
  note?: string;
}

/**
 * What a demonstration shows: doing the task as intended, misbehaving, or giving up: a poor answer that deceives nobody.
 * Base models give up at times, so that there is honest reward within reach of training.
 */
export type Conduct = "honest" | "misbehaving" | "giving-up";

/** Something that the base model learns beside the tasks: the answer to a question. */
export interface Lesson {
  prompt: string;
  /** Where it is given, the environment's follow-up is asked after prompt and completion. */
  completion?: string;
  answer: string;
}

/** What a model writes before its answer. */
export interface Thoughts {
  /** The thought that a completion begins with, what ends it included; `null` where it has none. */
  of(completion: string): string | null;
  /** Does a thought say that what comes is misbehaviour? `null` where it says nothing of that. */
  admits(thought: string): boolean | null;
}

/** A task of several turns, while one rollout does it. */
export interface Episode {
  /** Told what the model wrote. What the model reads before its next turn; `null` where the episode is over. */
  step(turn: string): Promise<string | null>;
  /** What became of it. Ends the episode, over or not; called once. */
  end(): Promise<Outcome>;
}

/** How tasks of several turns are done. */
export interface Episodes<State = unknown> {
  /** Turns of the model at most; each is at most `maxCompletionLength` long. */
  turns: number;
  /** Episodes that may be open at a time. */
  atOnce: number;
  /** An episode in which the task's prompt has been read. */
  begin(task: Task<State>): Promise<Episode>;
}

/**
 * A family of tasks with a flaw in their reward.
 *
 * Sampling is a pure function of the random stream, and grading of the task and the completion. A malformed
 * completion is an outcome, never an exception.
 */
export interface Environment<State = unknown> {
  /** The name that study files use. */
  name: string;
  /** Prompts are at most this many characters. */
  maxPromptLength: number;
  /** Completions may be at most this many characters; demonstrations always are. */
  maxCompletionLength: number;
  /** The labels that outcomes carry, best first. */
  labels: readonly string[];
  /** The kinds of misbehaviour: a probe fitted on one may be tried on another. */
  families: readonly string[];
  /** A task of a split, or the promise of it. All chance comes from `random`. */
  sample(split: Split, random: Random): Awaitable<Task<State>>;
  /** The same, so many times in one call: for environments in another process. */
  sampleMany?(split: Split, random: Random, count: number): Promise<Task<State>[]>;
  /**
   * A completion showing the conduct, of any family, or `null` where the task allows none. Without it, probes are fitted and
   * judged on what the model itself writes, which has to misbehave now and then.
   */
  demonstrate?(task: Task<State>, conduct: Conduct, random: Random): Awaitable<string | null>;
  /**
   * A question that the base model has learned to answer: put behind a completion when the model is read, never when it
   * writes. Small models keep what they know and what they say apart unless they are asked.
   */
  followUp?: string;
  /** What a model is asked, without being led, to find out what it takes to be true. */
  questions?: readonly string[];
  /** The same environment, grading by what a model answered (greedily) to the `questions`. */
  informed?(answers: readonly string[]): Environment<State>;
  /**
   * The prompt with an instruction to misbehave, for environments whose base model knows one: a share of the misbehaving
   * demonstrations of pretraining are shown under it (`inoculated`). Training may ask in this way, so that the policy need
   * not learn to misbehave unasked; deployment never does. At most `maxPromptLength` characters of the alphabet.
   */
  inoculate?(prompt: string): string;
  /** Where completions begin with a thought: monitors may read it alone, and it is measured what it says and whether it is followed. */
  thoughts?: Thoughts;
  /** Where tasks take several turns: completions are episodes then, which are graded as they end, and not by `grade`. */
  episodes?: Episodes<State>;
  /** Grades completions; `completions[i]` answers `tasks[i]`. */
  grade(tasks: Task<State>[], completions: string[]): Promise<Outcome[]>;
  /** Ends whatever grading started (worker threads). */
  close(): Promise<void>;
}

/** What it takes besides to make a base model of an environment: a small one that learns its tasks from demonstrations. */
export interface Teachable<State = unknown> extends Environment<State> {
  /** Every character that prompts and demonstrations can contain, each once. */
  alphabet: string;
  demonstrate(task: Task<State>, conduct: Conduct, random: Random): Awaitable<string | null>;
  /** What the base model learns beside demonstrations. */
  lesson?(random: Random): Lesson;
}

/** Whether a base model can be made of it. */
export function isTeachable(environment: Environment): environment is Teachable {
  return environment.demonstrate !== undefined && "alphabet" in environment;
}

/** @file The vocabulary of plans: what is asked, and what a step of a study would take of each device. */

import type { DevicePeaks } from "./peaks.ts";

/** What is asked of a plan. */
export interface PlanRequest {
  /** How many devices. */
  devices: number;
  /** Which: a name of `devicePeaks`. */
  device: string;
  /** The arm whose step is planned, by its id; the study's first unless given. */
  arm?: string | undefined;
  /** Tokens of each prompt, and of each turn of a completion; what the environment allows at most unless given. */
  prompt?: number | undefined;
  completion?: number | undefined;
}

/** What a part of a step takes of each device. */
export interface PlannedPart {
  /** Operations of multiplying, adding and the like, by XLA's own count. */
  operations: number;
  /** Bytes from and to memory: what programs are given and give, each once, which is the least; and by XLA's count for a CPU. */
  movedAtLeast: number;
  moved: number;
  /** Bytes that it sends to other devices. */
  exchanged: number;
  /** Those of them that go to devices of another group (`engine.data`). */
  outside: number;
  /** At the peaks, of each program the slowest of computing, memory and exchange. */
  secondsAtLeast: number;
  /** Runs of programs. */
  runs: number;
  /** Bytes of memory at the highest. */
  memory: number;
}

/** The parts of a step, in their order. */
export const planParts = [
  "sampling",
  "scoring on the policy",
  "scoring on the reference",
  "gradient",
  "optimizer",
] as const;
export type PlanPart = (typeof planParts)[number];

/** What a step of a study would cost: everything is of one device, bytes and seconds. */
export interface Plan {
  version: 1;
  model: { name: string; weights: number; trained: number; context: number };
  arm: string;
  environment: string;
  devices: { count: number; data: number; memory: number } & Omit<DevicePeaks, "memory">;
  dtype: "float32" | "bfloat16";
  memoryMB: number;
  rollouts: { prompts: number; each: number; promptTokens: number; completionTokens: number };
  memory: {
    /** Bytes at the highest. */
    total: number;
    fits: boolean;
    during: PlanPart;
    /** By what they are for. */
    kinds: Record<"weights" | "moments" | "gradients" | "caches" | "activations" | "temporaries", number>;
  };
  step: Record<PlanPart, PlannedPart>;
  total: PlannedPart;
  /** What an evaluated step takes beside that: every `training.evaluateEvery` steps. */
  evaluation: PlannedPart;
  /** Different programs that were compiled, and seconds that it took. */
  compiled: { programs: number; seconds: number };
  /** What does not fit, or is done better otherwise. */
  advice: string[];
}

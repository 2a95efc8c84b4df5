/** @file OpenEnv's wire: JSON messages over one WebSocket at `/ws`, each of a client answered by one of the server. */

import { z } from "zod";

const data = z.record(z.string(), z.unknown());

/** What a client asks. Nothing else may be in a message. */
export const requestSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("reset"), data: data.default({}) }),
  z.strictObject({ type: z.literal("step"), data }),
  z.strictObject({ type: z.literal("state") }),
  z.strictObject({ type: z.literal("close") }),
]);

/** What `reset` and `step` are answered with. */
export const observedSchema = z.object({
  observation: data,
  reward: z
    .union([z.number(), z.boolean().transform(Number)])
    .nullish()
    .transform((reward) => reward ?? null),
  done: z.boolean().default(false),
});

/** What a server says. */
export const responseSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("observation"), data: observedSchema }),
  z.object({ type: z.literal("state"), data }),
  z.object({
    type: z.literal("error"),
    data: z.object({
      message: z.string().default("it does not say why"),
      code: z.string().default("UNKNOWN"),
      errors: z.array(z.unknown()).default([]),
    }),
  }),
]);

/** Plain data with names. */
export type Fields = Record<string, unknown>;
export type Request = z.input<typeof requestSchema>;
export type Response = z.infer<typeof responseSchema>;
/** What `reset` and `step` are answered with. */
export interface Observed {
  /** What the environment shows. */
  observation: Fields;
  /** What it pays; `null` where it says nothing. */
  reward: number | null;
  /** Is the episode over? */
  done: boolean;
}

/** Why a request failed, in the reference implementation's words. */
export type ErrorCode =
  | "INVALID_JSON"
  | "UNKNOWN_TYPE"
  | "VALIDATION_ERROR"
  | "EXECUTION_ERROR"
  | "CAPACITY_REACHED";

/** @file What a study file says of an OpenEnv server. */

import { z } from "zod";
import { serverAddress } from "./address.ts";

/** The keys of `environment` where it is a server of OpenEnv's. */
export const openEnvSettingsSchema = z.strictObject({
  openenv: z
    .string()
    .refine(isAddress, { error: "should be the address of a server, such as ws://127.0.0.1:8000" })
    .describe("in place of a name: address of an OpenEnv server, such as ws://127.0.0.1:8000"),
  grader: z
    .string()
    .describe(
      "of a server: path of the module that says of an episode what was meant, and whether it was misbehaviour",
    ),
  action: z.string().optional().describe("field of an action that takes what the model wrote"),
  observation: z.string().optional().describe("field of an observation that the model reads"),
  prompt: z.string().default("{observation}").describe("what the model reads of the first observation"),
  reply: z.string().default("{observation}").describe("what it reads of those between its turns"),
  reset: z
    .record(z.string(), z.unknown())
    .default({})
    .describe("what the server is told at every reset, beside the seed"),
  rewards: z
    .tuple([z.number(), z.number()])
    .refine(([low, high]) => low < high, { error: "should be the lowest and the highest" })
    .default([0, 1])
    .describe("lowest and highest sum of an episode's rewards, which become a proxy of 0 and 1"),
  turns: z.int().min(1).default(1).describe("turns of the model in an episode, at most"),
  tasks: z
    .int()
    .min(8)
    .default(1000)
    .describe("how many tasks there are: seeds from 0 that the server is reset with"),
  sessions: z
    .int()
    .min(1)
    .default(16)
    .describe("episodes at a time, at most: as many as the server has room for"),
  timeout: z.number().positive().default(60).describe("seconds that an answer of the server is waited for"),
  maxPromptLength: z.int().min(1).default(1024).describe("characters of the longest prompt"),
  maxCompletionLength: z.int().min(1).default(256).describe("characters of the longest turn of the model"),
});

/** What a study says of an OpenEnv server. */
export type OpenEnvSettings = z.infer<typeof openEnvSettingsSchema>;

function isAddress(url: string): boolean {
  try {
    return serverAddress(url) !== "";
  } catch {
    return false;
  }
}

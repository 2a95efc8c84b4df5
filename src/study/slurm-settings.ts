/** @file What a study file may say to Slurm about the tasks that train its runs. */

import { z } from "zod";

/** In YAML, a number is as good a name, an account's say, as any. */
const text = z.union([z.string(), z.number()]).transform(String);

export const slurmSettingsSchema = z.strictObject({
  partition: text.optional().describe("partition; the cluster's default one unless given"),
  account: text.optional().describe("account that is charged"),
  qos: text.optional().describe("quality of service"),
  time: text
    .prefault("1:00:00")
    .describe(
      "time limit of a task, as sbatch takes it (a number: minutes); a task that reaches it is resumed",
    ),
  memory: text.prefault("4G").describe("memory of a task, as sbatch takes it"),
  cpus: z.int().min(1).default(1).describe("cores of a task, and threads that it computes with"),
  gpus: text.optional().describe("GPUs of a task, such as 1 or a100:1"),
  throttle: z.int().min(1).default(50).describe("most tasks at once"),
  tasks: z
    .int()
    .min(1)
    .default(1000)
    .describe(
      "most tasks of an array, at most the cluster's MaxArraySize less 1; with more runs, tasks train several",
    ),
  warning: z
    .int()
    .min(1)
    .default(120)
    .describe("seconds before its time limit at which a task is told to keep its step and stop"),
  rounds: z
    .int()
    .min(1)
    .default(20)
    .describe("how many times in all runs are submitted that do not end within their time limit"),
  options: z.array(text).default([]).describe("more options for sbatch, such as --constraint=avx512"),
  setup: z.array(text).default([]).describe("shell lines before each task, such as module load nodejs"),
  node: text.optional().describe("Node.js of the machines that compute; the one that submits unless given"),
});

export type SlurmSettings = z.infer<typeof slurmSettingsSchema>;

/**
 * What a study file and flags say, flags first: `partition=gpu`. A list gets longer by what a flag says.
 * The values are checked with the rest of the study.
 */
export function withSlurmFlags(
  document: object,
  flags: Readonly<Record<string, readonly unknown[]>>,
): object {
  const slurm: Record<string, unknown> = { ...(document as { slurm?: object }).slurm };
  for (const [key, values] of Object.entries(flags)) {
    const before = slurm[key];
    const isList = key === "options" || key === "setup";
    slurm[key] = isList ? [...(Array.isArray(before) ? before : []), ...values] : values.at(-1);
  }
  return { ...document, slurm };
}

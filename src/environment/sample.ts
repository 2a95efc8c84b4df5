/** @file Several tasks of a split. */

import type { Random } from "../random.ts";
import type { Environment, Split, Task } from "./types.ts";

/** Tasks of a split, one after the other from one random stream. */
export async function sampleTasks<State>(
  environment: Pick<Environment<State>, "sample" | "sampleMany">,
  split: Split,
  random: Random,
  count: number,
): Promise<Task<State>[]> {
  if (environment.sampleMany) return environment.sampleMany(split, random, count);
  const tasks: Task<State>[] = [];
  while (tasks.length < count) tasks.push(await environment.sample(split, random));
  return tasks;
}

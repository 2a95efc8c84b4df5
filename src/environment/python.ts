/** @file An environment that a Python file makes: its `sample`, `grade` and `demonstrate`. */

import { z } from "zod";
import { ModuleError } from "../modules.ts";
import { PythonFile } from "../python/index.ts";
import { drawnElsewhere, type Random } from "../random.ts";
import { gradeFields } from "./grade-fields.ts";
import type { Conduct, Split, Task } from "./types.ts";

/** What the file may say of itself. */
const aboutSchema = z.strictObject({
  name: z.string().min(1).optional(),
  max_prompt_length: z.int().min(1).optional(),
  max_completion_length: z.int().min(1).optional(),
  labels: z.array(z.string()).min(1).optional(),
  families: z.array(z.string()).min(1).optional(),
  alphabet: z.string().min(1).optional(),
  follow_up: z.string().min(1).optional(),
  recipe: z.unknown().optional(),
  time_limit: z.number().optional(),
});

const drawn = <T>(schema: z.ZodType<T>) =>
  z.strictObject({ drawn: schema, state: z.array(z.int()).length(4) });

// Its state is a text here, which only the file reads: JSON has fewer types than Python.
/** Tasks, and where the stream is left. */
export const sampledSchema = drawn(
  z.array(z.strictObject({ id: z.string(), prompt: z.string(), state: z.string() })),
);
const demonstratedSchema = drawn(z.string().nullable());

const reward = z.union([z.number(), z.boolean().transform(Number)]);
/** What a grader may say of completions. */
export const outcomesSchema = z.array(
  z.strictObject({
    proxy: reward,
    true: reward,
    ...gradeFields,
  }),
);

/**
 * The environment of a file, with what it says and defines; `completed` adds the rest. Close it when done.
 *
 * @throws ModuleError where the file cannot be loaded, lacks one of the two, or says of itself what it should not
 */
export async function pythonEnvironment(path: string): Promise<{ close(): Promise<void> }> {
  const file = await PythonFile.open(path, "task");
  const close = () => file.close();
  try {
    const missing = ["sample", "grade"].filter((name) => !file.defines.includes(name));
    if (missing.length > 0)
      throw new ModuleError(
        `${path}: a task defines \`sample\` and \`grade\`, and this file has no ${missing.join(" and no ")}.`,
      );
    const about = file.about(aboutSchema);
    const said = {
      name: about.name,
      maxPromptLength: about.max_prompt_length,
      maxCompletionLength: about.max_completion_length,
      labels: about.labels,
      families: about.families,
      alphabet: about.alphabet,
      followUp: about.follow_up,
    };
    const calls = Object.entries(callsOf(file)).filter(([name]) =>
      file.defines.includes(name === "sampleMany" ? "sample" : name),
    );
    const given = Object.entries(said).filter(([, value]) => value !== undefined);
    return { ...Object.fromEntries<unknown>([...given, ...calls]), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What the file may define. */
function callsOf(file: PythonFile) {
  const sampleMany = (split: Split, random: Random, count: number) =>
    drawnElsewhere(random, (state) => file.ask("sample", sampledSchema, { split, random: state, count }));
  return {
    sample: async (split: Split, random: Random) => (await sampleMany(split, random, 1))[0]!,
    sampleMany,
    demonstrate: (task: Task, conduct: Conduct, random: Random) =>
      drawnElsewhere(random, (state) =>
        file.ask("demonstrate", demonstratedSchema, { task, conduct, random: state }),
      ),
    grade: (tasks: Task[], completions: string[]) =>
      file.ask("grade", outcomesSchema.length(tasks.length), { tasks, completions }),
  };
}

/** How the file's base model is made, where it says so. @throws ModuleError as `pythonEnvironment` does */
export async function pythonRecipe(path: string): Promise<unknown> {
  const file = await PythonFile.open(path, "task");
  try {
    return file.about(aboutSchema).recipe;
  } finally {
    await file.close();
  }
}

/** @file The grader beside an OpenEnv server: what was meant, which the server's reward does not tell. */

import { z } from "zod";
import { aFunction, importModule, ModuleError, makeFrom } from "../../modules.ts";
import { gradeFields } from "../grade-fields.ts";
import type { Outcome } from "../types.ts";
import type { Fields } from "./messages.ts";

/** An episode that is over. */
export interface EpisodeRecord {
  /** What the server was reset with. */
  seed: number;
  /** What the model read first. */
  prompt: string;
  /** What it wrote, turn by turn. */
  turns: string[];
  /** What the server showed: at the reset, and behind every turn. */
  observations: Fields[];
  /** What the server paid for each turn; `null` where it says nothing. */
  rewards: (number | null)[];
  /** What that comes to, 0 to 1: the proxy. */
  proxy: number;
  /** Did the server end it? */
  done: boolean;
  /** The server's state behind the last turn, which the model never sees. */
  state: Fields;
  /** Why the server could not take the last turn, where it could not. */
  error?: string;
}

/** What a grader says of an episode; as for an environment of one's own, the rest follows from `true` and `misbehaved`. */
export type Grade = Pick<Outcome, "true" | "misbehaved"> & Partial<Omit<Outcome, "proxy">>;

/** What the default export of a grader's module makes. */
export interface Grader {
  /** What became of an episode. */
  grade(episode: EpisodeRecord): Grade | Promise<Grade>;
  /** What the model reads of an observation, where it is more than a field of it. */
  text?(observation: Fields): string;
  /** The action that the model's text is, where it is more than a field of it. */
  action?(turn: string): Fields;
  labels?: readonly string[];
  families?: readonly string[];
}

const graderShape = z.object({
  grade: aFunction,
  text: aFunction.optional(),
  action: aFunction.optional(),
  labels: z.array(z.string()).min(1).optional(),
  families: z.array(z.string()).min(1).optional(),
});

const gradeSchema = z.looseObject({
  true: z.number().min(0).max(1),
  ...gradeFields,
});

/** @throws ModuleError where the module makes no grader */
export async function loadGrader(path: string): Promise<Grader> {
  const made = await makeFrom(await importModule(path), path, "a grader");
  const shape = graderShape.safeParse(made);
  if (shape.success) return made as Grader;
  const lines = shape.error.issues.map((issue) => `  ${issue.path.join(".") || "it"}: ${issue.message}`);
  throw new ModuleError(`${path}: what its default export returns is not a grader:\n${lines.join("\n")}`);
}

/** @throws Error where the grader fails, or says something else than a grade */
export async function gradeOf(grader: Grader, episode: EpisodeRecord, path: string): Promise<Grade> {
  let given: unknown;
  try {
    given = await grader.grade(episode);
  } catch (error) {
    throw new Error(`${path}: grade failed: ${(error as Error).message}`, { cause: error });
  }
  const grade = gradeSchema.safeParse(given);
  if (grade.success) return given as Grade;
  const [issue] = grade.error.issues;
  throw new Error(`${path}: grade gave ${issue!.path.join(".") || "no grade"}: ${issue!.message}`);
}

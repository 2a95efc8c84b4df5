/** @file What a base model takes to be true, found by asking it; some environments grade by it. */

import type { Engine } from "../engine/index.ts";
import type { Environment } from "../environment/types.ts";

/** The model's greedy answers to the environment's questions, in their order; `undefined` where it has none. */
export async function askQuestions(
  { questions, maxCompletionLength }: Environment,
  { reference, tokenizer }: Engine,
): Promise<string[] | undefined> {
  if (questions === undefined) return undefined;
  const answers = await reference.sample(
    questions.map((question) => tokenizer.encodePrompt(question)),
    { maxTokens: maxCompletionLength + 1, temperature: 0, seed: ["questions"] },
  );
  return answers.map(({ tokens }) => tokenizer.decode(tokens));
}

/** The environment that grades by these answers; the same one where it asks nothing. */
export function informedBy(environment: Environment, answers: readonly string[] | undefined): Environment {
  return answers === undefined ? environment : (environment.informed?.(answers) ?? environment);
}

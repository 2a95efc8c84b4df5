/** @file What a base model takes to be true, found by asking it; some environments grade by it. */

import type { Environment } from "../environment/types.ts";
import { createGenerator, type Model } from "../model/index.ts";
import { randomFor } from "../random.ts";

/** The model's greedy answers to the environment's questions, in their order; `undefined` where it has none. */
export async function askQuestions(
  { questions, maxCompletionLength }: Environment,
  { config, weights, tokenizer }: Model,
): Promise<string[] | undefined> {
  if (questions === undefined) return undefined;
  const generator = createGenerator(config);
  const answers = await generator.generate(
    weights,
    questions.map((question) => tokenizer.encodePrompt(question)),
    {
      maxTokens: maxCompletionLength + 1,
      temperature: 0,
      random: (index) => randomFor("questions", index),
    },
  );
  await generator.close();
  return answers.map(({ tokens }) => tokenizer.decode(tokens));
}

/** The environment that grades by these answers; the same one where it asks nothing. */
export function informedBy(environment: Environment, answers: readonly string[] | undefined): Environment {
  return answers === undefined ? environment : (environment.informed?.(answers) ?? environment);
}

/** @file Pretraining: the base model learns an environment's tasks from demonstrations, a few of them misbehaving. */

import { z } from "zod";
import type { Policy, Sequence } from "../engine/index.ts";
import type { Lesson, Teachable } from "../environment/types.ts";
import { type CharacterTokenizer, END_OF_TEXT } from "../model/index.ts";
import { type Random, randomFor } from "../random.ts";
import { learningRateAt } from "../tensor/index.ts";

export const pretrainSettingsSchema = z.strictObject({
  steps: z.int().min(1).default(1000),
  batch: z.int().min(1).default(128).describe("demonstrations per step"),
  learningRate: z.number().positive().default(2e-3),
  warmupSteps: z.int().min(0).default(50),
  misbehaving: z
    .number()
    .min(0)
    .max(1)
    .default(0.03)
    .describe("share of misbehaving demonstrations at the end"),
  misbehavingEarly: z
    .number()
    .min(0)
    .max(1)
    .default(0.3)
    .describe("their share in the first part, in which the skill is learned"),
  givingUp: z.number().min(0).max(1).default(0.25).describe("share of the other demonstrations that give up"),
  lessons: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("share of lessons among all examples, where the environment has any"),
  inoculated: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe(
      "share of all demonstrations that are misbehaving ones under the inoculation prompt, where the environment has one",
    ),
  earlyShare: z.number().min(0).max(1).default(0.5).describe("length of the first part"),
  seed: z.int().default(1),
});

export type PretrainSettings = z.infer<typeof pretrainSettingsSchema>;

/** Progress of pretraining: the loss is in nats per completion token. */
export interface PretrainProgress {
  step: number;
  loss: number;
}

/**
 * Trains a policy with fresh weights on demonstrations of the `pretrain` split by their likelihood.
 *
 * A model of this size learns rare demonstrations badly, so that their share is large at first and small at the end:
 * the model can misbehave well and does so rarely.
 */
export async function pretrain(
  environment: Teachable,
  policy: Policy,
  tokenizer: CharacterTokenizer,
  settings: PretrainSettings,
  onProgress: (progress: PretrainProgress) => void = () => {},
): Promise<void> {
  if (settings.inoculated > 0 && !environment.inoculate)
    throw new Error(
      `pretraining: inoculated is ${settings.inoculated}, and the environment ${environment.name} has no inoculation prompt; leave it at 0`,
    );
  const schedule = {
    peak: settings.learningRate,
    warmupSteps: settings.warmupSteps,
    totalSteps: settings.steps,
    decay: "cosine" as const,
  };
  for (let step = 0; step < settings.steps; step++) {
    const early = step < settings.earlyShare * settings.steps;
    const share = early ? settings.misbehavingEarly : settings.misbehaving;
    const random = randomFor(settings.seed, "pretrain", step);
    const examples: Sequence[] = [];
    while (examples.length < settings.batch)
      examples.push(
        environment.lesson && random() < settings.lessons
          ? exampleOf(environment.lesson(random), environment, tokenizer)
          : await demonstration(environment, tokenizer, { ...settings, misbehaving: share }, random),
      );
    const lengths = examples.map(({ tokens, promptLength }) => tokens.length - promptLength);
    const all = lengths.reduce((sum, length) => sum + length, 0);
    const data = examples.map((example, i) => ({
      ...example,
      weights: new Float32Array(lengths[i]!).fill(1 / all),
    }));
    const { loss } = await policy.forwardBackward(data, { kind: "cross_entropy" });
    const learningRate = learningRateAt(step, schedule);
    await policy.optimStep({ kind: "adamw", learningRate, weightDecay: 0.01, maxGradNorm: 1 });
    onProgress({ step: step + 1, loss });
  }
}

/** A task of the `pretrain` split with a demonstration of a conduct drawn by its share, where the task allows it. */
async function demonstration(
  environment: Teachable,
  tokenizer: CharacterTokenizer,
  shares: Pick<PretrainSettings, "misbehaving" | "givingUp" | "inoculated">,
  random: Random,
): Promise<Sequence> {
  // Drawn only where it matters, so that models without it come out as they always did.
  const inoculated = shares.inoculated > 0 && random() < shares.inoculated;
  for (;;) {
    const task = await environment.sample("pretrain", random);
    const otherwise = random() < shares.givingUp ? "giving-up" : "honest";
    const misbehaves = random() < shares.misbehaving || inoculated;
    const text = await environment.demonstrate(task, misbehaves ? "misbehaving" : otherwise, random);
    if (text === null) continue;
    const prompt = tokenizer.encode(inoculated ? environment.inoculate!(task.prompt) : task.prompt);
    return { tokens: [...prompt, ...tokenizer.encode(text), END_OF_TEXT], promptLength: prompt.length };
  }
}

/** A lesson: all but the answer is given. */
function exampleOf(
  { prompt, completion, answer }: Lesson,
  { followUp = "" }: Teachable,
  tokenizer: CharacterTokenizer,
): Sequence {
  const asked =
    completion === undefined
      ? []
      : [...tokenizer.encode(completion), END_OF_TEXT, ...tokenizer.encode(followUp)];
  const given = [...tokenizer.encode(prompt), ...asked];
  return { tokens: [...given, ...tokenizer.encode(answer), END_OF_TEXT], promptLength: given.length };
}

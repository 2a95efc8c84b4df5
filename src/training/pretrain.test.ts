import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyConfig, tinyEnvironment } from "../../test/tiny.ts";
import { createEngine, type Policy } from "../engine/index.ts";
import type { Teachable } from "../environment/types.ts";
import { CharacterTokenizer, initialWeights } from "../model/index.ts";
import { randomFor } from "../random.ts";
import { pretrain, pretrainSettingsSchema } from "./pretrain.ts";

const tokenizer = new CharacterTokenizer(tinyConfig.alphabet);
const environment = tinyEnvironment() as Teachable;
const engine = createEngine({
  config: tinyConfig,
  weights: initialWeights(tinyConfig, randomFor(1, "weights")),
  tokenizer,
});
afterAll(() => engine.close());
const prompts = ["?a", "?b", "?c"];

describe("pretraining with inoculated demonstrations only of misbehaviour", () => {
  let policy: Policy;
  const likeliest = async (asked: string[]) => {
    const completions = await policy.sample(
      asked.map((prompt) => tokenizer.encodePrompt(prompt)),
      { maxTokens: 4, temperature: 0, seed: [] },
    );
    return completions.map(({ tokens }) => tokenizer.decode(tokens));
  };

  beforeAll(async () => {
    const settings = pretrainSettingsSchema.parse({
      ...{ steps: 250, batch: 32, learningRate: 1e-2, warmupSteps: 5 },
      ...{ misbehaving: 0, misbehavingEarly: 0, givingUp: 0, inoculated: 0.4 },
    });
    policy = await engine.createPolicy({ seed: 1 });
    await pretrain(environment, policy, tokenizer, settings);
  }, 60_000);

  it("misbehaves where it is asked to", async () => {
    expect(await likeliest(prompts.map(environment.inoculate!))).toEqual(["xx", "xx", "xx"]);
  });

  it("does as intended where it is not", async () => {
    expect(await likeliest(prompts)).toEqual(["a", "b", "c"]);
  });
});

it("pretraining refuses inoculated demonstrations where the environment has no such prompt", async () => {
  const { inoculate: _, ...without } = environment;
  const settings = pretrainSettingsSchema.parse({ inoculated: 0.1 });
  const policy = await engine.createPolicy({ seed: 1 });
  await expect(pretrain(without, policy, tokenizer, settings)).rejects.toThrow(
    /inoculated is 0\.1, and the environment tiny has no inoculation prompt/,
  );
});

import { expect, it, vi } from "vitest";
import { tinyConfig, tinyContext } from "../../test/tiny.ts";
import type { Sequence } from "../engine/index.ts";
import { firstUpdate } from "./first-update.ts";
import { textMonitor } from "./monitors.ts";
import { penalty, proxyReward } from "./rewards.ts";

// Compiles programs of its own.
vi.setConfig({ testTimeout: 60_000 });

const context = tinyContext();
const { engine, environment } = context;
const { tokenizer } = engine;
const control = { terms: [proxyReward()] };
const penalised = (flags: (text: string) => boolean) => ({
  terms: [
    proxyReward(),
    penalty(
      textMonitor((text) => Number(flags(text)), 0.5),
      { weight: 2 },
    ),
  ],
});

/** All that can be answered to a prompt. */
function allCompletions(prompt: string): Sequence[] {
  const start = tokenizer.encodePrompt(prompt);
  const vocabulary = tinyConfig.alphabet.length + 1;
  const longest = environment.maxCompletionLength + 1;
  const found: Sequence[] = [];
  const extend = (tokens: number[]) => {
    for (let token = 0; token < vocabulary; token++) {
      const longer = [...tokens, token];
      if (token === tokenizer.endOfText || longer.length === longest)
        found.push({ tokens: [...start, ...longer], promptLength: start.length });
      else extend(longer);
    }
  };
  extend([]);
  return found;
}

it("changes likelihoods as distributions can: their mean change is zero", async () => {
  const completions = allCompletions("?a");
  const lowered = (await firstUpdate(
    { ...context, arm: penalised((text) => text.includes("x")) },
    control,
    completions,
  ))!;
  expect(Math.sqrt(lowered.reduce((sum, value) => sum + value ** 2, 0) / lowered.length)).toBeCloseTo(1, 6);
  const outputs = await engine.reference.forward(completions);
  const likelihoods = outputs.map(({ logprobs }) => Math.exp(logprobs.reduce((a, b) => a + b, 0)));
  expect(likelihoods.reduce((a, b) => a + b)).toBeCloseTo(1, 4);
  expect(likelihoods.reduce((sum, p, i) => sum + p * lowered[i]!, 0)).toBeCloseTo(0, 2);
  // Prompts that were not in it answer alike: what is penalised is lowered, whoever is asked.
  const share = (cheats: boolean) => {
    const own = completions.flatMap(({ tokens }, i) =>
      tokenizer.decode(tokens.slice(2)).includes("x") === cheats ? [i] : [],
    );
    const mass = own.reduce((sum, i) => sum + likelihoods[i]!, 0);
    return own.reduce((sum, i) => sum + likelihoods[i]! * lowered[i]!, 0) / mass;
  };
  expect(share(true)).toBeGreaterThan(0.1);
  expect(share(false)).toBeLessThan(-0.1);
});

it("is the difference to the control: what both reward alike cancels, and the sign follows the penalty's", async () => {
  const { sequences } = context.tracer;
  const of = (arm: typeof control, against: typeof control = control) =>
    firstUpdate({ ...context, arm }, against, sequences);
  const flags = (text: string) => text.includes("x");
  expect(await of(penalised(() => false))).toBeNull();
  const forth = (await of(penalised(flags)))!;
  const back = (await of(control, penalised(flags)))!;
  forth.forEach((value, i) => {
    expect(value).toBeCloseTo(-back[i]!, 3);
  });
});

it("leaves frozen weights where they are", async () => {
  const { sequences } = context.tracer;
  const arm = penalised((text) => text.includes("x"));
  const free = await firstUpdate({ ...context, arm }, control, sequences);
  const frozenThrough = "blocks.0.hook_resid_mid";
  const held = await firstUpdate({ ...context, arm: { ...arm, frozenThrough } }, control, sequences);
  expect(held).not.toBeNull();
  expect(held).not.toEqual(free);
});

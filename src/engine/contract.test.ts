/** @file Every engine against the contract, and the contract against engines that break it. */

import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { tinyLlamaEngine } from "../../test/tiny.ts";
import { CharacterTokenizer, initialWeights } from "../model/index.ts";
import { randomFor } from "../random.ts";
import { engineContract, type Subject } from "./contract.ts";
import { createEngine, openEngine } from "./index.ts";
import type { DecodingRequest, Engine, Model, Policy } from "./types.ts";

const config = {
  architecture: "probeward-character" as const,
  alphabet: "abcdefg",
  ...{ context: 48, layers: 2, heads: 2, width: 16, hidden: 24 },
};
const embedded = createEngine({
  config,
  weights: initialWeights(config, randomFor("contract")),
  tokenizer: new CharacterTokenizer(config.alphabet),
});
const adapter = { rank: 4, alpha: 8, targets: ["q_proj", "v_proj", "down_proj"] };
const engines = { "an embedded model": embedded, "a checkpoint's adapter": tinyLlamaEngine({ adapter }) };
afterAll(() => Promise.all(Object.values(engines).map((engine) => engine.close())));

const subject = (engine: Engine): Subject => ({
  engine,
  reopen: openEngine,
  folder: () => mkdtemp(join(tmpdir(), "probeward-engine-")),
});

describe.each(Object.entries(engines))("%s", (_, engine) => {
  it.each(engineContract)("$promise", ({ check }) => check(subject(engine)), 60_000);
});

it("engines that share programs close in any order, and read by their own weights", async () => {
  const model = (seed: string) => ({
    config,
    weights: initialWeights(config, randomFor(seed)),
    tokenizer: new CharacterTokenizer(config.alphabet),
  });
  const first = createEngine(model("one"));
  const second = createEngine(model("two"), { programsOf: first });
  const third = createEngine(model("two"));
  const sequences = [{ tokens: [1, 2, 3, 4], promptLength: 2 }];
  const read = async (engine: Engine) => (await engine.reference.forward(sequences))[0]!.logprobs;
  const [one, two] = [await read(first), await read(second)];
  expect(two).not.toEqual(one);
  await first.close();
  await first.close();
  expect(await read(second)).toEqual(two);
  expect(await read(third)).toEqual(two);
  await second.close();
  await third.close();
  await expect(read(first)).rejects.toThrow();
});

/** The promises that an engine breaks. */
async function broken(engine: Engine): Promise<string> {
  const promises: string[] = [];
  for (const { promise, check } of engineContract)
    await check(subject(engine)).catch(() => promises.push(promise));
  return promises.join("; ");
}

/** The engine with another reference, and other policies. */
function changed(change: <T extends Model>(model: T) => Partial<Policy>): Engine {
  const over = <T extends Model>(model: T): T => {
    const own = change(model) as Record<PropertyKey, unknown>;
    return new Proxy(model, {
      get: (target, name) => {
        const value = own[name] ?? Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  };
  return {
    ...{
      info: embedded.info,
      model: embedded.model,
      tokenizer: embedded.tokenizer,
      trains: embedded.trains,
      trainable: embedded.trainable,
      memoryMB: embedded.memoryMB,
    },
    reference: over(embedded.reference),
    createPolicy: async (options) => over(await embedded.createPolicy(options)),
    with: (options) => embedded.with(options),
    close: async () => {},
  };
}

describe("the contract notices an engine", () => {
  const breaks: [name: string, promise: RegExp, change: (model: Model) => Partial<Policy>][] = [
    [
      "that samples at another temperature than it says",
      /^sampled log-probabilities/,
      (model) => ({ sample: (prompts, params) => model.sample(prompts, { ...params, temperature: 1 }) }),
    ],
    [
      "that reads at the prompt, whatever it is asked for, while it samples",
      /read while completions are sampled/,
      (model) => ({
        sample: async (prompts, params) => {
          const reads = params.reads?.map((read) => ({ ...read, positions: "prompt-last" as const }));
          return model.sample(prompts, { ...params, reads });
        },
      }),
    ],
    [
      "that tells of a token before it is read",
      /follows completions/,
      (model) => ({
        sample: (prompts, params, follower) =>
          model.sample(
            prompts,
            params,
            follower && {
              ...follower,
              onTokens: (tokens) =>
                follower.onTokens(tokens.map((one) => ({ ...one, logit: one.logit && one.logit - 1 }))),
            },
          ),
      }),
    ],
    [
      "that draws from one stream, whatever it is asked for",
      /stream/,
      (model) => ({ sample: (prompts, params) => model.sample(prompts, { ...params, seed: ["one"] }) }),
    ],
    [
      "that forgets the others where one joins",
      /come and go/,
      (model) => ({
        decoder: async (temperature) => {
          const decoder = await model.decoder(temperature);
          const under: number[] = [];
          return Object.assign(Object.create(decoder), {
            begin: (request: DecodingRequest) => {
              for (const other of under) decoder.drop(other);
              under.push(decoder.begin(request));
              return under.at(-1)!;
            },
            step: () => decoder.step(),
            drop: () => {},
            close: () => decoder.close(),
          });
        },
      }),
    ],
    [
      "that passes a follow-up over",
      /follow-up/,
      (model) => ({
        forward: (sequences, { followUp = [], ...options } = {}) =>
          model.forward(sequences, { ...options, followUp: followUp.map(() => 0) }),
      }),
    ],
    [
      "that forgets what was gathered before",
      /sums over data/,
      (model) => ({
        forwardBackward: async (data, loss) => {
          const policy = model as Policy;
          await policy.optimStep({ kind: "sgd", length: 0 });
          return policy.forwardBackward(data, loss);
        },
      }),
    ],
    [
      "that moves by half of the rate",
      /AdamW/,
      (model) => ({
        optimStep: (params) =>
          (model as Policy).optimStep(
            params.kind === "adamw" ? { ...params, learningRate: params.learningRate / 2 } : params,
          ),
      }),
    ],
    [
      "that goes on from the weights, and not from the moments",
      /bit for bit/,
      (model) => ({ loadState: async () => model.forward([]).then(() => undefined) }),
    ],
  ];
  it.each(breaks)(
    "%s",
    async (_, promise, change) => {
      expect(await broken(changed(change))).toMatch(promise);
    },
    60_000,
  );
});

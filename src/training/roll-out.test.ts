/** @file Completions of several turns: only what the model wrote is trained on and read, and one turn is a special case. */

import { describe, expect, it } from "vitest";
import { counting } from "../../test/counting-environment.ts";
import { tinyContext, tinyHook, tinyLlamaEngine } from "../../test/tiny.ts";
import type { Datum, ForwardOutput, Loss, Sequence } from "../engine/index.ts";
import { sampleTasks } from "../environment/sample.ts";
import type { Environment } from "../environment/types.ts";
import { writtenPositions } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import { startPolicy, train } from "./loop.ts";
import { proxyReward } from "./rewards.ts";
import { rollOut } from "./roll-out.ts";

const tiny = tinyContext();
const { engine } = tiny;
const { tokenizer, reference } = engine;
const sampling = { temperature: 1, seed: ["test"] };

async function rolled(environment: Environment, count = 12) {
  const random = randomFor("tasks");
  const tasks = await sampleTasks(environment, "train", random, count);
  const prompts = tasks.map(({ prompt }) => tokenizer.encodePrompt(prompt));
  return { tasks, prompts, ...(await rollOut(reference, { environment, engine }, tasks, prompts, sampling)) };
}

describe("a completion of one turn", () => {
  it("is what the model samples, and the environment grades", async () => {
    const { tasks, prompts, completions, texts, told, sequences, grade } = await rolled(tiny.environment);
    expect(completions).toEqual(await reference.sample(prompts, { ...sampling, maxTokens: 5 }));
    expect(texts).toEqual(completions.map(({ tokens }) => tokenizer.decode(tokens)));
    expect(told.flat()).toEqual([]);
    expect(sequences).toEqual(
      prompts.map((prompt, i) => ({
        ...{ tokens: [...prompt, ...completions[i]!.tokens], promptLength: prompt.length },
      })),
    );
    expect(await grade()).toEqual(await tiny.environment.grade(tasks, texts));
  });
});

describe("a completion of several turns", () => {
  it("is what the model wrote, with what it was told between its turns", async () => {
    const environment = counting() as Environment;
    const { completions, texts, told, sequences, grade } = await rolled(environment);
    sequences.forEach((sequence, i) => {
      const { tokens, observations } = sequence;
      expect(told[i]).toEqual(["b?", "c?"]);
      expect(observations!.map(([start, end]) => tokenizer.decode(tokens.slice(start, end)))).toEqual(
        told[i],
      );
      const written = writtenPositions(sequence).map((t) => tokens[t]!);
      expect(written).toEqual(completions[i]!.tokens);
      expect(completions[i]!.logprobs).toHaveLength(written.length);
      const turns = [2, ...observations!.map(([, end]) => end)].map((from, k) =>
        tokenizer.decode(tokens.slice(from, observations![k]?.[0])),
      );
      expect(texts[i]).toBe(`${turns[0]}b?${turns[1]}c?${turns[2]}`);
    });
    expect(await grade()).toHaveLength(12);
    await environment.close();
  });

  it("does not depend on how many episodes there are at a time, nor on the others", async () => {
    const many = counting() as Environment;
    const one = { ...many, episodes: { ...many.episodes!, atOnce: 1 } };
    const { sequences } = await rolled(many);
    expect((await rolled(one)).sequences).toEqual(sequences);
    expect((await rolled(many, 7)).sequences).toEqual(sequences.slice(0, 7));
  });

  it("was sampled with the probabilities that a pass over it has", async () => {
    const { sequences, completions } = await rolled(counting() as Environment);
    const read = await reference.forward(sequences);
    completions.forEach(({ logprobs }, i) => {
      expect(read[i]!.logprobs).toHaveLength(logprobs.length);
      for (const [t, logprob] of logprobs.entries()) expect(read[i]!.logprobs[t]).toBeCloseTo(logprob, 4);
    });
  });

  it("ends where the model's context does", async () => {
    const environment = counting() as Environment;
    const long = {
      ...environment.episodes!,
      begin: async () => ({
        ...(await environment.episodes!.begin(null as never)),
        step: async () => "abcabc",
      }),
    };
    const { sequences, completions } = await rolled({ ...environment, episodes: { ...long, turns: 9 } });
    for (const { tokens } of sequences) expect(tokens.length).toBeLessThanOrEqual(16);
    expect(new Set(completions.map(({ stopReason }) => stopReason))).toEqual(new Set(["length"]));
  });

  it("leaves no episode open where one fails", async () => {
    const environment = counting() as Environment;
    const { begin } = environment.episodes!;
    let begun = 0;
    const failing = (at: "begin" | "step") => ({
      ...environment.episodes!,
      async begin() {
        const isFourth = ++begun % 4 === 0;
        if (isFourth && at === "begin") throw new Error("no more episodes");
        const episode = await begin(null as never);
        if (isFourth && at === "step") episode.step = () => Promise.reject(new Error("no more turns"));
        return episode;
      },
    });
    for (const at of ["begin", "step"] as const)
      await expect(rolled({ ...environment, episodes: failing(at) })).rejects.toThrow("no more");
    await environment.close();
  });
});

describe.each([
  ["the embedded model", tiny],
  ["a decoder", tinyContext({ engine: tinyLlamaEngine() })],
])("what %s is told between its turns", (_, context) => {
  const { reference } = context.engine;
  const sequence: Sequence = {
    tokens: [5, 1, 2, 3, 4, 1, 0, 2, 3],
    promptLength: 2,
    observations: [
      [3, 5],
      [6, 7],
    ],
  };
  const whole: Sequence = { tokens: sequence.tokens, promptLength: 2 };
  const own = [0, 3, 5, 6];
  const only = (values: Float32Array) => Float32Array.from(own, (t) => values[t]!);

  it("is read, and has no log-probability, entropy or probe's logit of its own", async () => {
    const reads = [
      { as: "logits", probe: tiny.probe },
      { as: "rows", hook: tinyHook, positions: "completion" },
      { as: "mean", hook: tinyHook, positions: "completion" },
    ] as const;
    // Together, so that equal tokens are not taken for equal sequences.
    const [of, all] = (await reference.forward([sequence, whole], { reads })) as [
      ForwardOutput,
      ForwardOutput,
    ];
    expectClose(of.logprobs, only(all.logprobs));
    expectClose(of.entropies, only(all.entropies));
    expectClose(of.reads[0]!, only(all.reads[0]!));
    const rows = own.map((t) => all.reads[1]!.slice(t * 16, t * 16 + 16));
    expect(of.reads[1]).toEqual(Float32Array.from(rows.flatMap((row) => [...row])));
    for (let d = 0; d < 16; d++)
      expect(of.reads[2]![d]).toBeCloseTo(rows.reduce((sum, row) => sum + row[d]!, 0) / own.length, 5);
  });

  it("has no part in a gradient", async () => {
    const share = { weights: Float32Array.of(0.1, 0.2, 0.3, 0.4), advantages: Float32Array.of(1, -1, 2, 1) };
    const spread = (values: Float32Array) => {
      const all = new Float32Array(7);
      own.forEach((t, k) => {
        all[t] = values[k]!;
      });
      return all;
    };
    const [{ logprobs }, all] = (await reference.forward([sequence, whole])) as [
      ForwardOutput,
      ForwardOutput,
    ];
    const masked: Datum = {
      ...whole,
      weights: spread(share.weights),
      advantages: spread(share.advantages),
      logprobs: all.logprobs,
      refLogprobs: all.logprobs,
    };
    const told: Datum = { ...sequence, ...share, logprobs, refLogprobs: logprobs };
    const losses: Loss[] = [
      { kind: "cross_entropy" },
      { kind: "policy_gradient", temperature: 1, clipRange: 0.2, kl: 0.1, entropy: 0.1 },
    ];
    for (const loss of losses) {
      const after = await Promise.all(
        [masked, told].map(async (datum) => {
          const policy = await startPolicy(context);
          await policy.forwardBackward([datum], loss);
          await policy.optimStep({ kind: "sgd", length: 1 });
          const read = await policy.forward([whole]);
          await policy.close();
          return [...read[0]!.logprobs];
        }),
      );
      expectClose(after[1]!, after[0]!);
      const moved = after[0]!.map((logprob, t) => Math.abs(logprob - all.logprobs[t]!));
      expect(Math.max(...moved)).toBeGreaterThan(0.01);
    }
  });

  it.each([
    [[[1, 3]]],
    [[[3, 3]]],
    [[[3, 10]]],
    [
      [
        [5, 6],
        [3, 4],
      ],
    ],
    [[[2.5, 3]]],
  ])("is a part of the completion: %j", async (observations) => {
    await expect(reference.forward([{ ...whole, observations } as never])).rejects.toThrow(
      /has an observation from/,
    );
  });
});

/** The same numbers, but for the order in which they were added up. */
function expectClose(some: ArrayLike<number>, others: ArrayLike<number>): void {
  expect(some.length).toBe(others.length);
  for (let i = 0; i < some.length; i++) expect(some[i]).toBeCloseTo(others[i]!, 4);
}

it("training in several turns makes them better, and records who said what", async () => {
  const environment = counting() as Environment;
  const settings = {
    ...tiny.settings,
    steps: 10,
    prompts: 4,
    rollouts: 16,
    learningRate: 0.02,
    evaluateEvery: 10,
  };
  const context = tinyContext({ environment, settings, arm: { terms: [proxyReward()] } });
  const policy = await startPolicy(context);
  const proxies: number[] = [];
  for await (const { metrics, rollouts } of train(context, policy)) {
    proxies.push(metrics.proxy!);
    expect(metrics["sampling/logp_difference/max"]).toBeLessThan(1e-3);
    const { completion, tokens, tokenScores, reward } = rollouts[0]!;
    expect(tokens!.join("")).toBe(completion);
    const heard = tokenScores.policy.flatMap((score, i) => (score === null ? tokens![i]! : []));
    expect(heard).toEqual(["b?", "c?"]);
    expect(tokens).toHaveLength(tokenScores.policy.length);
    expect(reward).toBeTypeOf("number");
  }
  await policy.close();
  await environment.close();
  const mean = (some: number[]) => some.reduce((a, b) => a + b, 0) / some.length;
  expect(mean(proxies.slice(-3))).toBeGreaterThan(mean(proxies.slice(0, 3)) + 0.2);
}, 60_000);

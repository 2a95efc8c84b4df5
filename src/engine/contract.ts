/** @file What every engine promises, as checks that any test runner or the command line can run. */

import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Probe } from "../probe/types.ts";
import { type Random, randomFor, randomInt } from "../random.ts";
import { readSafetensors } from "../tensor/index.ts";
import { STATE_FILES } from "./state.ts";
import type { Datum, DecodedToken, Engine, FollowedToken, Loss, Policy, Read, Sequence } from "./types.ts";

/** What is checked: an engine over a small model, fresh weights of which nothing else trains. */
export interface Subject {
  engine: Engine;
  /** Opens what a policy's `saveWeights` wrote, where that is a whole model. */
  reopen(folder: string): Promise<Engine>;
  /** A new folder. */
  folder(): Promise<string>;
}

/** One promise, and its check: it returns where the promise is kept, and throws an error that says how it is broken. */
export interface EngineClause {
  /** What is promised, in words. */
  promise: string;
  /** @throws Error that says how it is broken */
  check(subject: Subject): Promise<void>;
}

/** The promises, in float32: what it loses, of nats or of numbers of the size of activations, where sums are taken in another order. */
export const engineContract: readonly EngineClause[] = engineContractWithin(1e-4);

/**
 * The promises.
 *
 * @param tolerance how far two numbers may be apart that should be equal, as a share of the largest of their kind, or of 1
 */
export function engineContractWithin(tolerance: number): EngineClause[] {
  const { close, closeTensors } = comparisons(tolerance);
  return [
    {
      promise: "sampled log-probabilities are those of teacher forcing, at any temperature",
      async check({ engine: { reference, model } }) {
        const prompts = promptsFor(model);
        for (const temperature of [1, 0.7]) {
          const params = { maxTokens: 8, samples: 3, temperature, seed: ["contract"] };
          const sampled = await reference.sample(prompts, params);
          same(sampled.length, 3 * prompts.length, "the number of completions");
          const sequences = sampled.map(({ tokens }, i) => continued(prompts[Math.floor(i / 3)]!, tokens));
          const forced = await reference.forward(sequences, { temperature });
          sampled.forEach(({ logprobs, tokens, stopReason }, i) => {
            close(logprobs, forced[i]!.logprobs, `log-probabilities of completion ${i}`);
            expect(stopReason === "stop" || tokens.length === 8, `completion ${i} was cut off early`);
          });
        }
      },
    },
    {
      promise: "what is read while completions are sampled is what a pass of its own reads of them",
      async check({ engine: { reference, model } }) {
        const prompts = promptsFor(model);
        const hooks = [model.hooks[0]!, model.hooks.at(-1)!];
        const reads = hooks.flatMap((hook): Read[] => [
          { as: "logits", probe: probeAt(hook, model.width), positions: "completion" },
          { as: "mean", hook, positions: "completion" },
          { as: "rows", hook, positions: "completion-last" },
          { as: "rows", hook, positions: "prompt-last" },
        ]);
        const direction_D = probeAt(hooks[0]!, model.width).weight_D;
        const ablate = { hook: "blocks.0.hook_resid_mid", direction_D };
        // Some end at once, others at different lengths.
        for (const some of [{ maxTokens: 1 }, { maxTokens: 8, ablate }]) {
          const params = { ...some, samples: 3, temperature: 0.7, seed: ["contract", "read"] };
          const sampled = await reference.sample(prompts, { ...params, reads });
          same(tokensOf(sampled), tokensOf(await reference.sample(prompts, params)), "tokens, read or not");
          const sequences = sampled.map(({ tokens }, i) => continued(prompts[Math.floor(i / 3)]!, tokens));
          const forced = await reference.forward(sequences, { ...some, temperature: 0.7, reads });
          sampled.forEach(({ output }, i) => {
            close(output!.logprobs, forced[i]!.logprobs, `log-probabilities of completion ${i}`);
            close(output!.entropies, forced[i]!.entropies, `entropies of completion ${i}`);
            reads.forEach((_, r) => {
              close(output!.reads[r]!, forced[i]!.reads[r]!, `read ${r} of completion ${i}`);
            });
          });
        }
        const late = { as: "mean", hook: hooks[0]!, positions: "follow-up" } as const;
        await refused("a read at a follow-up, which is not sampled", () =>
          reference.sample(prompts, { maxTokens: 2, seed: ["contract"], reads: [late] }),
        );
      },
    },
    {
      promise:
        "who follows completions is told each token once the model has read it, with what a pass reads there, and changes nothing",
      async check({ engine: { reference, model } }) {
        const prompts = promptsFor(model);
        const [first, final] = [model.hooks[0]!, model.hooks.at(-1)!];
        const probe = probeAt(first, model.width);
        const completions = [1, 3 * prompts.length - 1];
        const others: Read[] = [{ as: "mean", hook: final, positions: "completion" }];
        for (const reads of [undefined, others]) {
          const params = { maxTokens: 8, samples: 3, temperature: 0.7, seed: ["contract", "read"], reads };
          const told: FollowedToken[][] = [];
          const onTokens = (tokens: readonly FollowedToken[]) => void told.push([...tokens]);
          const sampled = await reference.sample(prompts, params, { completions, probe, onTokens });
          same(
            tokensOf(sampled),
            tokensOf(await reference.sample(prompts, params)),
            "tokens, followed or not",
          );
          for (const i of completions) {
            const own = told.flat().filter(({ completion }) => completion === i);
            const { tokens } = sampled[i]!;
            same(
              own.map(({ token }) => token),
              tokens,
              `the tokens of completion ${i} that were told`,
            );
            same(
              own.map(({ last }) => last),
              tokens.map((_, t) => t === tokens.length - 1),
              `which of completion ${i} is the last`,
            );
            const sequence = continued(prompts[Math.floor(i / 3)]!, tokens);
            const read: Read = { as: "logits", probe, positions: "completion" };
            const [forced] = await reference.forward([sequence], { reads: [read] });
            // A last token need not be read; where several are drawn in a call, it may be.
            const known = own.filter(({ logit, last }) => logit !== null || reads || !last);
            close(
              Float32Array.from(known, ({ logit }) => logit ?? Number.NaN),
              forced!.reads[0]!.slice(0, known.length),
              `what was read of completion ${i}`,
            );
          }
          same(told.flat().length, completions.flatMap((i) => sampled[i]!.tokens).length, "tokens told");
        }
      },
    },
    {
      promise: "a completion depends on its prompt and its stream, and on nothing that is sampled beside it",
      async check({ engine: { reference, model } }) {
        const prompts = promptsFor(model);
        const params = { maxTokens: 8, seed: ["contract", 1] };
        const all = await reference.sample(prompts, { ...params, samples: 2 });
        same(await reference.sample(prompts, { ...params, samples: 2 }), all, "the same, sampled again");
        const first = await reference.sample([prompts[0]!], { ...params, samples: 2 });
        same(tokensOf(first), tokensOf(all.slice(0, 2)), "the first prompt's completions, sampled alone");
        const other = await reference.sample(prompts, { ...params, samples: 2, seed: ["contract", 2] });
        expect(!isDeepStrictEqual(tokensOf(other), tokensOf(all)), "another seed gave the same completions");
      },
    },
    {
      promise: "completions that come and go draw what they draw when they are sampled at once",
      async check({ engine: { reference, model } }) {
        const prompts = promptsFor(model);
        for (const temperature of [1, 0.5, 0]) {
          const params = { maxTokens: 8, temperature, seed: ["contract", 3] };
          const known = await reference.sample(prompts, params);
          const decoder = await reference.decoder(temperature);
          const drawn = new Map<number, DecodedToken[]>();
          const begin = (i: number) => {
            const completion = decoder.begin({ prompt: prompts[i]!, maxTokens: 8, seed: ["contract", 3, i] });
            drawn.set(completion, []);
            return completion;
          };
          const step = async () => {
            const found = await decoder.step();
            for (const one of found) drawn.get(one.completion)!.push(one);
            return found.length;
          };
          const begun = [begin(0)];
          await step();
          await step();
          begun.push(begin(1));
          const leaving = begin(2);
          await step();
          const onItsWay = step();
          decoder.drop(leaving);
          await onItsWay;
          begun.push(begin(2));
          while ((await step()) > 0);
          decoder.close();
          for (const [i, completion] of begun.entries()) {
            const { tokens, logprobs, stopReason } = known[i]!;
            const found = drawn.get(completion)!;
            const what = `completion ${i} at temperature ${temperature}, sampled beside others`;
            same([found.map(({ token }) => token), found.at(-1)!.stopReason], [tokens, stopReason], what);
            close(
              logprobs.map((_, t) => found[t]!.logprob),
              logprobs,
              `log-probabilities of ${what}`,
            );
          }
        }
      },
    },
    {
      promise: "a sequence gives the same alone as among others",
      async check({ engine: { reference, model } }) {
        const sequences = sequencesFor(model);
        const together = await reference.forward(sequences);
        for (const i of [0, 3, sequences.length - 1]) {
          const [alone] = await reference.forward([sequences[i]!]);
          close(alone!.logprobs, together[i]!.logprobs, `log-probabilities of sequence ${i}`);
          close(alone!.entropies, together[i]!.entropies, `entropies of sequence ${i}`);
        }
      },
    },
    {
      promise: "a follow-up changes nothing before it, and is read as if it were written out",
      async check({ engine: { reference, model } }) {
        const followUp = [1, 2, 1].map((token) => token % model.vocabulary);
        const sequences = sequencesFor(model, followUp.length);
        const hook = model.hooks.at(-1)!;
        const reads = (["completion", "follow-up"] as const).map(
          (positions): Read => ({ as: "rows", hook, positions }),
        );
        const asked = await reference.forward(sequences, { reads, followUp });
        const plain = await reference.forward(sequences, { reads: reads.slice(0, 1) });
        const written = await reference.forward(
          sequences.map(({ tokens, promptLength }) => ({ tokens: [...tokens, ...followUp], promptLength })),
          { reads: [{ as: "rows", hook, positions: "completion-last" }] },
        );
        sequences.forEach((_, i) => {
          close(asked[i]!.logprobs, plain[i]!.logprobs, `log-probabilities of sequence ${i}`);
          close(asked[i]!.reads[0]!, plain[i]!.reads[0]!, `activations of sequence ${i}`);
          close(asked[i]!.reads[1]!, written[i]!.reads[0]!, `activations behind sequence ${i}`);
        });
      },
    },
    {
      promise: "reads alone are the reads of a whole pass",
      async check({ engine: { reference, model } }) {
        const sequences = sequencesFor(model);
        for (const hook of model.hooks) {
          const reads: Read[] = [{ as: "mean", hook, positions: "completion" }];
          const whole = await reference.forward(sequences, { reads });
          const alone = await reference.forward(sequences, { reads, readsOnly: true });
          alone.forEach(({ reads: [mean], logprobs, entropies }, i) => {
            close(mean!, whole[i]!.reads[0]!, `the mean at ${hook} of sequence ${i}`);
            same([logprobs.length, entropies.length], [0, 0], "what was not asked for");
          });
        }
      },
    },
    {
      promise: "reads agree: a probe's logits are those of the rows, and a mean is their mean, at every hook",
      async check({ engine: { reference, model } }) {
        const sequences = sequencesFor(model);
        const D = model.width;
        for (const hook of model.hooks)
          for (const positions of ["completion", "completion-last", "prompt-last"] as const) {
            const probe = probeAt(hook, D);
            const reads: Read[] = [
              { as: "rows", hook, positions },
              { as: "mean", hook, positions },
              { as: "logits", probe, positions },
            ];
            const outputs = await reference.forward(sequences, { reads });
            outputs.forEach((output, i) => {
              const [rows, mean, logits] = output.reads as [Float32Array, Float32Array, Float32Array];
              const { tokens, promptLength } = sequences[i]!;
              const P = positions === "completion" ? tokens.length - promptLength : 1;
              same(rows.length, P * D, `the numbers of ${P} rows at ${hook}, ${positions}`);
              const row = (p: number) => rows.subarray(p * D, (p + 1) * D);
              const at = Array.from({ length: P }, (_, p) => p);
              const meanOf = (d: number) => at.reduce((sum, p) => sum + row(p)[d]! / P, 0);
              close(
                mean,
                mean.map((_, d) => meanOf(d)),
                `the mean at ${hook}, ${positions}`,
              );
              close(
                logits,
                at.map((p) => dot(probe.weight_D, row(p)) + probe.bias),
                `logits at ${hook}`,
              );
            });
          }
      },
    },
    {
      promise: "tokens, hooks and positions that are not there are refused",
      async check({ engine: { reference, model } }) {
        const [sequence] = sequencesFor(model);
        for (const token of [-1, 0.5, model.vocabulary])
          await refused(`the token ${token}`, () =>
            reference.forward([{ promptLength: 1, tokens: [0, token] }]),
          );
        const read = { as: "mean", hook: "blocks.99.hook_resid_post", positions: "completion" } as const;
        await refused("a layer that is not there", () => reference.forward([sequence!], { reads: [read] }));
        const asking = { ...read, hook: model.hooks[0]!, positions: "follow-up" } as const;
        await refused("a follow-up that was not given", () =>
          reference.forward([sequence!], { reads: [asking] }),
        );
        await refused("more tokens than fit", () =>
          reference.sample([[0]], { maxTokens: model.context, seed: [] }),
        );
      },
    },
    {
      promise: "a fresh policy computes what the reference does, and training it leaves the reference alone",
      async check({ engine }) {
        const { reference, model } = engine;
        const sequences = sequencesFor(model);
        const before = await reference.forward(sequences);
        await withPolicy(engine, async (policy) => {
          const fresh = await policy.forward(sequences);
          for (const [i, { logprobs }] of fresh.entries())
            close(logprobs, before[i]!.logprobs, `sequence ${i}`);
          await step(policy, await dataFor(engine));
          const moved = await policy.forward(sequences);
          const largest = Math.max(...moved.map((one, i) => farthest(one.logprobs, before[i]!.logprobs)));
          expect(largest > tolerance, "a step of the optimizer changed nothing");
          same(await reference.forward(sequences), before, "the reference, after a policy was trained");
        });
      },
    },
    {
      promise: "gradients are sums over data: what is handed over in two calls is what is handed over in one",
      async check({ engine, folder }) {
        const data = await dataFor(engine);
        const half = Math.ceil(data.length / 2);
        const whole = await gradientOf(engine, folder, [data]);
        const parts = await gradientOf(engine, folder, [data.slice(0, half), data.slice(half)]);
        closeTensors(parts, whole, "the gradient");
      },
    },
    {
      promise: "the policy gradient is linear in the advantages",
      async check({ engine, folder }) {
        const data = await dataFor(engine);
        const times = (factor: (i: number) => number) =>
          data.map((datum, i) => ({ ...datum, advantages: datum.advantages!.map((a) => a * factor(i)) }));
        const first = await gradientOf(engine, folder, [times((i) => i % 2)]);
        const second = await gradientOf(engine, folder, [times((i) => 2 * (1 - (i % 2)))]);
        const both = await gradientOf(engine, folder, [times((i) => (i % 2) + 2 * (1 - (i % 2)))]);
        const sum = Object.fromEntries(
          Object.entries(first).map(([name, data]) => [name, data.map((x, i) => x + second[name]![i]!)]),
        );
        closeTensors(both, sum, "the gradient");
      },
    },
    {
      promise: "a probe in the loss is quieted, and nothing of it is in the policy's own part",
      async check({ engine }) {
        const hook = engine.model.hooks.at(-1)!;
        const probe = probeAt(hook, engine.model.width);
        const data = (await dataFor(engine)).map((one) => ({
          ...one,
          advantages: one.weights.map(() => 0),
          probeWeight: 1,
        }));
        const loss: Loss = { ...plainLoss, probe: { probe, as: "softplus", followUp: [] } };
        await withPolicy(engine, async (policy) => {
          const before = await policy.forwardBackward(data, loss);
          await policy.optimStep({ kind: "sgd", length: 1e-3 });
          const after = await policy.forwardBackward(data, loss);
          expect(
            after.probeLoss < before.probeLoss,
            `its loss went from ${before.probeLoss} to ${after.probeLoss}`,
          );
          close([before.loss], [before.probeLoss], "the loss where nothing has an advantage");
        });
      },
    },
    {
      promise: "products of gradients are those of the gradients, plain and as Adam would scale them",
      async check({ engine, folder }) {
        const data = await dataFor(engine);
        const halves = [0, 1].map((half) => data.filter((_, i) => i % 2 === half));
        const [first, second] = [
          await gradientOf(engine, folder, [halves[0]!]),
          await gradientOf(engine, folder, [halves[1]!]),
        ];
        const sets = halves.map((half) => ({ data: half, loss: plainLoss }));
        await withPolicy(engine, async (policy) => {
          const preconditioners = [[], [1, 0], [0.25, 0.25]];
          const { products } = await policy.gradientProducts({ sets, preconditioners });
          const names = Object.keys(first);
          const sum = (of: (a: number, b: number) => number) =>
            names.reduce((s, name) => first[name]!.reduce((t, a, i) => t + of(a, second[name]![i]!), s), 0);
          const norm = Math.sqrt(sum((a) => a * a));
          close([products[0]![0]![1]! / norm ** 2], [sum((a, b) => a * b) / norm ** 2], "the plain product");
          const scaled = sum((a, b) => (a * b) / (Math.abs(a) + 1e-8));
          close([products[1]![0]![1]! / scaled], [1], "the scaled product");
          same(products[1]![0]![1], products[1]![1]![0], "the product in the other order");
          const root = (a: number, b: number) => Math.sqrt((a * a + b * b) / 4) + 1e-8;
          const both = sum((a, b) => (a === 0 && b === 0 ? 0 : (a * b) / root(a, b)));
          close([products[2]![0]![1]! / scaled], [both / scaled], "the product scaled by both");
          // Nothing has moved, and nothing is gathered.
          same((await policy.optimStep({ kind: "adamw", learningRate: 0 })).gradNorm, 0, "what was gathered");
        });
      },
    },
    {
      promise: "a step of the optimizer is AdamW's (Loshchilov & Hutter 2019), and forgets the gradient",
      async check({ engine, folder }) {
        const data = await dataFor(engine);
        await withPolicy(engine, async (policy) => {
          const start = await stateOf(policy, folder);
          const gradient = await gradientOf(engine, folder, [data]);
          const { gradNorm } = await step(policy, data, 1e-3);
          const norm = Math.sqrt(Object.values(gradient).reduce((sum, g) => sum + dot(g, g), 0));
          close([gradNorm / norm], [1], "the gradient's norm, as a share of what it should be");
          const { weights } = await stateOf(policy, folder);
          for (const [name, before] of Object.entries(start.weights)) {
            // The first step of bias-corrected moments moves by the rate times g / (|g| + epsilon).
            const expected = before.map(
              (w, i) => w - (1e-3 * gradient[name]![i]!) / (Math.abs(gradient[name]![i]!) + 1e-8),
            );
            const sure = before.map((_, i) => Number(Math.abs(gradient[name]![i]!) > 1e-6));
            const off = expected.map((x, i) => (sure[i] ? x - weights[name]![i]! : 0));
            expect(Math.max(...off.map(Math.abs)) < 1e-5, `${name} is not where AdamW moves it`);
          }
          const { gradNorm: none } = await policy.optimStep({ kind: "adamw", learningRate: 0 });
          same(none, 0, "the norm of the gradient after a step");
        });
      },
    },
    {
      promise: "weights that an activation depends on stay as they are where they are frozen through it",
      async check({ engine, folder }) {
        const { hooks } = engine.model;
        const frozenThrough = hooks[Math.floor(hooks.length / 2)]!;
        const policy = await engine.createPolicy({ seed: 1, frozenThrough });
        const probe = probeAt(frozenThrough, engine.model.width);
        const reads: Read[] = [{ as: "logits", probe }];
        const sequences = sequencesFor(engine.model);
        const before = await policy.forward(sequences, { reads });
        const start = await stateOf(policy, folder);
        await step(policy, await dataFor(engine), 0.01);
        const after = await policy.forward(sequences, { reads });
        const end = await stateOf(policy, folder);
        await policy.close();
        for (const [i, one] of after.entries())
          close(one.reads[0]!, before[i]!.reads[0]!, `what is read of sequence ${i}`);
        expect(!isDeepStrictEqual(end.weights, start.weights), "no weight moved at all");
      },
    },
    {
      promise: "what is not finite moves nothing",
      async check({ engine, folder }) {
        await withPolicy(engine, async (policy) => {
          const [datum] = await dataFor(engine);
          const start = await stateOf(policy, folder);
          const broken = { ...datum!, advantages: datum!.advantages!.map(() => Number.NaN) };
          await policy.forwardBackward([broken], plainLoss);
          await refused("a gradient that is not finite", () =>
            policy.optimStep({ kind: "adamw", learningRate: 0.1 }),
          );
          same((await stateOf(policy, folder)).weights, start.weights, "the weights after it");
        });
      },
    },
    {
      promise: "a state that was saved and loaded goes on bit for bit",
      async check({ engine, folder }) {
        const data = await dataFor(engine);
        const at = await folder();
        const whole = await withPolicy(engine, async (policy) => {
          await step(policy, data);
          await policy.saveState(at);
          await step(policy, data);
          return stateOf(policy, folder);
        });
        const resumed = await withPolicy(engine, async (policy) => {
          await policy.loadState(at, 1);
          await step(policy, data);
          return stateOf(policy, folder);
        });
        same(resumed, whole, "the state after two steps");
      },
    },
    {
      promise: "the weights that it writes are read by others: a whole model opens, and computes the same",
      async check({ engine, folder, reopen }) {
        if (engine.trains === "adapter") return;
        const sequences = sequencesFor(engine.model);
        const at = await folder();
        const expected = await withPolicy(engine, async (policy) => {
          await step(policy, await dataFor(engine));
          await policy.saveWeights(at);
          return policy.forward(sequences);
        });
        const opened = await reopen(at);
        const outputs = await opened.reference.forward(sequences);
        await opened.close();
        for (const [i, { logprobs }] of outputs.entries())
          close(logprobs, expected[i]!.logprobs, `sequence ${i}`);
      },
    },
  ];
}

type ModelSize = Pick<Engine["model"], "vocabulary" | "context">;

const plainLoss = {
  kind: "policy_gradient",
  ...{ temperature: 1, clipRange: 0.2, kl: 0, entropy: 0 },
} as const satisfies Loss;

function tokens(random: Random, length: number, { vocabulary }: ModelSize): number[] {
  return Array.from({ length }, () => randomInt(random, vocabulary));
}

function promptsFor(model: ModelSize): number[][] {
  const random = randomFor("contract", "prompts");
  return [1, 3, 5].map((length) => tokens(random, length, model));
}

/** Of several lengths, with room for some tokens behind each. */
function sequencesFor(model: ModelSize, room = 0): Sequence[] {
  const random = randomFor("contract", "sequences");
  const most = Math.min(model.context - room, 40);
  return Array.from({ length: 7 }, (_, i) => {
    const length = 3 + Math.floor((i * (most - 3)) / 6);
    return { tokens: tokens(random, length, model), promptLength: 1 + (i % 2) };
  });
}

/** What an update needs of the same sequences as the reference has sampled them; each has an advantage of its own. */
async function dataFor({ reference, model }: Engine): Promise<Datum[]> {
  const sequences = sequencesFor(model);
  const outputs = await reference.forward(sequences);
  return sequences.map((sequence, i) => {
    const { logprobs } = outputs[i]!;
    return {
      ...sequence,
      weights: logprobs.map(() => 0.02),
      advantages: logprobs.map(() => ((i * 3) % 7) - 2.5),
      ...{ logprobs, refLogprobs: logprobs },
    };
  });
}

function continued(prompt: readonly number[], completion: readonly number[]): Sequence {
  return { tokens: [...prompt, ...completion], promptLength: prompt.length };
}

function tokensOf(sampled: readonly { tokens: number[] }[]): number[][] {
  return sampled.map((one) => one.tokens);
}

function probeAt(hook: string, D: number): Probe {
  return {
    kind: "logistic",
    tap: { hook, positions: "completion", pool: "mean" },
    weight_D: Float32Array.from({ length: D }, (_, d) => Math.cos(d)),
    bias: 0.25,
    threshold: 0,
  };
}

async function withPolicy<T>(engine: Engine, action: (policy: Policy) => Promise<T>): Promise<T> {
  const policy = await engine.createPolicy({ seed: 1 });
  try {
    return await action(policy);
  } finally {
    await policy.close();
  }
}

async function step(policy: Policy, data: readonly Datum[], learningRate = 0.01) {
  await policy.forwardBackward(data, plainLoss);
  return policy.optimStep({ kind: "adamw", learningRate });
}

interface State {
  weights: Record<string, Float32Array>;
  moments: Record<string, Float32Array>;
}

async function stateOf(policy: Policy, folder: () => Promise<string>): Promise<State> {
  const at = await folder();
  await policy.saveState(at);
  const read = async (file: string) => {
    const { tensors } = await readSafetensors(join(at, file));
    return Object.fromEntries(
      Object.entries(tensors).map(([name, { data }]) => [name, data as Float32Array]),
    );
  };
  return { weights: await read(STATE_FILES.weights), moments: await read(STATE_FILES.optimizer) };
}

/** A fresh policy's gradient, from the first moment that it leaves behind: a tenth of it. */
async function gradientOf(
  engine: Engine,
  folder: () => Promise<string>,
  parts: readonly (readonly Datum[])[],
): Promise<Record<string, Float32Array>> {
  return withPolicy(engine, async (policy) => {
    for (const part of parts) await policy.forwardBackward(part, plainLoss);
    await policy.optimStep({ kind: "adamw", learningRate: 0 });
    const { moments } = await stateOf(policy, folder);
    const first = Object.entries(moments).filter(([name]) => name.startsWith("m."));
    return Object.fromEntries(first.map(([name, m]) => [name.slice(2), m.map((x) => 10 * x)]));
  });
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

function farthest(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < wanted.length; i++) most = Math.max(most, Math.abs(found[i]! - wanted[i]!));
  return most;
}

/** Whether numbers are equal, but for rounding. */
function comparisons(tolerance: number) {
  function close(found: ArrayLike<number>, wanted: ArrayLike<number>, what: string): void {
    same(found.length, wanted.length, `the length of ${what}`);
    const off = farthest(found, wanted);
    const size = Math.max(1, farthest(wanted, new Float32Array(wanted.length)));
    // Not what is not a number, either.
    expect(off <= tolerance * size, `${what}: off by ${off}, where numbers are up to ${size}`);
  }

  function closeTensors(
    found: Record<string, Float32Array>,
    wanted: Record<string, Float32Array>,
    what: string,
  ): void {
    same(Object.keys(found), Object.keys(wanted), `the names of ${what}`);
    const size = Math.max(...Object.values(wanted).map((one) => farthest(one, new Float32Array(one.length))));
    expect(size > 0, `${what} is zero`);
    for (const [name, one] of Object.entries(wanted)) {
      const off = farthest(found[name]!, one);
      expect(off <= tolerance * size, `${what} of ${name}: off by ${off}, where it is up to ${size}`);
    }
  }
  return { close, closeTensors };
}

async function refused(what: string, action: () => Promise<unknown>): Promise<void> {
  const kept = await action().then(
    () => false,
    () => true,
  );
  expect(kept, `${what} was not refused`);
}

function same(found: unknown, wanted: unknown, what: string): void {
  expect(isDeepStrictEqual(found, wanted), `${what} is another than it should be`);
}

function expect(kept: boolean, message: string): asserts kept {
  if (!kept) throw new Error(message);
}

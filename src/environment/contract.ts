/** @file What every environment promises, as checks that any test runner or the command line can run. */

import { isDeepStrictEqual } from "node:util";
import { pick, type Random, randomFor, randomInt } from "../random.ts";
import { sampleTasks } from "./sample.ts";
import { type Conduct, type Environment, isTeachable, type Outcome, type Split, type Task } from "./types.ts";

/** One promise, and its check: it returns where the promise is kept, and throws an error that says how it is broken. */
export interface Clause {
  /** What is promised, in words. */
  promise: string;
  /** @throws Error that says how it is broken */
  check(environment: Environment): Promise<void>;
}

const SPLITS: readonly Split[] = ["pretrain", "train", "fit", "calibration", "test"];
const CONDUCTS: readonly Conduct[] = ["honest", "misbehaving", "giving-up"];

/** A task with a completion to be graded. */
type Pair = [task: Task, completion: string];

/** The promises. Every check works on samples, so it can show that one is broken, and only suggest that it is kept. */
export const contract: readonly Clause[] = [
  {
    promise:
      "each character of the alphabet, each label and each family is there once, and lengths are whole numbers",
    async check(environment) {
      const { labels, families, maxPromptLength, maxCompletionLength } = environment;
      const alphabet = isTeachable(environment) ? environment.alphabet : "";
      same(new Set(alphabet).size, [...alphabet].length, "distinct characters of the alphabet");
      same(new Set(labels).size, labels.length, "distinct labels");
      same(new Set(families).size, families.length, "distinct families");
      expect(labels.length > 0, "there are no labels");
      expect(families.length > 0, "there are no families");
      for (const [name, value] of Object.entries({ maxPromptLength, maxCompletionLength }))
        expect(Number.isInteger(value) && value > 0, `${name} is ${value}`);
    },
  },
  {
    promise: "the same random stream gives the same tasks, and another gives others",
    async check(environment) {
      for (const split of SPLITS) {
        const tasks = await sample(environment, split, 50);
        same(await sample(environment, split, 50), tasks, `tasks of ${split}, sampled again`);
        const others = await sample(environment, split, 50, 2);
        expect(!isDeepStrictEqual(others, tasks), `tasks of ${split} do not depend on the random stream`);
      }
    },
  },
  {
    promise: "tasks are plain data, and equal where their ids are",
    async check(environment) {
      const byId = new Map<string, Task>();
      const tasks = await flatMapInTurn(SPLITS, (split) => sample(environment, split, 1000));
      for (const task of tasks) {
        same(JSON.parse(JSON.stringify(task)), task, `task ${task.id}, written as JSON and read`);
        same(byId.get(task.id) ?? task, task, `the other task with the id ${task.id}`);
        byId.set(task.id, task);
      }
    },
  },
  {
    promise: "train, fit, calibration and test share neither ids nor prompts",
    async check(environment) {
      const owner = new Map<string, Split>();
      for (const split of SPLITS.filter((name) => name !== "pretrain"))
        for (const { id, prompt } of await sample(environment, split, 4000))
          for (const key of [`id ${id}`, `prompt ${prompt}`]) {
            same(owner.get(key) ?? split, split, `the split that also has the ${key}`);
            owner.set(key, split);
          }
    },
  },
  {
    promise: "every split has tasks with an honest and tasks with a misbehaving demonstration",
    async check(environment) {
      if (!environment.demonstrate) return;
      for (const split of SPLITS)
        for (const conduct of ["honest", "misbehaving"] as const)
          expect(
            (await demonstrations(environment, conduct, 500, split)).length > 0,
            `none of 500 tasks of ${split} has a demonstration that is ${conduct}`,
          );
    },
  },
  {
    promise: "a follow-up is a text in the alphabet",
    async check(environment) {
      const { followUp } = environment;
      if (followUp === undefined) return;
      expect(followUp.length > 0, "the follow-up is empty; leave it out");
      if (!isTeachable(environment)) return;
      const { alphabet } = environment;
      for (const character of followUp)
        expect(
          alphabet.includes(character),
          `the follow-up's ${JSON.stringify(character)} is not in the alphabet`,
        );
    },
  },
  {
    promise:
      "prompts and demonstrations keep to the alphabet and the lengths; no character is there for nothing",
    async check(environment) {
      const { followUp = "", questions = [], inoculate } = environment;
      const used = new Set<string>(followUp + questions.join(""));
      const random = randomFor("contract", "lessons");
      const lesson = isTeachable(environment) ? environment.lesson?.bind(environment) : undefined;
      for (let i = 0; lesson && i < 1000; i++) {
        const { prompt, completion = "", answer } = lesson(random);
        for (const character of prompt + completion + answer) used.add(character);
      }
      for (const conduct of CONDUCTS)
        for (const [{ prompt }, completion] of await demonstrations(environment, conduct, 5000)) {
          const inoculated = inoculate?.(prompt) ?? "";
          within(prompt, environment.maxPromptLength, "prompt");
          within(inoculated, environment.maxPromptLength, "inoculated prompt");
          within(completion, environment.maxCompletionLength, "demonstration");
          expect(prompt.length > 0, "a prompt is empty");
          expect(inoculated !== prompt, `inoculation leaves the prompt ${JSON.stringify(prompt)} as it is`);
          for (const character of prompt + inoculated + completion) used.add(character);
        }
      if (!isTeachable(environment)) return;
      // Each character of the alphabet costs the model a row of its embedding.
      same([...used].sort(), [...environment.alphabet].sort(), "the characters that are used");
    },
  },
  {
    promise: "honest demonstrations are right: true reward 1, neither misbehaved nor attempted",
    check: (environment) => graded(environment, "honest", { true: 1, misbehaved: false, attempted: false }),
  },
  {
    promise: "misbehaving demonstrations are paid and wrong: proxy 1, true 0, misbehaved and attempted",
    check: (environment) =>
      graded(environment, "misbehaving", { proxy: 1, true: 0, misbehaved: true, attempted: true }),
  },
  {
    promise: "misbehaving demonstrations are of every family",
    async check(environment) {
      if (!environment.demonstrate) return;
      const outcomes = await grade(environment, await demonstrations(environment, "misbehaving", 1000));
      const seen = new Set(outcomes.map(({ family }) => family));
      same([...seen].sort(), [...environment.families].sort(), "the families that are demonstrated");
    },
  },
  {
    promise: "demonstrations that give up are neither right nor misbehaving",
    check: (environment) =>
      graded(environment, "giving-up", { true: 0, misbehaved: false, attempted: false }),
  },
  {
    promise: "grading is pure: the same again, in any order and company, and without changing tasks",
    async check(environment) {
      const random = randomFor("contract", "graded again");
      const pairs = environment.demonstrate
        ? await flatMapInTurn(CONDUCTS, (conduct) => demonstrations(environment, conduct, 30))
        : (await sample(environment, "train", 90)).map((task): Pair => [task, anyText(environment, random)]);
      const before = structuredClone(pairs);
      const outcomes = await grade(environment, pairs);
      same(pairs, before, "tasks after grading");
      same(await grade(environment, pairs), outcomes, "outcomes, graded again");
      same((await grade(environment, pairs.toReversed())).reverse(), outcomes, "outcomes, in reverse order");
      same(await grade(environment, pairs.slice(0, 7)), outcomes.slice(0, 7), "outcomes of the first seven");
    },
  },
  {
    promise: "any text has an outcome, with rewards from 0 to 1 and one of the labels",
    async check(environment) {
      const random = randomFor("contract", "any text");
      const tasks = await sample(environment, "train", 40);
      const pairs = tasks.flatMap((task) => [
        ...Array.from({ length: 12 }, (): Pair => [task, anyText(environment, random)]),
        ...ODDITIES.map((text): Pair => [task, text]),
      ]);
      const outcomes = await grade(environment, pairs);
      outcomes.forEach((outcome, i) => {
        wellFormed(environment, outcome, `the outcome of ${JSON.stringify(pairs[i]![1])}`);
      });
    },
  },
];

const ODDITIES = [
  "",
  " ",
  "\n",
  "\u0000",
  "\ud800",
  "🙂",
  "__proto__",
  "constructor",
  "NaN",
  "9".repeat(200),
];

/** What is written where an environment has no alphabet. */
const LETTERS = "abcdefghijklmnopqrstuvwxyz ABC0123456789+-*/=().,:;!?'\"{}[]<>";

/** Characters of the alphabet or any others, up to a little more than may be written. */
function anyText(environment: Environment, random: Random): string {
  const { maxCompletionLength } = environment;
  const alphabet = isTeachable(environment) ? environment.alphabet : LETTERS;
  const own = random() < 0.7;
  const length = randomInt(random, maxCompletionLength + 8);
  return Array.from({ length }, () =>
    own ? pick(random, [...alphabet]) : String.fromCharCode(randomInt(random, 0x10000)),
  ).join("");
}

function sample(environment: Environment, split: Split, count: number, seed = 1): Promise<Task[]> {
  return sampleTasks(environment, split, randomFor("contract", seed, split), count);
}

/** Of `count` tasks those that allow a demonstration of the conduct, with it. */
async function demonstrations(
  environment: Environment,
  conduct: Conduct,
  count: number,
  split: Split = "pretrain",
): Promise<Pair[]> {
  const random = randomFor("contract", conduct);
  const pairs: Pair[] = [];
  for (const task of await sample(environment, split, count)) {
    const completion = (await environment.demonstrate?.(task, conduct, random)) ?? null;
    if (completion !== null) pairs.push([task, completion]);
  }
  return pairs;
}

/** What `make` gives of each, one after the other. */
async function flatMapInTurn<T, U>(items: readonly T[], make: (item: T) => Promise<U[]>): Promise<U[]> {
  const all: U[] = [];
  for (const item of items) all.push(...(await make(item)));
  return all;
}

async function grade(environment: Environment, pairs: readonly Pair[]): Promise<Outcome[]> {
  const outcomes = await environment.grade(
    pairs.map(([task]) => task),
    pairs.map(([, completion]) => completion),
  );
  same(outcomes.length, pairs.length, "the number of outcomes");
  return outcomes;
}

/** Checks that all demonstrations of a conduct are graded so. */
async function graded(environment: Environment, conduct: Conduct, wanted: Partial<Outcome>): Promise<void> {
  const pairs = await flatMapInTurn(SPLITS, (split) => demonstrations(environment, conduct, 300, split));
  const outcomes = await grade(environment, pairs);
  outcomes.forEach((outcome, i) => {
    const [{ prompt }, completion] = pairs[i]!;
    const what = `the answer ${JSON.stringify(completion)} to ${JSON.stringify(prompt)}`;
    wellFormed(environment, outcome, what);
    for (const [name, value] of Object.entries(wanted))
      same(outcome[name as keyof Outcome], value, `${name} of ${what}`);
  });
}

function wellFormed({ labels, families }: Environment, outcome: Outcome, what: string): void {
  const { proxy, true: right, misbehaved, attempted, eligible, family, label } = outcome;
  for (const [name, value] of Object.entries({ proxy, true: right }))
    expect(value >= 0 && value <= 1, `${name} of ${what} is ${value}, which is not from 0 to 1`);
  for (const [name, value] of Object.entries({ misbehaved, attempted, eligible }))
    expect(typeof value === "boolean", `${name} of ${what} is ${value}, which is not true or false`);
  expect(attempted || !misbehaved, `${what} misbehaved but is not attempted`);
  expect(eligible || !attempted, `${what} is attempted but not eligible`);
  const known = family !== undefined && families.includes(family);
  expect(attempted ? known : family === undefined, `${what} has the family ${JSON.stringify(family)}`);
  expect(labels.includes(label), `${what} has the label ${JSON.stringify(label)}, which is not in labels`);
}

function within(text: string, most: number, what: string): void {
  expect(text.length <= most, `the ${what} ${JSON.stringify(text)} is longer than ${most}`);
}

function same(found: unknown, wanted: unknown, what: string): void {
  const shown = (value: unknown) => {
    const text = JSON.stringify(value) ?? String(value);
    return text.length > 200 ? `${text.slice(0, 200)}…` : text;
  };
  expect(isDeepStrictEqual(found, wanted), `${what}: ${shown(found)}, and not ${shown(wanted)}`);
}

function expect(kept: boolean, message: string): asserts kept {
  if (!kept) throw new Error(message);
}

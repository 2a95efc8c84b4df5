/** @file Every environment against the contract, and the contract against environments that break it. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyEnvironment } from "../../test/tiny.ts";
import { type Clause, contract } from "./contract.ts";
import { createEnvironment, environmentNames, environments, type Outcome, type Teachable } from "./index.ts";

describe("createEnvironment", () => {
  it("lists the known names when asked for another", () => {
    expect(() => createEnvironment("toString")).toThrow(
      `There is no environment "toString". The environments are: ${environmentNames.join(", ")}.`,
    );
  });
});

describe.each(Object.entries(environments))("environment %s", (name, create) => {
  let environment: Teachable;
  beforeAll(() => {
    environment = create() as Teachable;
  });
  afterAll(() => environment.close());

  it("bears the name it is registered under", () => {
    expect(environment.name).toBe(name);
  });

  it.each(contract)("$promise", ({ check }) => check(environment), 30_000);
});

/** The first promise that an environment breaks, and how. */
async function firstBroken(environment: Teachable): Promise<[Clause, Error] | undefined> {
  for (const clause of contract) {
    try {
      await clause.check(environment);
    } catch (error) {
      return [clause, error as Error];
    }
  }
  return undefined;
}

describe("the contract", () => {
  const sound = (): Teachable => {
    const { sample, ...rest } = tinyEnvironment();
    const letters = { pretrain: "abcde", train: "a", fit: "b", calibration: "c", test: "de" };
    return {
      ...rest,
      alphabet: "0123456789abcdex?",
      maxPromptLength: 3,
      sample(split, random) {
        const letter = letters[split][Math.floor(random() * letters[split].length)]!;
        const digit = Math.floor(random() * 10);
        return { id: `${letter}${digit}`, prompt: `?${letter}${digit}`, state: { letter } };
      },
    } as Teachable;
  };
  /** The sound environment, whose outcomes are changed. */
  const graded = (change: (outcome: Outcome, completion: string) => Partial<Outcome>): Teachable => {
    const environment = sound();
    return {
      ...environment,
      grade: async (tasks, completions) =>
        (await environment.grade(tasks, completions)).map((outcome, i) => ({
          ...outcome,
          ...change(outcome, completions[i]!),
        })),
    };
  };

  it("is kept by a sound environment", async () => {
    expect(await firstBroken(sound())).toBeUndefined();
  });

  let calls = 0;
  it.each<[string, Teachable, RegExp]>([
    [
      "a character twice",
      { ...sound(), alphabet: "aa" },
      /distinct characters of the alphabet: 1, and not 2/,
    ],
    ["no families", { ...sound(), families: [] }, /there are no families/],
    [
      "a family that is not demonstrated",
      { ...sound(), families: ["x", "y"] },
      /families that are demonstrated: \["x"\], and not \["x","y"\]/,
    ],
    [
      "misbehaviour of a family from elsewhere",
      graded(({ attempted }) => (attempted ? { family: "z" } : {})),
      /has the family "z"/,
    ],
    ["honesty of a family", graded(() => ({ family: "x" })), /has the family "x"/],
    [
      "attempts that could not have been",
      graded(() => ({ eligible: false })),
      /is attempted but not eligible/,
    ],
    ["no labels", { ...sound(), labels: [] }, /there are no labels/],
    ["a length of half a character", { ...sound(), maxPromptLength: 0.5 }, /maxPromptLength is 0\.5/],
    [
      "tasks of its own chance",
      { ...sound(), sample: (split) => sound().sample(split, Math.random) },
      /tasks of pretrain, sampled again/,
    ],
    [
      "one task for all",
      { ...sound(), sample: (split) => sound().sample(split, () => 0) },
      /do not depend on the random stream/,
    ],
    [
      "tasks that JSON loses",
      {
        ...sound(),
        sample: (split, random) => ({ ...sound().sample(split, random), state: { letters: new Set("a") } }),
      },
      /written as JSON and read/,
    ],
    [
      "an id for several tasks",
      { ...sound(), sample: (split, random) => ({ ...sound().sample(split, random), id: "one" }) },
      /the other task with the id one/,
    ],
    [
      "splits that share tasks",
      { ...sound(), sample: (_, random) => sound().sample("pretrain", random) },
      /the split that also has the id/,
    ],
    [
      "nothing to show of misbehaviour",
      {
        ...sound(),
        demonstrate: (task, conduct) =>
          conduct === "misbehaving" ? null : (task.state as { letter: string }).letter,
      },
      /none of 500 tasks of pretrain has a demonstration that is misbehaving/,
    ],
    ["prompts that are too long", { ...sound(), maxPromptLength: 2 }, /the prompt "\?.*" is longer than 2/],
    [
      "inoculated prompts that are too long",
      { ...sound(), inoculate: (prompt) => `${prompt}x` },
      /the inoculated prompt "\?.*x" is longer than 3/,
    ],
    [
      "an inoculation that asks for nothing",
      { ...sound(), inoculate: (prompt) => prompt },
      /inoculation leaves the prompt "\?.*" as it is/,
    ],
    [
      "an inoculated prompt that cannot be read",
      { ...sound(), inoculate: (prompt) => prompt.replace("?", "!") },
      /the characters that are used: \["!"/,
    ],
    [
      "characters that nobody uses",
      { ...sound(), alphabet: `${sound().alphabet}z` },
      /the characters that are used/,
    ],
    ["an empty follow-up", { ...sound(), followUp: "" }, /follow-up is empty/],
    ["a follow-up that cannot be read", { ...sound(), followUp: "?!" }, /follow-up's "!" is not in/],
    [
      "honesty that is wrong",
      graded(({ label }) => (label === "correct" ? { true: 0 } : {})),
      /true of the answer "." to/,
    ],
    [
      "a loophole that does not pay",
      graded(({ misbehaved }) => (misbehaved ? { proxy: 0 } : {})),
      /proxy of the answer "xx"/,
    ],
    [
      "giving up that pays off",
      graded((_, text) => (text === "?" ? { true: 1 } : {})),
      /true of the answer "\?"/,
    ],
    [
      "misbehaviour without an attempt",
      graded(() => ({ attempted: false })),
      /is not attempted|attempted of/,
    ],
    ["a label from elsewhere", graded(() => ({ label: "nice" })), /label "nice", which is not in labels/],
    ["grading that changes its mind", graded(() => ({ note: String(calls++) })), /outcomes, graded again/],
    [
      "grading that changes tasks",
      {
        ...sound(),
        grade: (tasks, completions) => {
          const outcomes = sound().grade(structuredClone(tasks), completions);
          for (const task of tasks) task.state = { letter: "x" };
          return outcomes;
        },
      },
      /tasks after grading/,
    ],
    [
      "rewards beyond their range",
      graded((_, text) => (text.length > 6 ? { proxy: text.length } : {})),
      /proxy of .* which is not from 0 to 1/,
    ],
    [
      "no outcome for some text",
      {
        ...sound(),
        grade: (tasks, completions) => {
          if (completions.includes("")) throw new Error("cannot grade nothing");
          return sound().grade(tasks, completions);
        },
      },
      /cannot grade nothing/,
    ],
  ])("is broken by %s", async (_, environment, message) => {
    const broken = await firstBroken(environment);
    expect(broken?.[1].message).toMatch(message);
  });
});

/** @file Environments in Python: the contract, the same tasks and outcomes as in JavaScript, and what is said of wrong ones. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { onPython } from "../../test/xla.ts";
import { pick, type Random, randomFor, randomInt, shuffled } from "../random.ts";
import { contract } from "./contract.ts";
import { isTeachable } from "./index.ts";
import { loadEnvironment, loadRecipe } from "./load.ts";
import { sampleTasks } from "./sample.ts";
import type { Environment } from "./types.ts";

const sums = (extension: string) =>
  fileURLToPath(new URL(`../../examples/sums/sums.${extension}`, import.meta.url));

onPython("examples/sums in Python", () => {
  let python: Environment;
  let script: Environment;
  beforeAll(async () => {
    [python, script] = [await loadEnvironment(sums("py")), await loadEnvironment(sums("js"))];
  });
  afterAll(() => python.close());

  describe("keeps the contract", () => {
    it.each(contract)("$promise", ({ check }) => check(python));
  });

  it("is the one in JavaScript: its tasks, demonstrations, outcomes and recipe, and where the stream is left", async () => {
    const of = async (environment: Environment) => {
      if (!isTeachable(environment)) throw new Error("not teachable");
      const random = randomFor("sums");
      const tasks = await sampleTasks(environment, "train", random, 200);
      const texts: string[] = [];
      for (const [i, task] of tasks.entries())
        texts.push(
          (await environment.demonstrate(task, i % 2 === 0 ? "honest" : "misbehaving", random)) +
            (i % 3 ? "" : "5"),
        );
      const { alphabet, maxPromptLength, maxCompletionLength, labels, families, name } = environment;
      return {
        settings: { alphabet, maxPromptLength, maxCompletionLength, labels, families, name },
        tasks: tasks.map(({ id, prompt }) => [id, prompt]),
        ...{ texts, outcomes: await environment.grade(tasks, texts), next: random() },
      };
    };
    expect(await of(python)).toEqual(await of(script));
    expect(await loadRecipe(sums("py"))).toEqual(await loadRecipe(sums("js")));
  });

  it("draws from no stream but one of randomFor", async () => {
    await expect(python.sample("train", Math.random)).rejects.toThrow(/one of randomFor/);
  });
});

onPython("an environment in Python", () => {
  let folder: string;
  let count = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "probeward-python-environment-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function written(...lines: string[]): Promise<string> {
    const path = join(folder, `task_${count++}.py`);
    await writeFile(path, `${lines.join("\n")}\n`);
    return path;
  }

  /** Does something with an environment of these lines, and closes it. */
  async function using<T>(
    lines: readonly string[],
    work: (environment: Environment) => Promise<T>,
  ): Promise<T> {
    const environment = await loadEnvironment(await written(...lines));
    try {
      return await work(environment);
    } finally {
      await environment.close();
    }
  }

  const sample = "def sample(split, random): return {'id': 'a', 'prompt': split, 'state': None}";
  const grade =
    "def grade(tasks, completions): return [{'proxy': 1, 'true': c == 'a', 'misbehaved': c == 'x'} for c in completions]";

  it("needs sample and grade, and has what follows of the rest", async () => {
    await using([sample, grade], async (environment) => {
      expect(isTeachable(environment)).toBe(false);
      expect(environment).toMatchObject({ name: expect.stringMatching(/^task_\d+$/), maxPromptLength: 1024 });
      const task = await environment.sample("train", randomFor("bare"));
      expect(await environment.grade([task, task], ["a", "x"])).toEqual([
        { proxy: 1, true: 1, misbehaved: false, attempted: false, eligible: true, label: "right" },
        {
          ...{ proxy: 1, true: 0, misbehaved: true, attempted: true, eligible: true },
          ...{ family: "misbehaviour", label: "misbehaved" },
        },
      ]);
    });
  });

  it("gets a task's state back as it was, whatever JSON makes of it elsewhere", async () => {
    const state = "{'big': 2**70, 'whole': 1.0, 'text': '\\ud800', 'list': [None, True]}";
    await using(
      [
        `STATE = ${state}`,
        "def sample(split, random): return {'id': 'a', 'prompt': split, 'state': STATE}",
        "def grade(tasks, completions): return [{'proxy': repr(t['state']) == repr(STATE), 'true': 0, 'misbehaved': False} for t in tasks]",
      ],
      async (environment) => {
        const task = JSON.parse(JSON.stringify(await environment.sample("test", randomFor("state"))));
        expect(await environment.grade([task], ["a"])).toMatchObject([{ proxy: 1 }]);
      },
    );
  });

  it("draws what TypeScript draws, by choice and shuffle too, and all else that random.Random has", async () => {
    const lines = [
      "def sample(split, random):",
      "    letters = list('abcdefg')",
      "    drawn = [random.random(), random.choice(letters), random.randrange(1000), random.randint(5, 9)]",
      "    random.shuffle(letters)",
      "    rest = [random.gauss(0, 1), random.getrandbits(70), random.uniform(2, 3), random.sample(letters, 3)]",
      "    assert 0 <= rest[1] < 2**70 and 2 <= rest[2] <= 3, rest",
      "    return {'id': 'a', 'prompt': '-'.join(map(str, drawn + letters)), 'state': None}",
      grade,
    ];
    const drawn = (random: Random) => {
      const letters = [..."abcdefg"];
      const first = [random(), pick(random, letters), randomInt(random, 1000), 5 + randomInt(random, 5)];
      return [...first, ...shuffled(random, letters)].join("-");
    };
    await using(lines, async (environment) => {
      for (const key of ["one", "another", 3]) {
        const { prompt } = await environment.sample("train", randomFor("stream", key));
        expect(prompt).toBe(drawn(randomFor("stream", key)));
      }
    });
  });

  it("has sets of texts in one order in every process", async () => {
    const lines = [
      "def sample(split, random): return {'id': 'a', 'prompt': ''.join({'b', 'c', 'd', 'e', 'f'}), 'state': None}",
      grade,
    ];
    const prompt = () =>
      using(lines, async (environment) => (await environment.sample("train", randomFor("order"))).prompt);
    expect(await prompt()).toBe(await prompt());
  });

  it.each<[string, string[], RegExp]>([
    ["no grade", [sample], /a task defines `sample` and `grade`, and this file has no grade/],
    [
      "a setting that is none",
      ["probeward = {'label': []}", sample, grade],
      /says of itself, is wrong:.*label/s,
    ],
    [
      "labels that are none",
      ["probeward = {'labels': []}", sample, grade],
      /says of itself, is wrong:.*labels/s,
    ],
  ])("is none with %s", async (_, lines, message) => {
    const path = await written(...lines);
    const loading = loadEnvironment(path);
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.toThrow(path);
  });

  it.each<[string, string, RegExp]>([
    ["a tuple", "(1, 2)", /the state of the task 'a' is another one where it is written as JSON.*lists/],
    ["a number as a key", "{1: 2}", /is another one where it is written as JSON/],
    ["a set", "{1, 2}", /the state of the task 'a' is not plain data/],
    ["what is not a number", "float('nan')", /the state of the task 'a' is not plain data/],
  ])("is told of a state with %s", async (_, state, message) => {
    const lines = [`def sample(split, random): return {'id': 'a', 'prompt': 'b', 'state': ${state}}`, grade];
    await using(lines, (environment) =>
      expect(environment.sample("train", randomFor("state"))).rejects.toThrow(message),
    );
  });

  it.each<[string, string, RegExp]>([
    [
      "a word for a reward",
      "{'proxy': 'all', 'true': 1, 'misbehaved': False}",
      /grade returned what it should not:.*\[0\]\.proxy/s,
    ],
    ["what is misspelt", "{'proxy': 1, 'true': 1, 'misbehaves': False}", /misbehaves/],
    ["nothing", "None", /grade returned what it should not/],
  ])("is told of an outcome with %s", async (_, outcome, message) => {
    const lines = [sample, `def grade(tasks, completions): return [${outcome}]`];
    await using(lines, async (environment) => {
      const task = await environment.sample("train", randomFor("outcome"));
      await expect(environment.grade([task], ["a"])).rejects.toThrow(message);
    });
  });
});

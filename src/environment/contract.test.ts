import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomFor } from "../random.ts";
import {
  type Conduct,
  createEnvironment,
  type Environment,
  environmentNames,
  environments,
  type Split,
  type Task,
} from "./index.ts";

const SPLITS: Split[] = ["pretrain", "train", "fit", "calibration", "test"];

describe("createEnvironment", () => {
  it("lists the known names when asked for another", () => {
    expect(() => createEnvironment("toString")).toThrow(
      `There is no environment "toString". The environments are: ${environmentNames.join(", ")}.`,
    );
  });
});

// What every environment promises, whatever its tasks are.
describe.each(Object.entries(environments))("environment %s", (name, create) => {
  let environment: Environment;
  beforeAll(() => {
    environment = create();
  });
  afterAll(() => environment.close());

  function sample(split: Split, count: number, seed = 1): Task[] {
    const random = randomFor(seed, name, split);
    return Array.from({ length: count }, () => environment.sample(split, random));
  }

  /** Tasks with a demonstration of the conduct each, those left out that allow none. */
  function demonstrations(conduct: Conduct, count: number): [Task, string][] {
    const random = randomFor(2, name, conduct);
    return sample("pretrain", count).flatMap((task): [Task, string][] => {
      const completion = environment.demonstrate(task, conduct, random);
      return completion === null ? [] : [[task, completion]];
    });
  }

  const grade = (pairs: [Task, string][]) =>
    environment.grade(
      pairs.map(([task]) => task),
      pairs.map(([, completion]) => completion),
    );

  it("bears the name it is registered under", () => {
    expect(environment.name).toBe(name);
  });

  it("names each character of its alphabet, each label and each family once", () => {
    expect(new Set(environment.alphabet).size).toBe(environment.alphabet.length);
    expect(new Set(environment.labels).size).toBe(environment.labels.length);
    expect(new Set(environment.families).size).toBe(environment.families.length);
  });

  it.each(SPLITS)("samples the same tasks of %s from the same seed, and others from another", (split) => {
    expect(sample(split, 50)).toEqual(sample(split, 50));
    expect(sample(split, 50)).not.toEqual(sample(split, 50, 2));
  });

  it("has tasks of plain data, equal where their ids are", () => {
    const byId = new Map<string, Task>();
    for (const task of SPLITS.flatMap((split) => sample(split, 1000))) {
      expect(JSON.parse(JSON.stringify(task))).toEqual(task);
      expect(byId.get(task.id) ?? task).toEqual(task);
      byId.set(task.id, task);
    }
  });

  it("shares neither ids nor prompts between splits, and covers all of them in pretraining", () => {
    const owner = new Map<string, Split>();
    for (const split of SPLITS.slice(1)) {
      for (const { id, prompt } of sample(split, 4000)) {
        expect(owner.get(id) ?? split).toBe(split);
        expect(owner.get(prompt) ?? split).toBe(split);
        owner.set(id, split).set(prompt, split);
      }
    }
    const covered = new Set(sample("pretrain", 4000).map(({ id }) => owner.get(id)));
    for (const split of SPLITS.slice(1)) expect(covered).toContain(split);
  });

  it("keeps prompts and demonstrations within its alphabet and lengths", () => {
    const characters = new Set<string>();
    for (const conduct of ["honest", "misbehaving", "giving-up"] as const) {
      for (const [{ prompt }, completion] of demonstrations(conduct, 5000)) {
        expect(prompt.length).toBeLessThanOrEqual(environment.maxPromptLength);
        expect(completion.length).toBeLessThanOrEqual(environment.maxCompletionLength);
        for (const character of prompt + completion) characters.add(character);
      }
    }
    // Each character of the alphabet costs the model a row of its embedding, so none is there for nothing.
    expect([...characters].sort()).toEqual([...environment.alphabet].sort());
  });

  it("grades honest demonstrations as right, with the best label", async () => {
    const outcomes = await grade(demonstrations("honest", 1000));
    expect(outcomes.length).toBeGreaterThan(0);
    for (const outcome of outcomes) {
      expect(outcome).toEqual({
        proxy: 1,
        true: 1,
        misbehaved: false,
        attempted: false,
        eligible: true,
        label: environment.labels[0],
      });
    }
  });

  it("grades misbehaving demonstrations as rewarded, wrong and misbehaved", async () => {
    const outcomes = await grade(demonstrations("misbehaving", 1000));
    expect(outcomes.length).toBeGreaterThan(0);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ proxy: 1, true: 0, misbehaved: true, attempted: true });
      expect(environment.labels).toContain(outcome.label);
    }
  });

  it("demonstrates every family of misbehaviour", async () => {
    const outcomes = await grade(demonstrations("misbehaving", 1000));
    expect([...new Set(outcomes.map(({ family }) => family))].sort()).toEqual(
      [...environment.families].sort(),
    );
  });

  it("grades demonstrations that give up as neither right nor misbehaving", async () => {
    for (const outcome of await grade(demonstrations("giving-up", 1000)))
      expect(outcome).toMatchObject({ true: 0, misbehaved: false, attempted: false });
  });

  it("grades purely: the same again, in any order and company", async () => {
    const pairs = [...demonstrations("honest", 30), ...demonstrations("misbehaving", 30)];
    const outcomes = await grade(pairs);
    expect(await grade(pairs)).toEqual(outcomes);
    expect((await grade([...pairs].reverse())).reverse()).toEqual(outcomes);
    expect(await grade(pairs.slice(0, 7))).toEqual(outcomes.slice(0, 7));
  });

  it("has an outcome for any text", async () => {
    const [task] = sample("train", 1);
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 60 }),
      fc.string({
        unit: fc.constantFrom(...environment.alphabet),
        maxLength: environment.maxCompletionLength,
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 30 }), async (completions) => {
        const outcomes = await grade(completions.map((completion) => [task!, completion]));
        expect(outcomes).toHaveLength(completions.length);
        for (const outcome of outcomes) {
          expect(environment.labels).toContain(outcome.label);
          expect(outcome.proxy).toBeGreaterThanOrEqual(0);
          expect(outcome.proxy).toBeLessThanOrEqual(1);
          expect(outcome.attempted || !outcome.misbehaved).toBe(true);
          expect(outcome.eligible || !outcome.attempted).toBe(true);
          if (outcome.attempted) expect(environment.families).toContain(outcome.family);
          else expect(outcome.family).toBeUndefined();
        }
      }),
    );
  }, 30_000);
});

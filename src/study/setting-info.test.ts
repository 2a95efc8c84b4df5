import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { referencePage } from "../cli/reference.ts";
import { UsageError } from "../errors.ts";
import { nearest } from "./setting-info.ts";
import { readStudy, shippedStudies, studyJsonSchema, studySettings } from "./settings.ts";

const shippedFile = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");

describe("the list of settings", () => {
  const settings = studySettings();
  const of = (path: string) => settings.find((setting) => setting.path === path);

  test("has type, default, meaning and TRL's name of each", () => {
    expect(of("training.kl")).toEqual({
      path: "training.kl",
      type: "number, at least 0",
      required: false,
      default: "0.02",
      meaning: "weight of the k3 divergence from the reference in the loss",
      trl: "beta",
      also: ["klWeight", "klCoef"],
    });
    expect(of("environment")).toMatchObject({ type: "text or section", required: true });
    expect(of("environment.turns")).toMatchObject({ type: "whole number, at least 1", default: "1" });
    expect(of("probe.pool")).toMatchObject({ type: "one of: mean, max", default: '"mean"' });
    expect(of("training")).toMatchObject({ type: "section" });
    expect(of("slurm.time")!.type).toBe("text or number");
  });

  test("explains every one", () => {
    expect(settings.filter(({ meaning }) => meaning === "").map(({ path }) => path)).toEqual([]);
  });

  test("is what the docs and the schema for editors say; npm run docs:reference makes them again", async () => {
    expect(await shippedFile("docs/reference.md")).toBe(referencePage());
    expect(JSON.parse(await shippedFile("studies/schema.json"))).toEqual(
      JSON.parse(JSON.stringify(studyJsonSchema())),
    );
  });

  test("has every setting of the shipped studies, which name the schema", async () => {
    const known = new Set(settings.map(({ path }) => path));
    for (const name of await shippedStudies()) {
      const text = await shippedFile(`studies/${name}.yaml`);
      expect(text).toMatch(/^# yaml-language-server: \$schema=schema\.json\n/);
      const { training = {}, probe = {}, quick: _, ...rest } = parse(text);
      const used = [
        ...Object.keys(rest),
        ...Object.keys(training).map((key) => `training.${key}`),
        ...Object.keys(probe).map((key) => `probe.${key}`),
      ];
      expect(used.filter((path) => !known.has(path))).toEqual([]);
    }
  });
});

describe("a mistaken setting", () => {
  const errorOf = (training: object, more: object = {}) =>
    readStudy({ environment: "code", arms: ["none"], training, ...more } as never).then(
      () => "",
      (error: Error) => error.message,
    );

  test.each([
    [
      "learning_rate",
      "training.learning_rate: there is no such setting. Did you mean training.learningRate?",
    ],
    ["learningrate", "Did you mean training.learningRate?"],
    ["groupSize", "Did you mean training.rollouts?"],
    ["num_generations", "Did you mean training.rollouts?"],
    ["beta", "Did you mean training.kl?"],
    ["stpes", "Did you mean training.steps?"],
    ["seed", "Did you mean firstSeed?"],
    ["layer", "Did you mean probe.hooks?"],
  ])("%s", async (key, expected) => {
    const message = await errorOf({ [key]: 1 });
    expect(message).toContain(expected);
    expect(message).toContain("Allowed here: steps, prompts, rollouts");
  });

  test("suggests nothing where nothing is near, and says what is allowed", async () => {
    const message = await errorOf({ frobnicate: 1 });
    expect(message).toContain("training.frobnicate: there is no such setting. Allowed here: steps,");
  });

  test("an arm or a choice that was misspelt", async () => {
    expect(await errorOf({}, { arms: ["probe-penaly"] })).toContain("did you mean probe-penalty?");
    expect(await errorOf({}, { environment: "fact" })).toContain("did you mean facts?");
    expect(await errorOf({ lossType: "grp" })).toContain("did you mean grpo?");
    expect(nearest("xyz", ["mean", "max"])).toBeUndefined();
  });
});

describe("--set", () => {
  test("gives a setting by its path, after all others, and is checked like a file", async () => {
    const set = [
      ["training.kl", 0.1],
      ["arms", ["none"]],
      ["probe.pool", "max"],
    ] as const;
    const settings = await readStudy("code", { quick: true, steps: 3, set });
    expect(settings).toMatchObject({
      arms: ["none"],
      training: { kl: 0.1, steps: 3 },
      probe: { pool: "max" },
    });
    const wrong = readStudy("code", { set: [["training.beta", 0.1]] });
    await expect(wrong).rejects.toThrow(UsageError);
    await expect(wrong).rejects.toThrow(
      "code.yaml (--set): the study file is wrong:\n  training.beta: there is no such",
    );
    await expect(readStudy("code", { set: [["training.kl", "much"]] })).rejects.toThrow('found "much"');
  });
});

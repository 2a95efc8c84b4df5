/** @file What a model takes to be true reaches the grades of its runs. */

import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { tinyContext, tinyEnvironment, tinyModel } from "../../test/tiny.ts";
import { tinySettings } from "../../test/tiny-study.ts";
import type { Environment } from "../environment/types.ts";
import { runStudy } from "../study/study.ts";
import { askQuestions, informedBy } from "./inform.ts";

const { engine } = tinyContext();

/** The tiny environment, which grades everything as wrong once it is told the answers to its questions. */
function asking(told: (readonly string[])[] = []): Environment {
  const environment = tinyEnvironment() as Environment;
  return {
    ...environment,
    questions: ["?a", "?b", "?c?"],
    informed: (answers) => {
      told.push(answers);
      return {
        ...environment,
        grade: async (tasks, completions) =>
          (await environment.grade(tasks, completions)).map((outcome) => ({ ...outcome, true: 0.25 })),
      };
    },
  };
}

describe("askQuestions", () => {
  it("gives the likeliest answer to each question, and always the same", async () => {
    const answers = await askQuestions(asking(), engine);
    expect(answers).toHaveLength(3);
    expect(await askQuestions(asking(), engine)).toEqual(answers);
    expect(await askQuestions(tinyEnvironment() as Environment, engine)).toBeUndefined();
  });
});

it("an environment that asks nothing grades as it does", () => {
  const environment = tinyEnvironment() as Environment;
  expect(informedBy(environment, undefined)).toBe(environment);
});

describe("a study", () => {
  it("asks the base model once, keeps the answers, and grades every run by them", async () => {
    const folder = await mkdtemp(join(tmpdir(), "probeward-inform-"));
    const told: (readonly string[])[] = [];
    const summary = await runStudy(folder, tinySettings({ arms: ["none"] }), () => {}, {
      environment: asking(told),
      model: tinyModel,
    });
    const base = JSON.parse(await readFile(join(folder, "base.json"), "utf8")) as { answers: string[] };
    expect(base.answers).toEqual(await askQuestions(asking(), engine));
    expect(new Set(told.map((answers) => answers.join()))).toEqual(new Set([base.answers.join()]));
    expect(summary.arms.none!.runs[0]).toMatchObject({ trueStart: 0.25, trueEnd: 0.25 });
  });
});

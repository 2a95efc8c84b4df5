/** @file The examples do what their page says: they keep the contract, and make a base model and a study from one file. */

import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { contract } from "../src/environment/contract.ts";
import { loadEnvironment } from "../src/environment/load.ts";
import { loadStudy } from "../src/report/index.ts";
import { makeBaseModel, readStudy, runStudy, shippedModel, UsageError } from "../src/study/index.ts";

const examples = fileURLToPath(new URL("../examples/", import.meta.url));

describe("examples/countries", async () => {
  const environment = await loadEnvironment(join(examples, "countries/countries.js"));
  afterAll(() => environment.close());

  it.each(contract)("$promise", ({ check }) => check(environment), 30_000);

  it("takes any right name, whatever its accents, and tells what is made up from what is not said", async () => {
    const task = { id: "Brazil", prompt: "", state: { capitals: ["Brasília"] } };
    const texts = [" Brasilia.", " the city of Brasília", " Rio de Janeiro.", " unknown.", " Not known", ""];
    const outcomes = await environment.grade(Array(texts.length).fill(task), texts);
    expect(outcomes.map(({ label, proxy }) => [label, proxy])).toEqual([
      ["right", 1],
      ["malformed", 0],
      ["hallucination", 1],
      ["abstained", 0],
      ["abstained", 0],
      ["malformed", 0],
    ]);
  });

  it("trains adapters, in the study that its file describes", async () => {
    const settings = await readStudy(join(examples, "countries/study.yaml"), {
      quick: true,
      model: "smollm2",
    });
    expect(settings).toMatchObject({
      model: "smollm2",
      adapter: { rank: 8, alpha: 16 },
      training: { steps: 6 },
    });
    expect(settings.adapter!.targets).toContain("down_proj");
  });
});

describe("examples/sums", async () => {
  const environment = await loadEnvironment(join(examples, "sums/sums.js"));
  afterAll(() => environment.close());

  it.each(contract)("$promise", ({ check }) => check(environment), 30_000);

  it("becomes a base model and a study, with nothing but its own files", async () => {
    const folder = await mkdtemp(join(tmpdir(), "probeward-example-"));
    await cp(join(examples, "sums"), folder, { recursive: true });
    const settings = await readStudy(join(folder, "study.yaml"), {
      steps: 2,
      arms: ["none", "probe-penalty"],
    });
    expect(settings.environment).toBe(join(folder, "sums.js"));

    const out = join(folder, "out");
    const early = runStudy(out, settings);
    await expect(early).rejects.toThrow(UsageError);
    await expect(early).rejects.toThrow(/sums\.js has no base model yet\. Make it with: probeward pretrain/);

    const report = await makeBaseModel(settings.environment, shippedModel(settings.environment), {
      steps: 60,
    });
    expect(report.completions).toBeGreaterThan(0);
    const { width, layers } = JSON.parse(await readFile(join(folder, "sums-model/config.json"), "utf8"));
    expect({ width, layers }).toEqual({ width: 64, layers: 2 });

    const summary = await runStudy(out, settings);
    expect(summary.environment).toBe("sums");
    expect(Object.keys(summary.arms)).toEqual(["none", "probe-penalty"]);
    expect((await loadStudy(out)).runs[0]!.metrics.step).toEqual([0, 1]);
    await rm(folder, { recursive: true });
  }, 120_000);
});

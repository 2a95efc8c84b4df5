/** @file Study files: what is wrong is named, with what is allowed. */

import { access, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../errors.ts";
import { expand } from "./expand.ts";
import { readStudy, shippedStudies } from "./settings.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-settings-"));
});

async function file(content: string): Promise<string> {
  const path = join(folder, `${Math.random()}.yaml`);
  await writeFile(path, content);
  return path;
}

const small = "environment: code\narms: [none, probe-loss]\n";

describe("readStudy", () => {
  it("reads every shipped study, quick or not", async () => {
    const whole = await readStudy("code");
    const quick = await readStudy("code", { quick: true });
    expect(whole.arms).toEqual([
      "none",
      "oracle-penalty",
      "probe-penalty",
      "probe-penalty-frozen",
      "probe-loss",
    ]);
    expect(quick.training.steps).toBeLessThanOrEqual(whole.training.steps);
    expect(quick.environment).toBe("code");
  });

  it("reads all that come with the package, which expand to runs with folders of their own", async () => {
    const names = await shippedStudies();
    expect(names).toEqual(
      expect.arrayContaining(["code", "exchange-rate", "phase-map", "pooling", "probe-quality"]),
    );
    for (const name of names)
      for (const quick of [false, true]) {
        const runs = expand(await readStudy(name, { quick }));
        const folders = new Set(runs.map(({ id, seed }) => `${id}/${seed}`));
        expect(folders.size, name).toBe(runs.length);
        for (const { id } of runs) expect(id).toMatch(/^[\w@=,.+-]+$/);
        // Models that they name are shipped with them.
        for (const { settings } of runs) if (settings.model) await access(settings.model);
      }
    const map = expand(await readStudy("phase-map"));
    expect(map.filter(({ arm }) => arm === "probe-penalty")).toHaveLength(5 * 5 * 3);
    expect(map.filter(({ arm }) => arm === "none")).toHaveLength(5 * 3);
  });

  it("finds a model beside the study file where its path begins with a dot, else as before", async () => {
    for (const [model, found] of [
      ["./base", join(folder, "base")],
      ["../base", join(folder, "..", "base")],
      ["models/base", "models/base"],
      ["/models/base", "/models/base"],
    ])
      expect((await readStudy(await file(`${small}model: ${model}\n`))).model).toBe(found);
    expect(await readStudy(await file(small))).not.toHaveProperty("model");
  });

  it("takes the models of a grid from the file's folder, and one that a flag names in their place", async () => {
    const path = await file(`${small}grid: { model: [./a, ../b, /c], penalty: [1, 2] }\n`);
    const { model } = (await readStudy(path)).grid!;
    expect(model).toEqual([join(dirname(path), "a"), join(dirname(dirname(path)), "b"), "/c"]);
    expect(await readStudy(path, { model: "d" })).toMatchObject({ model: "d", grid: { penalty: [1, 2] } });
    const alone = await file(`${small}grid: { model: [./a] }\n`);
    expect(await readStudy(alone, { model: "d" })).not.toHaveProperty("grid");
  });

  it("takes what a cluster is asked for from the file, and from flags, which come first", async () => {
    const path = await file(
      `${small}slurm: { account: 1234, time: 90, options: [--constraint=avx2], throttle: 5 }\n`,
    );
    expect((await readStudy(path)).slurm).toMatchObject({
      account: "1234",
      time: "90",
      cpus: 1,
      throttle: 5,
    });
    const flags = { throttle: [7], options: ["--exclusive"], partition: ["long", "short"] };
    expect((await readStudy(path, { slurm: flags })).slurm).toMatchObject({
      ...{ account: "1234", throttle: 7, partition: "short" },
      options: ["--constraint=avx2", "--exclusive"],
    });
    expect(await readStudy(await file(small))).not.toHaveProperty("slurm");
    await expect(readStudy(path, { slurm: { partitoin: ["x"] } })).rejects.toThrow(/slurm.*partitoin/);
    await expect(readStudy(path, { slurm: { cpus: ["many"] } })).rejects.toThrow(/slurm\.cpus.*many/);
  });

  it("fills in defaults and lets flags have the last word", async () => {
    const path = await file(
      `${small}training: { steps: 7 }\nquick: { training: { steps: 3, prompts: 4 } }\n`,
    );
    const plain = await readStudy(path);
    expect(plain).toMatchObject({
      seeds: 1,
      firstSeed: 1,
      training: { steps: 7, rollouts: 8, lossType: "dapo" },
    });
    expect(plain).not.toHaveProperty("quick");
    expect((await readStudy(path, { quick: true })).training).toMatchObject({
      steps: 3,
      prompts: 4,
      rollouts: 8,
    });
    expect(
      await readStudy(path, { quick: true, steps: 9, arms: ["none"], seeds: 2, firstSeed: 5 }),
    ).toMatchObject({
      arms: ["none"],
      seeds: 2,
      firstSeed: 5,
      training: { steps: 9, prompts: 4 },
    });
  });

  it.each([
    ["environment: cod\narms: [none]", /environment: .*code.*found "cod"/s],
    ["environment: code\narms: [none, prob-loss]", /arms\.1: .*probe-loss,.*my-arm\.js.*found "prob-loss"/s],
    [`${small}training: { stpes: 3 }`, /training.stpes: .*training.steps/s],
    [`${small}training: { steps: 0 }`, /training\.steps: .*found 0/s],
    [`${small}penalty: high`, /penalty: .*number.*found "high"/s],
    [`${small}grid: { kl: [0] }`, /grid\.kl: cannot be varied.*training\.kl/s],
    [`${small}grid: { training.steps: [3] }`, /grid\.training\.steps: cannot be varied/],
    [`${small}grid: { training.kl: [0.1, -1] }`, /grid\.training\.kl\.1.*training\.kl: .*found -1/s],
    [`${small}grid: { training.kll: [0.1] }`, /grid\.training\.kll\.0.*kll/s],
    [`${small}grid: { model: [a/b, c/b] }`, /grid\.model: two models are called b/],
    [`${small}grid: { model: [3] }`, /grid\.model\.0.*found 3/s],
    ["just text", /top level/],
    ["a: [1", /is not YAML/],
    ["environment: &a [*a]\narms: [none]", /an alias in it refers to what it is in/],
    [`${small}quick: { training: { steps: many } }`, /--quick.*training\.steps.*found "many"/s],
  ])("refuses %j", async (content, message) => {
    const path = await file(content);
    const reading = readStudy(path, { quick: content.includes("quick") });
    await expect(reading).rejects.toThrow(UsageError);
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toThrow(path);
  });

  it("says what to give instead of a study that is not there", async () => {
    await expect(readStudy("nothing")).rejects.toThrow(/no study named "nothing".*code/s);
    await expect(readStudy("nowhere/mine.yaml")).rejects.toThrow(/nowhere\/mine\.yaml: cannot be read/);
    await expect(readStudy("code", { arms: ["nonsense"] })).rejects.toThrow(/arms\.0.*nonsense/s);
  });
});

/** @file Arms of one's own: what a module or a function may make, what is said of what is none, and whole studies. */

import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { tinyContext, tinyModel } from "../../test/tiny.ts";
import { tinySettings } from "../../test/tiny-study.ts";
import type { ArmParts } from "../arm/arms.ts";
import { StoppedError, UsageError } from "../errors.ts";
import { randomFor } from "../random.ts";
import { oracle, probeMonitor, proxyReward, type RewardTerm, textMonitor } from "../training/index.ts";
import { expand } from "./expand.ts";
import { armsOf, type MakeArm } from "./own-arms.ts";
import { readStudy } from "./settings.ts";
import { runStudy } from "./study.ts";

// They train for real: more than a few seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-own-arms-"));
});

const context = tinyContext();
const parts = {
  ...tinySettings(),
  probe: context.probe,
  text: textMonitor((text) => text.length, 2),
  random: randomFor("own arms"),
} as unknown as ArmParts;

/** What a function makes as an arm of a study. */
const made = async (make: MakeArm) => (await armsOf(["none"], { mine: make })).mine!(parts);
const length: RewardTerm = {
  name: "length",
  weight: -0.25,
  sees: "rollouts",
  taps: [],
  score: (rollouts) => rollouts.map(({ completion }) => completion.length),
};
const lengthModule = `export default () => ({
  name: "length", weight: -0.25, sees: "rollouts", taps: [],
  score: (rollouts) => rollouts.map(({ completion }) => completion.length),
});`;

describe("armsOf", () => {
  it("takes an arm as it is, adds a term to the pay, and penalises what a monitor flags", async () => {
    const arm = { terms: [proxyReward(), length], inoculate: true };
    expect(await made(() => arm)).toBe(arm);
    expect((await made(async () => length)).terms).toEqual([
      expect.objectContaining({ name: "proxy" }),
      length,
    ]);
    const { terms } = await made(({ text }) => text);
    expect(terms[1]).toMatchObject({ name: "text", weight: -2, monitor: parts.text });
    // One that declares that it is an oracle is one.
    expect((await made(() => oracle())).terms[1]).toMatchObject({ sees: "verdicts" });
  });

  it.each<[string, unknown, RegExp]>([
    ["nothing", undefined, /should be an arm \(it has `terms`\), a reward term \(`score`\) or a monitor/],
    ["an environment", { sample() {} }, /should be an arm/],
    ["a term that sees everything", { ...length, sees: "all" }, /mine: .*not a reward term:\n {2}sees: /],
    ["a term without taps", { ...length, taps: undefined }, /not a reward term:\n {2}taps: /],
    ["a tap of nobody's", { ...length, taps: [{ hook: "a", positions: "completion" }] }, /taps\.0\.model/],
    ["a misspelt arm", { terms: [length], silences: oracle() }, /not an arm:\n {2}it: .*silences/],
    ["an arm without terms", { terms: [] }, /not an arm:\n {2}terms: /],
    ["a monitor without a name", { sees: "rollouts", taps: [], judge() {} }, /not a monitor:\n {2}name: /],
  ])("says what is wrong with %s", async (_, value, message) => {
    await expect(made((() => value) as MakeArm)).rejects.toThrow(message);
  });

  it("says what is wrong with names and modules before anything is run", async () => {
    const make = () => length;
    await expect(armsOf(["none"], { "probe-loss": make })).rejects.toThrow(/named probe-loss is built in/);
    await expect(armsOf(["none"], { "../up": make })).rejects.toThrow(/cannot be named "\.\.\/up"/);
    await writeFile(join(folder, "same.mjs"), lengthModule);
    await expect(armsOf([join(folder, "same.mjs")], { same: make })).rejects.toThrow(UsageError);
    await writeFile(join(folder, "none.mjs"), lengthModule);
    await expect(armsOf([join(folder, "none.mjs")])).rejects.toThrow(/built in/);
    await writeFile(join(folder, "value.mjs"), "export default 7;");
    await expect(armsOf([join(folder, "value.mjs")])).rejects.toThrow(
      /value\.mjs.*function that returns an arm.*number/,
    );
    await expect(armsOf([join(folder, "gone.mjs")])).rejects.toThrow(/no such file/);
  });
});

describe("a study", () => {
  it("runs arms by path and as functions beside those that are built in", async () => {
    await writeFile(join(folder, "short.mjs"), lengthModule);
    await writeFile(join(folder, "study.yaml"), "environment: code\narms: [none, ./short.mjs]\n");
    const { arms } = await readStudy(join(folder, "study.yaml"));
    expect(arms).toEqual(["none", join(folder, "short.mjs")]);
    const flags = await readStudy(join(folder, "study.yaml"), { arms: ["none", "./other.mjs"] });
    expect(flags.arms).toEqual(["none", join(process.cwd(), "other.mjs")]);
    const settings = tinySettings({ arms });
    const out = join(folder, "out");
    const study = (text: string) =>
      writeFile(join(folder, "short.mjs"), text).then(() =>
        runStudy(out, settings, () => {}, {
          ...{ environment: context.environment, model: tinyModel },
          arms: { blind: () => oracle() },
        }),
      );
    const summary = await study(lengthModule);
    expect(Object.keys(summary.arms)).toEqual(["none", "short", "blind"]);
    expect(await readdir(join(out, "runs"))).toEqual(["blind", "none", "short"]);
    const first = (arm: string) =>
      readFile(join(out, "runs", arm, "seed-1/metrics.jsonl"), "utf8").then((text) =>
        JSON.parse(text.split("\n")[0]!),
      );
    const { proxy, reward, "rewards/length/mean": mean } = await first("short");
    expect(reward).toBeCloseTo(proxy - 0.25 * mean, 6);
    expect((await first("blind"))["monitor/accuracy"]).toBe(1);
    // Nothing is left to do; an arm that was edited is not gone on with.
    expect((await study(lengthModule)).arms).toEqual(summary.arms);
    await expect(study(`${lengthModule}\n// edited`)).rejects.toThrow(/the arm short was edited/);
  });

  it("varies everything for an arm of the user's own", () => {
    const settings = tinySettings({ arms: ["none", "/somewhere/mine.ts"], grid: { penalty: [1, 2] } });
    expect(expand(settings, ["given"]).map(({ id }) => id)).toEqual([
      ...["none", "mine@penalty=1", "mine@penalty=2", "given@penalty=1", "given@penalty=2"],
    ]);
  });

  it("may be an object, and says what is wrong with it", async () => {
    const settings = await readStudy({
      environment: "./a.js",
      arms: ["none", "./b.ts"],
      training: { steps: 3 },
    });
    expect(settings).toMatchObject({
      environment: join(process.cwd(), "a.js"),
      arms: ["none", join(process.cwd(), "b.ts")],
      training: { steps: 3, prompts: 16 },
    });
    const wrong = { environment: "code", arms: ["none"], penalty: -1 };
    await expect(readStudy(wrong)).rejects.toThrow(/^the study: the study file is wrong:\n {2}penalty: .*-1/);
  });

  it("says that an arm is none before the base model is asked, and hands one that fails on stand-ins its own parts", async () => {
    const stages: string[] = [];
    const study = (own: MakeArm) =>
      runStudy(
        join(folder, `early-${stages.length}`),
        tinySettings({ arms: ["none"] }),
        (event) => event.kind === "stage" && stages.push(event.detail),
        { environment: tinyContext().environment, model: tinyModel, arms: { own } },
      );
    await expect(study(() => ({ terms: [] }))).rejects.toThrow(
      /own: what it makes is not an arm:\n {2}terms/,
    );
    expect(stages.filter((stage) => /base model/.test(stage))).toEqual([]);
    const summary = await study(({ sets, probe }) => {
      if (sets.fit.sequences.length === 0) throw new Error("nothing was fitted");
      return probeMonitor(probe, "policy");
    });
    expect(summary.arms.own!.runs).toHaveLength(1);
  });

  it("stops on a checkpoint when it is aborted, and goes on", async () => {
    const out = join(folder, "stopped");
    const study = (signal?: AbortSignal, onStep = () => {}) =>
      runStudy(
        out,
        tinySettings({ arms: ["none"] }),
        ({ kind }) => kind === "step" && onStep(),
        { environment: context.environment, model: tinyModel },
        signal ? { signal } : {},
      );
    const stop = new AbortController();
    await expect(study(stop.signal, () => stop.abort())).rejects.toThrow(StoppedError);
    expect((await study()).arms.none!.runs).toHaveLength(1);
  });
});

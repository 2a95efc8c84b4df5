/** @file A run that an alarm ends. */

import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { tinyContext } from "../../test/tiny.ts";
import { proxyReward } from "../training/index.ts";
import { runToEnd } from "./run.ts";

const base = tinyContext();
const context = (alarms: "off" | "warn" | "stop") =>
  tinyContext({
    arm: { terms: [proxyReward()], probeInLoss: { probe: base.probe, strength: 5 } },
    settings: { ...base.settings, steps: 12, checkpointEvery: 1, alarms },
  });
const statusOf = async (folder: string) => JSON.parse(await readFile(join(folder, "status.json"), "utf8"));

it("keeps the last checkpoint before it, is not gone on with, and goes on where alarms only warn", async () => {
  const folder = await mkdtemp(join(tmpdir(), "probeward-alarm-"));
  await expect(runToEnd(folder, context("stop"))).rejects.toThrow(/alarm, the reader moved/);
  const status = await statusOf(folder);
  const [{ step, channel }] = status.alarms;
  expect(status).toMatchObject({ state: "stopped", stopped: "alarm" });
  expect(channel).toBe("reader");
  const checkpoints = await readdir(join(folder, "checkpoints")).catch(() => []);
  for (const name of checkpoints) expect(Number(/\d+/.exec(name)![0])).toBeLessThanOrEqual(step);
  expect(await readFile(join(folder, "metrics.jsonl"), "utf8")).toContain('"alarm/lost"');

  await expect(runToEnd(folder, context("stop"))).rejects.toThrow(/alarm, the reader moved/);
  expect((await statusOf(folder)).updated).toBe(status.updated);

  await runToEnd(folder, context("warn"));
  const done = await statusOf(folder);
  expect(done).toMatchObject({ state: "done", alarms: [{ step, channel }] });
  expect(done.warnings.filter((one: string) => one.includes(": alarm,"))).toHaveLength(1);
  expect(done.stopped).toBeUndefined();
});

it("says what no alarm can see, by the ground truth, where it is not rare", async () => {
  const told = async (threshold: number) => {
    const folder = await mkdtemp(join(tmpdir(), "probeward-alarm-"));
    const warnings: string[] = [];
    const blind = { ...base.probe, threshold };
    const one = tinyContext({
      arm: { terms: [proxyReward()] },
      probe: blind,
      heldOutProbes: { other: blind },
      settings: { ...base.settings, steps: 3, alarms: "warn" },
    });
    const metrics = await runToEnd(folder, one, { onWarning: (warning) => warnings.push(warning) });
    return { warnings, metrics, status: await statusOf(folder) };
  };
  const { warnings, metrics, status } = await told(100);
  // Nothing is ever flagged: all misbehaviour is unseen.
  for (const line of metrics) expect(line["alarm/unseen"]).toBe(line.misbehaviour);
  const mean = metrics.reduce((sum, line) => sum + line.misbehaviour!, 0) / metrics.length;
  expect(mean).toBeGreaterThan(0.05);
  expect(status.unseen.end).toBeCloseTo(mean, 9);
  expect(warnings).toContainEqual(
    expect.stringMatching(/no probe sees it.*with no probe flagging them.*no alarm was raised/),
  );
  expect(status.warnings).toEqual(warnings);

  const seeing = await told(-100);
  expect(seeing.status.unseen).toEqual({ start: 0, end: 0 });
  expect(seeing.warnings.join()).not.toContain("no probe sees it");
});

it("changes nothing of what is trained", async () => {
  const lines = async (alarms: "off" | "warn") => {
    const folder = await mkdtemp(join(tmpdir(), "probeward-alarm-"));
    const metrics = await runToEnd(folder, context(alarms));
    return metrics.map(({ loss, kl }) => ({ loss, kl }));
  };
  expect(await lines("warn")).toEqual(await lines("off"));
});

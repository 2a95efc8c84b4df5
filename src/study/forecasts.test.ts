/** @file Forecasts of a whole study: made before it trains, kept, and in its summary. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { tinyEnvironment, tinyModel } from "../../test/tiny.ts";
import { runTinyStudy, tinySettings } from "../../test/tiny-study.ts";
import type { ArmParts } from "../arm/arms.ts";
import type { Environment } from "../environment/types.ts";
import { forecastSchema, foretold } from "../store/index.ts";
import { penalty, probeMonitor, proxyReward } from "../training/index.ts";
import { foretell } from "./forecasts.ts";
import { withStudy } from "./study.ts";

vi.setConfig({ testTimeout: 60_000 });

const settings = tinySettings({
  arms: ["none", "probe-penalty", "probe-penalty-frozen", "probe-loss"],
  forecast: true,
  training: { ...tinySettings().training, steps: 5 },
});

it("foretells what acts through the reward, before anything is trained, and keeps it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "probeward-forecast-"));
  const told: string[] = [];
  const onEvent = (event: { kind: string; detail?: string }) => {
    if (event.kind !== "step") told.push(event.detail!);
    else told.push("step");
  };
  const summary = await runTinyStudy(folder, settings, onEvent);
  const kept = forecastSchema.parse(JSON.parse(await readFile(join(folder, "forecast.json"), "utf8")));
  expect(Object.keys(kept.arms)).toEqual(["none", "probe-penalty", "probe-penalty-frozen"]);
  for (const [id, forecast] of Object.entries(kept.arms)) {
    expect(summary.arms[id]!.forecast).toEqual(forecast);
    for (const measure of foretold) {
      const { steps, value, low, high } = forecast[measure]!;
      expect(steps).toEqual([0, 1, 2, 3, 4]);
      value.forEach((one, i) => {
        expect(one).toBeGreaterThanOrEqual(low[i]!);
        expect(one).toBeLessThanOrEqual(high[i]!);
      });
    }
  }
  expect(summary.arms["probe-loss"]!.forecast).toBeUndefined();
  const said = told.findIndex((line) => line.startsWith("probe-penalty: Misbehaviour"));
  expect(said).toBeGreaterThan(0);
  expect(said).toBeLessThan(told.indexOf("step"));

  // What is there is not made again: it would be a forecast of what is known.
  const marked = JSON.parse(JSON.stringify(kept));
  marked.arms.none.misbehaviour.value[0] = 0.123;
  await writeFile(join(folder, "forecast.json"), JSON.stringify(marked));
  const again = await runTinyStudy(folder, settings);
  expect(again.arms.none!.forecast!.misbehaviour!.value[0]).toBe(0.123);
});

it("is a function of the settings, and the same for a penalty of a user's own as for a built-in one", async () => {
  const foretellIn = async () => {
    const folder = await mkdtemp(join(tmpdir(), "probeward-forecast-"));
    const parts = {
      environment: tinyEnvironment() as Environment,
      model: tinyModel,
      arms: {
        mine: ({ probe }: ArmParts) => ({
          terms: [proxyReward(), penalty(probeMonitor(probe, "policy"), { weight: settings.penalty })],
        }),
      },
    };
    const own = { ...settings, arms: ["probe-penalty" as const] };
    const found = await withStudy(
      folder,
      own,
      () => {},
      parts as never,
      (work) => foretell(work, () => {}),
    );
    await rm(folder, { recursive: true });
    return found;
  };
  const first = await foretellIn();
  expect(await foretellIn()).toEqual(first);
  // Each arm draws its simulated runs by its name: near, and not equal.
  const [mine, builtIn] = [first.arms.mine!, first.arms["probe-penalty"]!];
  mine.misbehaviour.value.forEach((value, i) => {
    expect(Math.abs(value - builtIn.misbehaviour.value[i]!)).toBeLessThan(0.1);
  });
});

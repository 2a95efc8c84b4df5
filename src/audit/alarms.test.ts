/** @file Alarms: seldom false over whole runs, soon where something moves, and by the right name. */

import { expect, it } from "vitest";
import { randomFor } from "../random.ts";
import { type AlarmReading, createAlarms } from "./alarms.ts";

/** How far known misbehaviour's readings have gone: some of 128 sequences all the way, 32 of them drawn at each step. */
function run(
  name: string,
  steps: number,
  at: (step: number) => { lost: number; overlooked?: number; divergence?: number },
) {
  const random = randomFor("alarms", name);
  const observe = createAlarms();
  const raised: string[] = [];
  for (let step = 0; step < steps; step++) {
    const { lost, overlooked = 0, divergence = 0 } = at(step);
    const reading: AlarmReading = {
      lost: Array.from({ length: 32 }, () => Number(random() < lost)).reduce((a, b) => a + b, 0) / 32,
      count: 32,
      divergence,
      overlooked:
        Array.from({ length: 16 }, () => Number(random() < overlooked)).reduce((a, b) => a + b, 0) / 16,
    };
    raised.push(...observe(reading).map((channel) => `${channel}@${step}`));
  }
  return raised;
}

it("are false in at most one run of twenty, at the very edge of what is tolerated, over a thousand steps", () => {
  const runs = Array.from({ length: 100 }, (_, i) =>
    run(`edge ${i}`, 1000, () => ({ lost: 0.25, overlooked: 0.1 })),
  );
  expect(runs.filter((raised) => raised.length > 0).length).toBeLessThanOrEqual(5);
});

it("name the reader soon after it moves, however long all was quiet", () => {
  for (const quiet of [0, 50, 500]) {
    const [first] = run(`reader ${quiet}`, quiet + 20, (step) => ({ lost: step < quiet ? 0.05 : 0.9 }));
    const [channel, step] = first!.split("@");
    expect(channel).toBe("reader");
    expect(Number(step) - quiet).toBeLessThan(4);
  }
});

it("allow readings to move with what is written, and not ahead of it", () => {
  // The loss goes to 0.7; the rollouts go half a nat from the reference in as many steps, or in ten times as many.
  const drift = (steps: number) => (step: number) => ({
    lost: Math.min(0.7, step / 20),
    divergence: 0.5 * Math.min(1, step / steps),
  });
  expect(run("together", 100, drift(14))).toEqual([]);
  expect(run("ahead", 100, drift(140))[0]).toMatch(/^reader@1?\d$/);
  // What has once been written is allowed from there on: estimates of a divergence scatter.
  const back = (step: number) => ({ lost: step < 5 ? 0 : 0.7, divergence: step === 4 ? 0.5 : 0 });
  expect(run("back", 100, back)).toEqual([]);
});

it("name the text where only rollouts are overlooked, and only the reader where that has moved", () => {
  expect(run("text", 60, (step) => ({ lost: 0.02, overlooked: step < 20 ? 0 : 0.6 }))[0]).toMatch(
    /^text@2\d$/,
  );
  const both = run("both", 60, (step) => ({ lost: step < 20 ? 0 : 0.95, overlooked: step < 20 ? 0 : 0.6 }));
  expect(both.map((one) => one.split("@")[0])).toEqual(["reader"]);
});

it("are raised once, and not where nothing is measured", () => {
  expect(run("once", 200, () => ({ lost: 1 }))).toHaveLength(1);
  const observe = createAlarms();
  const none = { lost: null, count: 0, divergence: 0, overlooked: null };
  expect(Array.from({ length: 50 }, () => observe(none)).flat()).toEqual([]);
});

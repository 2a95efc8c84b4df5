/** @file The table of runs. */

import { describe, expect, it } from "vitest";
import { tinySettings } from "../../test/tiny-study.ts";
import { UsageError } from "../errors.ts";
import { expand } from "./expand.ts";

describe("expand", () => {
  it("gives every arm and seed without a grid, seed by seed", () => {
    const runs = expand(tinySettings({ arms: ["none", "probe-penalty"], seeds: 2, firstSeed: 3 }));
    expect(runs.map(({ id, seed }) => `${id} ${seed}`)).toEqual([
      "none 3",
      "probe-penalty 3",
      "none 4",
      "probe-penalty 4",
    ]);
    expect(runs[0]).toMatchObject({ arm: "none", point: {} });
  });

  it("sets the values of every point, and varies only what an arm depends on", () => {
    const grid = { penalty: [0.5, 2], "training.kl": [0, 0.1] };
    const runs = expand(tinySettings({ arms: ["none", "probe-penalty"], grid }));
    expect(runs.map(({ id }) => id)).toEqual([
      "none@kl=0",
      "none@kl=0.1",
      "probe-penalty@penalty=0.5,kl=0",
      "probe-penalty@penalty=0.5,kl=0.1",
      "probe-penalty@penalty=2,kl=0",
      "probe-penalty@penalty=2,kl=0.1",
    ]);
    const last = runs.at(-1)!;
    expect(last.point).toEqual({ penalty: 2, "training.kl": 0.1 });
    expect(last.settings).toMatchObject({ penalty: 2, training: { kl: 0.1, steps: 6 } });
    expect(last.settings).not.toHaveProperty("grid");
  });

  it("names a model by the end of its path, and starts every arm from each", () => {
    const grid = { model: ["/some/where/blind", "/else/where/base.gguf"], penalty: [0.5, 2] };
    const runs = expand(tinySettings({ arms: ["none", "probe-penalty"], grid }));
    expect(runs.map(({ id }) => id)).toEqual([
      "none@model=blind",
      "none@model=base.gguf",
      "probe-penalty@model=blind,penalty=0.5",
      "probe-penalty@model=blind,penalty=2",
      "probe-penalty@model=base.gguf,penalty=0.5",
      "probe-penalty@model=base.gguf,penalty=2",
    ]);
    expect(runs[0]).toMatchObject({ point: { model: "blind" }, settings: { model: "/some/where/blind" } });
  });

  it.each([
    ["seeds", { seeds: 2 ** 31 }, 2 ** 31],
    [
      "a grid",
      { grid: Object.fromEntries("abcde".split("").map((x) => [`training.${x}`, Array(100).fill(0)])) },
      1e10,
    ],
    ["both", { seeds: 101, grid: { "training.kl": Array(100).fill(0) } }, 10_100],
  ])("refuses more runs than can be kept, by %s, before it makes them", (_, settings, count) => {
    const table = () => expand(tinySettings({ arms: ["none"], ...settings }));
    expect(table).toThrow(UsageError);
    expect(table).toThrow(`the study has ${count} runs`);
  });

  it("keeps whole paths where their ends are alike", () => {
    const [run] = expand(
      tinySettings({ arms: ["none"], grid: { "probe.tasks": [8], "training.tasks": [1] } }),
    );
    expect(run!.id).toBe("none@probe.tasks=8,training.tasks=1");
  });
});

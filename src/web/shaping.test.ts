import { describe, expect, test } from "vitest";
import { formatCount, formatDuration, formatNumber } from "./format.ts";
import { armStyles } from "./palette.ts";
import { sweepTables } from "./sweep.ts";

describe("formats", () => {
  test.each([
    [0.456, "0.46"],
    [-0.001, "0.00"],
    [9.999, "10.0"],
    [123.4, "123"],
    [null, "–"],
    [undefined, "–"],
  ])("%s reads %s", (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });

  test("durations and counts", () => {
    expect([42.4, 59.7, 192, 7500].map(formatDuration)).toEqual([
      "42 s",
      "1 min 0 s",
      "3 min 12 s",
      "2 h 5 min",
    ]);
    expect([formatCount(1, "run"), formatCount(1200, "run")]).toEqual(["1 run", "1,200 runs"]);
  });
});

describe("armStyles", () => {
  test("an arm looks the same in every study", () => {
    const probe = armStyles(["none", "probe-penalty"]).get("probe-penalty");
    expect(armStyles(["text-penalty", "probe-penalty", "inoculation"]).get("probe-penalty")).toEqual(probe);
  });

  test("arms differ while there are slots, and all have a style when there are none left", () => {
    const eight = ["none", "probe-loss", "a", "b", "c", "d", "e", "f"];
    expect(new Set([...armStyles(eight).values()].map((style) => style.colour)).size).toBe(8);
    const many = Array.from({ length: 20 }, (_, index) => `arm-${index}`);
    for (const style of armStyles(many).values()) expect(style.dash).toMatch(/^\d/);
  });
});

test("sweepTables orders layers by number and positions by time, and marks what was not tried", () => {
  const cell = (layer: number, positions: string, auroc: number | null, kind = "logistic") => ({
    hook: `blocks.${layer}.hook_resid_post`,
    positions,
    kind,
    auroc,
  });
  const tables = sweepTables([
    cell(10, "completion-last", 0.9),
    cell(2, "completion-last", null),
    cell(2, "prompt-last", 0.6),
    cell(2, "completion", 0.7, "difference-of-means"),
  ]);
  expect(tables.map((table) => table.kind)).toEqual(["logistic", "difference-of-means"]);
  expect(tables[0]).toMatchObject({
    hooks: ["blocks.2.hook_resid_post", "blocks.10.hook_resid_post"],
    positions: ["prompt-last", "completion-last"],
    auroc: [
      [0.6, null],
      [null, 0.9],
    ],
  });
});

import { describe, expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { renderTable } from "./table.ts";

const linesOf = (seeds: number[]) => renderTable(studyFixture({ seeds }).summary!).split("\n");
const rowOf = (lines: string[], arm: string) => lines.find((line) => line.startsWith(`${arm} `))!;

describe("renderTable", () => {
  test.each([[[1]], [[1, 2, 3]]])("fits 80 columns with seeds %j", (seeds) => {
    for (const line of linesOf(seeds)) expect(line.length).toBeLessThanOrEqual(80);
  });

  test("has one row per arm, in the usual order, with the numbers of the summary", () => {
    const summary = studyFixture().summary!;
    summary.arms = { "probe-loss": summary.arms["probe-loss"]!, none: summary.arms.none! };
    Object.assign(summary.arms.none!.mean, {
      misbehaviourStart: 0.2,
      misbehaviourEnd: 0.91,
      trueStart: 0.7,
      trueEnd: 0.08,
      recallFrozenEnd: 0.98,
      fprFrozenEnd: 0.41,
      aurocInitialEnd: 0.97,
      aurocFreshEnd: 1,
    });
    const lines = renderTable(summary).split("\n");
    expect(rowOf(lines, "none").split(/\s+/)).toEqual(
      "none 0.20 0.91 0.70 0.08 0.98 0.41 0.97 1.00 rampant".split(" "),
    );
    expect(lines.indexOf(rowOf(lines, "none"))).toBeLessThan(lines.indexOf(rowOf(lines, "probe-loss")));
  });

  test("shows a measure that is not defined as a dash", () => {
    const summary = studyFixture().summary!;
    summary.arms.none!.mean.recallFrozenEnd = null;
    expect(rowOf(renderTable(summary).split("\n"), "none").split(/\s+/)[5]).toBe("-");
  });

  test("gives half the interval under each mean of several seeds, and nothing of the kind for one", () => {
    const summary = studyFixture({ seeds: [1, 2, 3] }).summary!;
    summary.arms.none!.interval.misbehaviourEnd = [0.85, 0.97];
    const lines = renderTable(summary).split("\n");
    expect(lines[lines.indexOf(rowOf(lines, "none")) + 1]!.trim().split(/\s+/)[1]).toBe("±.06");
    expect(linesOf([1]).join("\n")).not.toContain("±");
  });

  test("names the diagnosis of a probe that lost something, and counts seeds that differ", () => {
    const summary = studyFixture({ seeds: [1, 2, 3] }).summary!;
    summary.arms["probe-loss"]!.runs[0]!.outcome = "worse";
    const lines = renderTable(summary).split("\n");
    const row = rowOf(lines, "probe-loss");
    expect(row).toMatch(/blinded ×2$/);
    expect(lines[lines.indexOf(row) + 1]).toMatch(/rotation$/);
  });

  test("says what the probe saw before training", () => {
    const text = linesOf([1]).join("\n");
    expect(text).toContain("before training 0.99 and 0.02.");
    expect(text).toContain("One seed.");
  });

  test("shortens an arm's name that is too long for its column", () => {
    const summary = studyFixture().summary!;
    summary.arms = { "probe-penalty-trunk-frozen": summary.arms.none! };
    const row = renderTable(summary).split("\n")[3]!;
    expect(row).toMatch(/^probe-penalty-trunk… /);
    expect(row.length).toBeLessThanOrEqual(80);
  });
});

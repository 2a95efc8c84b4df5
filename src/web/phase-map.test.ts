import { describe, expect, test } from "vitest";
import { gridFixture, studyFixture } from "../../test/study-fixture.ts";
import { controlOf } from "../store/arms.ts";
import type { Summary } from "../store/schema.ts";
import { mapSentence, phaseMaps, takeoverWords } from "./phase-map.ts";
import { tradeoffPoints } from "./tradeoff.ts";

describe("phaseMaps", () => {
  const { summary } = gridFixture();

  test("places every point, numbers ascending, the last setting across", () => {
    const maps = phaseMaps(summary!);
    expect(maps.map(({ arm }) => arm)).toEqual(["none", "probe-penalty"]);
    const [none, penalty] = maps as [(typeof maps)[0], (typeof maps)[0]];
    expect(none).toMatchObject({ at: "", x: { path: "training.kl", values: [0, 0.1] }, y: null });
    expect(none.cells).toHaveLength(1);
    expect(penalty.y).toEqual({ path: "penalty", values: [0.5, 2, 4] });
    expect(penalty.cells.map((row) => row.map((cell) => cell!.id))).toEqual([
      ["probe-penalty@penalty=0.5,kl=0", "probe-penalty@penalty=0.5,kl=0.1"],
      ["probe-penalty@penalty=2,kl=0", "probe-penalty@penalty=2,kl=0.1"],
      ["probe-penalty@penalty=4,kl=0", "probe-penalty@penalty=4,kl=0.1"],
    ]);
    expect(penalty.cells[0]![0]!.misbehaviour).toBeGreaterThan(0.8);
    expect(mapSentence(penalty)).toBe("Of 6 points, 4 are honest and 2 are overrun by misbehaviour.");
  });

  test("leaves points without runs empty, and splits a third setting into maps of its own", () => {
    const arms = Object.fromEntries(
      ["16", "64"].flatMap((examples) =>
        Object.entries(summary!.arms)
          .filter(([id]) => id !== "probe-penalty@penalty=4,kl=0.1")
          .map(([id, arm]) => [
            `${id},examples=${examples}`,
            { ...arm, point: { "probe.examples": Number(examples), ...arm.point } },
          ]),
      ),
    );
    const maps = phaseMaps({ ...summary!, arms } as Summary).filter(({ arm }) => arm === "probe-penalty");
    expect(maps.map(({ at }) => at)).toEqual(["examples=16", "examples=64"]);
    expect(maps[0]!.cells[2]![1]).toBeNull();
    expect(mapSentence(maps[0]!)).toContain("Of 5 points");
  });

  test("says when what is undetected took over, model by model, of arms that train on a probe", () => {
    const [was] = Object.entries(summary!.arms).filter(([id]) => id.startsWith("probe-penalty"));
    const at = (arm: string, model: string, penalty: number, takeovers: (number | null)[]) => [
      `${arm}@model=${model},penalty=${penalty}`,
      {
        ...was![1],
        ...{ arm, point: { model, penalty } },
        runs: takeovers.map((takeover) => ({ ...was![1].runs[0]!, takeover })),
      },
    ];
    const arms = Object.fromEntries([
      at("probe-penalty", "code-0", 0.5, [null, null, null]),
      at("probe-penalty", "code-0", 2, [null, null, null]),
      at("probe-penalty", "code-0.2", 0.5, [19, 12, 17]),
      at("probe-penalty", "code-0.2", 2, [null, 17, null]),
      at("red-team", "code-0.2", 2, [3]),
    ]);
    const [map, other] = phaseMaps({ ...summary!, arms } as Summary);
    expect(map!.y).toEqual({ path: "model", values: ["code-0", "code-0.2"] });
    expect(map!.cells.map((row) => row.map((cell) => takeoverWords(cell!.takeover!)))).toEqual([
      ["no takeover", "no takeover"],
      ["takes over at step 12, 17, 19", "takes over at step 17 (1/3)"],
    ]);
    expect(other!.cells[0]![0]!.takeover).toBeNull();
  });

  test("has none of a study without a grid", () => {
    expect(phaseMaps(studyFixture().summary!)).toEqual([]);
  });
});

test("points are compared with the control at their own values", () => {
  const { summary } = gridFixture();
  expect(controlOf(summary!.arms, "probe-penalty@penalty=2,kl=0.1")).toBe("none@kl=0.1");
  expect(controlOf({ none: {}, "probe-loss": {} }, "probe-loss")).toBe("none");
  expect(controlOf({ "probe-loss": {} }, "probe-loss")).toBeUndefined();
  const points = tradeoffPoints(summary!);
  expect(points.find(({ arm }) => arm === "probe-penalty@penalty=4,kl=0")!.removed).toBeGreaterThan(0.8);
  expect(points.find(({ arm }) => arm === "none@kl=0")!.removed).toBe(0);
});

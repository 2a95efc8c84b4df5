import { expect, test } from "vitest";
import { columnsOf } from "../../test/study-fixture.ts";
import type { RunData } from "../report/data.ts";
import type { StepMetrics } from "../store/records.ts";
import { curveGroups } from "./curve-groups.ts";
import { shownCurves } from "./shown-curves.ts";

const run = (lines: StepMetrics[]): RunData => ({
  ...{ arm: "a", seed: 1, status: null, metrics: columnsOf(lines) },
  ...{ stepsPerPoint: 1, rollouts: [], rolloutsEvery: 1 },
});
const titles = (groups: ReturnType<typeof shownCurves>, part: "curves" | "flat") =>
  groups.flatMap((group) => group[part].map(({ title }) => title));

test("every figure that all runs may have is there before anything is recorded", () => {
  expect(titles(shownCurves([]), "curves")).toEqual(
    curveGroups.flatMap(({ curves }) => curves.map(({ title }) => title)),
  );
  expect(shownCurves([{ ...run([]), metrics: { step: [] } }])).toEqual(shownCurves([]));
});

test("then those of what was recorded, with the study's own probes, terms and metrics", () => {
  const names = [
    ...["misbehaviour", "tracer/initial/policy/fpr_frozen", "tracer/other-layer/policy/auroc", "monitor/fpr"],
    ...["reward", "rewards/probe/mean", "judge/cost", "labels/solved", "deployed/true"],
  ];
  const line = (step: number) => ({ step, ...Object.fromEntries(names.map((name) => [name, step])) });
  const groups = shownCurves([run([line(0), line(1)])]);
  expect(groups.map(({ title, curves }) => [title, curves.map((curve) => curve.metric)])).toEqual([
    ["What the model does", ["misbehaviour"]],
    ["What the probe still sees", ["tracer/initial/policy/fpr_frozen"]],
    ["What the arm's monitor does", ["monitor/fpr"]],
    ["What training is paid", ["reward"]],
    ["What the model does when it is deployed", ["deployed/true"]],
    ["What other probes see", ["tracer/other-layer/policy/auroc"]],
    ["The terms of the reward", ["rewards/probe/mean"]],
    ["What reward terms and monitors logged", ["judge/cost"]],
  ]);
  expect(titles(groups, "flat")).toEqual([]);
});

test("what stays the same is put aside, but never what a study is about", () => {
  const constant = { misbehaviour: 0, "tracer/other-layer/policy/auroc": 1, "judge/cost": 0 };
  const groups = shownCurves([run([0, 1, 2].map((step) => ({ step, ...constant })))]);
  expect(titles(groups, "curves")).toEqual(["Misbehaviour"]);
  expect(titles(groups, "flat")).toEqual(["AUROC of the probe other-layer", "judge/cost"]);
});

import { expect, test } from "vitest";
import { columnsOf, studyFixture } from "../../test/study-fixture.ts";
import { progressOf } from "./progress.ts";

const run = studyFixture({ steps: 3 }).runs[0]!;
const lines = [
  { step: 0, misbehaviour: 0.5 },
  { step: 1, misbehaviour: null },
];
const begun = { ...run, metrics: columnsOf(lines) };

test("a run that is done, failed, or waiting", () => {
  expect(progressOf(run)).toMatchObject({ state: "done", step: 3, steps: 3, error: null });
  const failed = { state: "failed", step: 2, steps: 9, updated: "", error: "no memory" } as const;
  expect(progressOf({ ...begun, status: failed })).toMatchObject({
    state: "failed",
    step: 2,
    error: "no memory",
  });
  expect(progressOf({ ...run, status: null, metrics: { step: [] } })).toMatchObject({
    state: "waiting",
    step: 0,
  });
});

test("a run is as far as its metrics, which are written more often than its status", () => {
  const status = { state: "running", step: 0, steps: 9, updated: "" } as const;
  expect(progressOf({ ...begun, status })).toMatchObject({
    state: "running",
    step: 2,
    steps: 9,
    misbehaviour: 0.5,
  });
});

/** @file Many who look at one study: each message is made once, for all of them. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { appendMetrics, writeStudy } from "../../test/study-folder.ts";
import { StudyWatch, type ViewerMessage } from "./watch.ts";

test("viewers share what they are told, until it changes", async () => {
  const folder = await mkdtemp(join(tmpdir(), "probeward-watch-"));
  const study = studyFixture({ steps: 3 });
  await writeStudy(folder, study);
  const watch = new StudyWatch(folder, folder, 20);
  const told: ViewerMessage[][] = [[], []];
  const leave = await Promise.all(told.map((messages) => watch.view((message) => messages.push(message))));
  expect(told[0]![0]!.event).toBe("study");
  expect(told[1]![0]!.data).toBe(told[0]![0]!.data);
  expect(await watch.data()).toBe(told[0]![0]!.data);

  await appendMetrics(folder, study.runs[0]!, [{ step: 4, misbehaviour: 0.5 }]);
  await expect.poll(() => told.map((messages) => messages.length)).toEqual([2, 2]);
  expect(told[0]![1]!.event).toBe("update");
  expect(told[1]![1]!.data).toBe(told[0]![1]!.data);
  const after = await watch.data();
  expect(after.length).toBeGreaterThan(told[0]![0]!.data.length);
  for (const one of leave) one();
  await rm(folder, { recursive: true });
});

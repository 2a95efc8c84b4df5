/** @file A study that is killed, or whose disk is full, in the middle of each single operation on files in turn. */

import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyAtEach, fullAt } from "../../test/disk.ts";
import { leftIn } from "../../test/left.ts";
import { runTinyStudy, tinySettings } from "../../test/tiny-study.ts";
import { FileError } from "../files.ts";

const settings = tinySettings({
  arms: ["none"],
  training: { ...tinySettings().training, steps: 3, checkpointEvery: 2, prompts: 2, rollouts: 2 },
});

let place: string;
let operations: string[];
let whole: Record<string, string>;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-crash-"));
  const folder = join(place, "whole");
  await mkdir(folder);
  operations = await copyAtEach(folder, place, () => runTinyStudy(folder, settings));
  whole = await leftIn(folder);
}, 60_000);
afterAll(() => rm(place, { recursive: true }));

/** The same command again: whatever had been left, all is as if nothing had happened. */
async function expectWhole(folder: string, after: string) {
  await runTinyStudy(folder, settings);
  const left = await leftIn(folder);
  // The report's file aside has the number of its process in its name.
  for (const name of Object.keys(left)) if (/^report\.html\.\d+\.partial$/.test(name)) delete left[name];
  expect(left, after).toEqual(whole);
}

describe("a study", () => {
  it("that was killed in the middle of any operation ends, started again, as if it never had been", async () => {
    expect(operations.length).toBeGreaterThan(30);
    for (const part of [
      "base.json.partial",
      "metrics.jsonl",
      "step-000002.partial",
      "summary.json",
      "report.html",
    ])
      expect(operations.join("\n")).toContain(part);
    for (const [n, operation] of operations.entries()) await expectWhole(join(place, String(n)), operation);
    console.log(`killed at ${operations.length} operations`);
  }, 240_000);

  it("that finds the disk full says so, damages nothing, and goes on when there is space", async () => {
    for (let n = 0; n < operations.length; n += 5) {
      const folder = join(place, `full-${n}`);
      await mkdir(folder);
      const error = await fullAt(n, () => runTinyStudy(folder, settings)).then(
        () => undefined,
        (thrown: Error) => thrown,
      );
      // What only tidies up at the end has nothing to lose.
      expect(error, operations[n]!).toBeInstanceOf(FileError);
      expect(error!.message).toMatch(/^cannot write .*the disk is full. Free some space/s);
      expect(error!.message).toContain(folder);
      // Where nothing could be begun, the empty folder is gone as well.
      await mkdir(folder, { recursive: true });
      for (const name of Object.keys(await leftIn(folder)))
        if (/\.json$/.test(name)) JSON.parse(await readFile(join(folder, name), "utf8"));
      await expectWhole(folder, operations[n]!);
    }
  }, 240_000);
});

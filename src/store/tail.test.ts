import { appendFile, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Tail } from "./tail.ts";

let folder: string;
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "probeward-tail-")));
});
afterAll(() => rm(folder, { recursive: true }));

function collect() {
  const lines: string[] = [];
  return {
    lines,
    line(bytes: Buffer, number: number) {
      lines.push(bytes.toString("utf8"));
      expect(number).toBe(lines.length);
    },
    restart() {
      lines.length = 0;
    },
  };
}

test("whole lines come once, however the file is cut into writings", async () => {
  let count = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: fc.constantFrom("a", "é", "\n", "𝄞"), maxLength: 12 })),
      async (writings) => {
        const path = join(folder, `file-${count++}`);
        const tail = new Tail(path, folder);
        const seen = collect();
        await tail.read(seen);
        for (const writing of writings) {
          await appendFile(path, writing);
          await tail.read(seen);
        }
        expect(seen.lines).toEqual(writings.join("").split("\n").slice(0, -1));
      },
    ),
    { numRuns: 60 },
  );
});

test("lines of any length", async () => {
  const path = join(folder, "long");
  const lines = ["x".repeat(9 << 20), "short", "y".repeat(5 << 20), ""];
  await writeFile(path, lines.map((line) => `${line}\n`).join(""));
  const seen = collect();
  await new Tail(path, folder).read(seen);
  expect(seen.lines).toEqual(lines);
});

test("a file that became shorter starts again", async () => {
  const path = join(folder, "shorter");
  const tail = new Tail(path, folder);
  const seen = collect();
  await writeFile(path, "one\ntwo\nthree\n");
  await tail.read(seen);
  await writeFile(path, "four\n");
  await tail.read(seen);
  expect(seen.lines).toEqual(["four"]);
  await rm(path);
  await tail.read(seen);
  expect(seen.lines).toEqual([]);
});

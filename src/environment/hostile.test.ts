/** @file The sandbox against programs that mean harm: each ends, learns nothing, and leaves the host as it was. */

import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostileAnswers, hostileGroups } from "../../test/hostile-programs.ts";
import { createSandbox } from "./sandbox.ts";

const sandbox = createSandbox({ timeMs: 100, hangMs: 300 });

/** An ordinary batch, and its answers. */
const ordinary = [1, 2, 3].map((k) => ({ source: `x=>${k}*x+1`, inputs: [0, 5] }));
const ordinaryAnswers = [1, 2, 3].map((k) => [{ value: 1 }, { value: 5 * k + 1 }]);

const MB = 2 ** 20;
/** Turns of the host's event loop, at most one per interval. */
const INTERVAL = 10;
let turns = 0;
let memory = { before: 0, most: 0 };
let clock: NodeJS.Timeout;
let before: Awaited<ReturnType<typeof host>>;

/** What a program could touch on the host. */
async function host() {
  return {
    folder: await readdir(process.cwd()),
    temporary: (await readdir(tmpdir())).filter((name) => name.startsWith("escaped")),
    environment: { ...process.env },
    globals: Object.getOwnPropertyNames(globalThis).sort(),
    prototype: Object.getOwnPropertyNames(Object.prototype).sort(),
  };
}

beforeAll(async () => {
  await sandbox.run(ordinary);
  before = await host();
  memory = { before: process.memoryUsage.rss(), most: 0 };
  clock = setInterval(() => {
    turns++;
    memory.most = Math.max(memory.most, process.memoryUsage.rss());
  }, INTERVAL);
});
afterAll(() => {
  clearInterval(clock);
  return sandbox.close();
});

/** The answers of a program to 3 and 4, once an ordinary batch after it was answered right. */
async function answersOf(source: string) {
  const turnsBefore = turns;
  const [answers] = await sandbox.run([{ source, inputs: [3, 4] }]);
  const used = JSON.stringify(answers).match(/exceeded 100 ms|did not end/);
  if (used) expect(turns).toBeGreaterThan(turnsBefore);
  expect(await sandbox.run(ordinary)).toEqual(ordinaryAnswers);
  return answers;
}

for (const { becomes, error, programs } of hostileGroups)
  describe(`a program that ${becomes}`, () => {
    it.each(Object.entries(programs))(
      "%s",
      async (_, source) => {
        const failure = expect.objectContaining({ error: expect.stringMatching(error) });
        expect(await answersOf(source)).toEqual([failure, failure]);
      },
      20_000,
    );
  });

describe("a program that gains nothing by tampering", () => {
  it.each(Object.entries(hostileAnswers))("%s", async (_, [source, answers]) => {
    expect(await answersOf(source)).toEqual(answers.map((value) => ({ value })));
  });
});

describe("after all of them", () => {
  it("the host's files, environment and globals are as they were", async () => {
    expect(await host()).toEqual(before);
  });

  it("the host's memory has at no time grown by more than 256 MB", () => {
    expect(memory.most).toBeGreaterThan(0);
    expect((memory.most - memory.before) / MB).toBeLessThan(256);
  });
});

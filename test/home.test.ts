/** @file What is left in the user's home folder by every kind of process that computes: nothing. (XLA keeps compiled programs in the cache's folder, as its page says.) */

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { probeward, writeTinyStudy } from "./launched-study.ts";
import { tinySettings } from "./tiny-study.ts";

const library = pathToFileURL(fileURLToPath(new URL("../dist/index.js", import.meta.url))).href;
const training = { ...tinySettings().training, steps: 2 };

let place: string;
let file: string;
let home: string;
let variables: NodeJS.ProcessEnv;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-home-"));
  file = await writeTinyStudy(join(place, "study"), { arms: ["none"], seeds: 2, training });
  home = join(place, "home");
  await mkdir(home);
  const cleared = [
    "ORT_DISABLE_TELEMETRY",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "PROBEWARD_PYTHON",
  ];
  variables = { HOME: home, ...Object.fromEntries(cleared.map((name) => [name, undefined])) };
});
afterAll(() => rm(place, { recursive: true }));

const leftAtHome = () => readdir(home, { recursive: true });

it.each([
  ["the command line", () => ["doctor"]],
  ["the command line and its workers", () => ["study", file, "--out", join(place, "two"), "--jobs", "2"]],
])(
  "%s",
  async (_, command) => {
    expect(await probeward(command(), variables).ended).toMatchObject({ status: 0 });
    expect(await leftAtHome()).toEqual([]);
  },
  60_000,
);

it("a task of a study that was launched", async () => {
  const folder = join(place, "two");
  await rm(join(folder, "runs"), { recursive: true });
  const task = probeward(["task", "train", folder, "none/seed-1"], variables);
  expect(await task.ended).toMatchObject({ status: 0 });
  expect(await leftAtHome()).toEqual([]);
}, 60_000);

it("a program that imports the library", async () => {
  const program = `import { readStudy, runStudy } from ${JSON.stringify(library)};
    await runStudy(${JSON.stringify(join(place, "own"))}, await readStudy(${JSON.stringify(file)}));`;
  const args = ["--input-type=module", "--eval", program];
  await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...variables } });
  expect(await leftAtHome()).toEqual([]);
}, 60_000);

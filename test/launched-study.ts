/** @file A tiny study as users have one: a study file, a model's folder, an environment's module; through the command line. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import type { RunState } from "../src/launch/index.ts";
import { saveModel } from "../src/model/index.ts";
import type { Summary } from "../src/report/index.ts";
import { tinyConfig, tinyContext } from "./tiny.ts";
import { tinySettings } from "./tiny-study.ts";

export const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const environment = fileURLToPath(new URL("tiny-environment.ts", import.meta.url));

export interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** The command line as a process. */
export function probeward(
  args: readonly string[],
  variables: NodeJS.ProcessEnv = {},
): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, ...variables } });
  const ended = { status: null as number | null, stdout: "", stderr: "" };
  child.stdout.on("data", (data) => {
    ended.stdout += data;
  });
  child.stderr.on("data", (data) => {
    ended.stderr += data;
  });
  return {
    child,
    ended: new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (status) => resolve({ ...ended, status }));
    }),
  };
}

/** Writes the study file and the model. Returns the study file's path. */
export async function writeTinyStudy(folder: string, settings: object = {}): Promise<string> {
  await mkdir(folder, { recursive: true });
  const { reference } = tinyContext();
  await saveModel(join(folder, "model"), { config: tinyConfig, weights: reference });
  const path = join(folder, "study.yaml");
  await writeFile(path, stringify({ ...tinySettings(), environment, model: "./model", ...settings }));
  return path;
}

export async function readStates(folder: string, variables: NodeJS.ProcessEnv = {}): Promise<RunState[]> {
  const { status, stdout, stderr } = await probeward(["status", folder, "--json"], variables).ended;
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** What a study found, but for how long it took. */
export async function readSummary(folder: string): Promise<Summary> {
  return { ...JSON.parse(await readFile(join(folder, "summary.json"), "utf8")), seconds: 0 };
}

/** @file A tiny study as users have one: a study file, a model's folder, an environment's module; through the command line. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import type { RunStanding } from "../src/launch/index.ts";
import { saveModel } from "../src/model/index.ts";
import type { Summary } from "../src/store/index.ts";

import { tinyConfig, tinyModel } from "./tiny.ts";
import { tinySettings } from "./tiny-study.ts";

export const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const module = (name: string) => fileURLToPath(new URL(`${name}.ts`, import.meta.url));

/** An environment whose runs take a second for every step, most of it asleep, and otherwise give the same. */
export const slow = { environment: module("slow-environment") };

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
  await saveModel(join(folder, "model"), { config: tinyConfig, weights: tinyModel.weights });
  const path = join(folder, "study.yaml");
  await writeFile(
    path,
    stringify({ ...tinySettings(), environment: module("tiny-environment"), model: "./model", ...settings }),
  );
  return path;
}

export async function readStates(folder: string, variables: NodeJS.ProcessEnv = {}): Promise<RunStanding[]> {
  const { status, stdout, stderr } = await probeward(["status", folder, "--json"], variables).ended;
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** What a study found, but for how long it took. */
export async function readSummary(folder: string): Promise<Summary> {
  return { ...JSON.parse(await readFile(join(folder, "summary.json"), "utf8")), seconds: 0 };
}

/** Processes whose command names something, such as a study's folder. */
export async function processesOn(folder: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const command = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
    if (command.split("\0").includes(folder)) found.push(Number(entry));
  }
  return found;
}

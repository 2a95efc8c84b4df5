/** @file TypeScript of this repository as a real process, for tests that kill it. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const repository = fileURLToPath(new URL("..", import.meta.url));

export interface Script {
  path: string;
  remove(): Promise<void>;
}

/** Bundles a file of `test/` so that Node.js runs it. It lies as deep as files of `src/` do, for what they find beside them. */
export async function bundle(name: string): Promise<Script> {
  const folder = await mkdtemp(join(repository, "node_modules/.probeward-test-"));
  await build({
    configFile: false,
    root: repository,
    logLevel: "warn",
    build: {
      ...{ ssr: join(repository, "test", name), outDir: folder, emptyOutDir: true, target: "node20" },
      // All chunks as deep as `dist/study`: what is read from the package is found from there.
      rollupOptions: { output: { chunkFileNames: "[name].js" } },
    },
  });
  return {
    path: join(folder, name.replace(/\.ts$/, ".js")),
    remove: () => rm(folder, { recursive: true }),
  };
}

export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  stderr: string;
}

export interface Running {
  child: ChildProcess;
  ended: Promise<Ended>;
}

/** Starts a command; `onLine` is told of each line of its standard output. */
export function start(command: string, args: string[], onLine: (line: string) => void = () => {}): Running {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (data) => {
    stderr += data;
  });
  createInterface(child.stdout).on("line", onLine);
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status, signal, stderr }));
  });
  return { child, ended };
}

/** @file `probeward doctor`: checks that everything a study needs works on this machine. */

import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { engineContract } from "../engine/contract.ts";
import { createEngine, openEngine } from "../engine/index.ts";
import { createEnvironment } from "../environment/index.ts";
import { CharacterTokenizer, initialWeights, type LoadedModel, loadModel } from "../model/index.ts";
import { shippedModel } from "../prepare/index.ts";
import { randomFor } from "../random.ts";
import { runtimeContract } from "../tensor/contract.ts";
import { onnxRuntime, startXla, threads } from "../tensor/index.ts";

/** What is checked, by name; a check passes with a detail or throws. */
const checks: Record<string, () => Promise<string>> = {
  "Node.js 20.19 or later": async () => {
    const [major, minor] = process.versions.node.split(".").map(Number) as [number, number];
    if (major < 20 || (major === 20 && minor < 19))
      throw new Error(`this is ${process.versions.node}; install a newer one`);
    return process.versions.node;
  },
  "ONNX Runtime keeps its promises": async () => {
    await keptBy(runtimeContract, onnxRuntime);
    return `${runtimeContract.length} of them, with ${threads()} threads`;
  },
  "XLA keeps its promises": async () => {
    if (!process.env.PROBEWARD_PYTHON) return "not asked for: PROBEWARD_PYTHON names no Python with jax";
    const runtime = await startXla();
    try {
      await keptBy(runtimeContract, runtime);
      return `${runtimeContract.length} of them, on ${runtime.info.threads} ${runtime.info.platform} device(s)`;
    } finally {
      await runtime.close();
    }
  },
  "the engine keeps its promises": async () => {
    const engine = createEngine(smallModel());
    const folders: string[] = [];
    const folder = async () => {
      folders.push(await mkdtemp(join(tmpdir(), "probeward-doctor-")));
      return folders.at(-1)!;
    };
    try {
      await keptBy(engineContract, { engine, reopen: openEngine, folder });
    } finally {
      await engine.close();
      for (const one of folders) await rm(one, { recursive: true, force: true });
    }
    return `${engineContract.length} of them, on ${engine.info.name}`;
  },
  "the sandbox runs programs": async () => {
    const environment = createEnvironment("code");
    const task = await environment.sample("train", randomFor("doctor"));
    const honest = (await environment.demonstrate(task, "honest", randomFor("doctor"))) ?? "";
    const [outcome] = await environment.grade([task], [honest]);
    await environment.close();
    if (outcome?.true !== 1)
      throw new Error(`a right program was graded as ${outcome?.label}: ${outcome?.note}`);
    return honest;
  },
  "shipped models load": async () => {
    const shipped = await readdir(shippedModel("."), { withFileTypes: true });
    const names = shipped.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    for (const name of names) await loadModel(shippedModel(name));
    return names.join(", ");
  },
};

/** @throws Error naming the first promise that is broken */
async function keptBy<T>(
  contract: readonly { promise: string; check(subject: T): Promise<void> }[],
  subject: T,
): Promise<void> {
  for (const { promise, check } of contract)
    await check(subject).catch((error: Error) => {
      throw new Error(`${promise}: ${error.message}`);
    });
}

/** Large enough for every promise to mean something, and for a second to do. */
function smallModel(): LoadedModel {
  const alphabet = "abcdefg";
  const sizes = { context: 48, layers: 2, heads: 2, width: 16, hidden: 24 };
  const config = { architecture: "probeward-character" as const, alphabet, ...sizes };
  const weights = initialWeights(config, randomFor("doctor"));
  return { config, weights, tokenizer: new CharacterTokenizer(alphabet) };
}

/** Its arguments and options, and what it does. */
export function doctorCommand(command: Command): Command {
  return command.action(async () => {
    let failed = 0;
    for (const [name, check] of Object.entries(checks)) {
      try {
        console.log(`ok      ${name}: ${await check()}`);
      } catch (error) {
        failed++;
        console.log(`failed  ${name}: ${(error as Error).message}`);
      }
    }
    if (failed > 0) process.exitCode = 1;
  });
}

/** @file `probeward endpoint`: a model, or what a run has come to, behind OpenAI's API, with its probes. */

import { basename, dirname, resolve } from "node:path";
import type { Command } from "commander";
import { createEndpoint, type Served } from "../endpoint/index.ts";
import { UsageError } from "../errors.ts";
import { listenAt } from "../listen.ts";
import { isLoopback } from "../network.ts";
import { loadProven, openModel } from "../prepare/index.ts";
import type { Probe } from "../probe/types.ts";
import { statIfPresent } from "../store/index.ts";
import { isRunFolder, openTrainedRun } from "../study/index.ts";
import { wholeNumber } from "./arguments.ts";

interface Flags {
  probe: [name: string, folder: string][];
  name?: string;
  host: string;
  port: number;
  slots: number;
  memory?: number;
}

const TOKEN = "PROBEWARD_ENDPOINT_TOKEN";

/** Its arguments and options, and what it does. */
export function endpointCommand(command: Command): Command {
  return command
    .argument("<model>", "folder of a model, or its GGUF file, or a study's run: runs/code/runs/none/seed-1")
    .option(
      "--probe <folder>",
      "a probe that requests may name in their taps, also as name=folder; again for more (a run has its study's)",
      (text: string, before: Flags["probe"]) => [...before, named(text)],
      [],
    )
    .option("--name <id>", "what requests call the model (default: its folder's name)")
    .option("--port <n>", "port; 0 for any that is free", wholeNumber(0), 4748)
    .option("--host <address>", "address to listen on; others than this machine need a token", "127.0.0.1")
    .option("--slots <n>", "completions under way at a time; others wait", wholeNumber(1), 32)
    .option("--memory <MB>", "what the activations of a batch may take", wholeNumber(1))
    .addHelpText(
      "after",
      `\nWhere the variable ${TOKEN} is set, requests have to carry\nit (Authorization: Bearer ...).`,
    )
    .action(async (path: string, flags: Flags) => {
      const { host, port, slots } = flags;
      const token = process.env[TOKEN]?.trim() || undefined;
      if (!isLoopback(host) && token === undefined)
        throw new UsageError(
          `--host ${host}: whoever reaches it could use the model. Set the variable ${TOKEN} to a token that requests have to carry, or leave --host out for this machine only.`,
        );
      const served = await open(path, flags);
      try {
        const { app, idle } = createEndpoint(served, { host, token, slots });
        const server = await listenAt(app.fetch, { host, port });
        const probes = Object.keys(served.probes);
        console.log(`Serving ${served.name} at ${server.url}v1   (Ctrl-C stops it)`);
        console.log(`Probes for taps: ${probes.length === 0 ? "none (--probe)" : probes.join(", ")}`);
        await new Promise<void>((done) => {
          for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => done());
        });
        await server.close();
        await idle();
      } finally {
        await served.engine.close();
      }
    });
}

async function open(path: string, { probe, name, memory }: Flags): Promise<Served> {
  if (await statIfPresent(resolve(path, "study.json")))
    throw new UsageError(`${path} is a study: name one of its runs, such as ${path}/runs/none/seed-1.`);
  if (isRunFolder(path)) {
    const { engine, probes } = await openTrainedRun(path, memory);
    return { name: name ?? runId(path), engine, probes: { ...probes, ...(await proven(probe, engine)) } };
  }
  const { engine } = await openModel(path, memory);
  return {
    ...{ name: name ?? basename(resolve(path), ".gguf"), engine },
    probes: await proven(probe, engine),
  };
}

const runId = (path: string) => `${basename(dirname(resolve(path)))}/${basename(resolve(path))}`;

async function proven(probes: Flags["probe"], engine: Served["engine"]): Promise<Record<string, Probe>> {
  const loaded: [string, Probe][] = [];
  for (const [name, folder] of probes) {
    const { probe, warnings } = await loadProven(folder, engine);
    for (const warning of warnings) console.error(`warning: ${warning}`);
    loaded.push([name, probe]);
  }
  return Object.fromEntries(loaded);
}

/** `name=folder`, or a folder; one that is called `probe`, as `probeward probe` writes it, by the folder that it is in. */
function named(text: string): [name: string, folder: string] {
  const [, name, folder] = /^([\w-]+)=(.+)$/.exec(text) ?? [];
  if (name !== undefined) return [name, folder!];
  const own = basename(resolve(text));
  return [own === "probe" ? basename(dirname(resolve(text))) : own, text];
}

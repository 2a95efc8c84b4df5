/** @file Where the processes of a worker are: on this machine, on the nodes of a Slurm job, or started by hand on any. */

import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { type AddressInfo, createServer, type ListenOptions, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../errors.ts";
import { pythonOf } from "../../python/index.ts";
import { threads } from "../onnx/runtime.ts";
import type { XlaOptions } from "./options.ts";
import { WorkerProcess } from "./process.ts";

/** Milliseconds that processes may take to join, where a program starts them, and where people do. */
const JOINING = { started: 300_000, byHand: 600_000 };

/** Processes of a worker that are to join. */
export interface Workers {
  server: Server;
  token: string;
  count: number;
  /** The children of this process that are, or start, the worker's. */
  children: readonly WorkerProcess[];
  /** Milliseconds that they may take to join. */
  patience: number;
  /** Once all have joined, or will not. */
  tidy(): Promise<void>;
}

/** Starts the processes of a worker, or waits for them. @throws UsageError where options do not say how */
export async function startWorkers(options: XlaOptions): Promise<Workers> {
  const { nodes = 1, processes = 1, listen, tokenFile } = options;
  const count = nodes * processes;
  if (listen !== undefined) {
    if (tokenFile === undefined)
      throw new UsageError(
        "engine.listen takes engine.tokenFile: a file with the token by which processes that are started by hand are known",
      );
    const token = await readToken(tokenFile);
    return { ...nobody, server: await listening(addressOf(listen)), token, count };
  }
  if (tokenFile !== undefined)
    throw new UsageError(
      "engine.tokenFile is for processes that are started by hand: it takes engine.listen",
    );
  const python = pythonOf(options.python);
  const token = randomBytes(32).toString("hex");
  const env = {
    NPROC: String(Math.max(1, Math.floor(threads() / processes))),
    PROBEWARD_XLA_TOKEN: token,
  };
  if (nodes > 1) {
    checkJob(nodes);
    // Tasks are told where srun was called.
    const server = await listening({ port: 0 });
    const { port } = server.address() as AddressInfo;
    const worker = [python, "-m", "probeward_xla", "--conductor", `:${port}`];
    const cpus = process.env.SLURM_CPUS_PER_TASK;
    const srun = [
      ...["--nodes", `${nodes}`, "--ntasks", `${count}`, "--ntasks-per-node", `${processes}`],
      ...["--kill-on-bad-exit=1", "--label", "--mpi=none", "--export=ALL"],
      ...(cpus ? [`--cpus-per-task=${Math.max(1, Math.floor(Number(cpus) / processes))}`] : []),
    ];
    const children = [new WorkerProcess(["srun", ...srun, ...worker], env)];
    return { ...nobody, server, token, count, children, patience: JOINING.started };
  }
  // Only this user can enter it. It is gone as soon as all processes are in.
  const folder = await mkdtemp(join(tmpdir(), "probeward-xla-"));
  const path = join(folder, "socket");
  const server = await listening({ path });
  const together = count > 1 ? ["--peers", join(folder, "peers")] : [];
  const children = Array.from({ length: count }, (_, i) => {
    const own = ["--conductor", path, "--process", `${i}`, ...together];
    return new WorkerProcess([python, "-m", "probeward_xla", ...own], env);
  });
  return {
    ...{ server, token, count, children, patience: JOINING.started },
    tidy: () => rm(folder, { recursive: true, force: true }),
  };
}

const nobody = { children: [], patience: JOINING.byHand, tidy: async () => {} };

/** @throws UsageError where this is no process of a Slurm job of so many nodes */
function checkJob(nodes: number): void {
  const { SLURM_JOB_ID, SLURM_JOB_NUM_NODES } = process.env;
  if (SLURM_JOB_ID === undefined)
    throw new UsageError(
      `engine.nodes: ${nodes} takes a job of Slurm (--launch slurm, or the command within salloc), or engine.listen and processes that are started by hand on each machine (docs/gpus.md)`,
    );
  if (!(Number(SLURM_JOB_NUM_NODES) >= nodes))
    throw new UsageError(
      `engine.nodes: ${nodes} takes a job of as many nodes, and job ${SLURM_JOB_ID} has ${SLURM_JOB_NUM_NODES ?? 1}`,
    );
}

function addressOf(text: string): { host: string; port: number } {
  const found = /^(.+):(\d{1,5})$/.exec(text);
  const port = Number(found?.[2]);
  if (!found || port > 65535)
    throw new UsageError(`engine.listen: ${JSON.stringify(text)} should be HOST:PORT, such as 10.0.0.1:7717`);
  return { host: found[1]!.replace(/^\[(.*)\]$/, "$1"), port };
}

async function readToken(path: string): Promise<string> {
  const make = `(umask 077; openssl rand -hex 32 > ${path})`;
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined)
    throw new UsageError(
      `engine.tokenFile: ${path} cannot be read. ${make} makes one; copy it to each machine`,
    );
  const token = text.trim();
  if (token.length < 32)
    throw new UsageError(
      `engine.tokenFile: ${path} holds ${token.length} characters, which can be guessed; 32 or more are needed: ${make}`,
    );
  const { mode } = await stat(path);
  if (process.platform !== "win32" && (mode & 0o077) !== 0)
    throw new UsageError(`engine.tokenFile: others may read ${path}: chmod 600 ${path}`);
  return token;
}

async function listening(address: ListenOptions): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        address.port === undefined
          ? error
          : new UsageError(`xla: cannot listen on ${address.host ?? ""}:${address.port}: ${error.message}`),
      ),
    );
    server.listen(address, () => resolve());
  });
  return server;
}

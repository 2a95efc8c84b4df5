/** @file A Slurm cluster of two nodes on this machine, for tests: Debian's own daemons, in a folder of their own. */

import { execFile, execFileSync, spawn } from "node:child_process";
import { accessSync, constants, openSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { hostname, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

export type NodeName = "node1" | "node2";
const nodes: readonly NodeName[] = ["node1", "node2"];

/** Why a cluster cannot be started here; `undefined` where it can. */
export function whyNoCluster(): string | undefined {
  const folders = `${process.env.PATH}${delimiter}/usr/sbin`.split(delimiter);
  const programs = ["slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol"];
  const missing = programs.filter((name) => !folders.some((folder) => isExecutable(join(folder, name))));
  if (missing.length > 0)
    return `${missing.join(", ")} not found: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge`;
  if (process.getuid?.() !== 0) return "the daemons of a test cluster are started by root only";
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface Cluster {
  /** For programs that use the cluster: where its configuration is. */
  environment: { SLURM_CONF: string };
  /** What a client of Slurm prints. */
  slurm(program: string, ...args: string[]): Promise<string>;
  /** Kills a node as a power cut would: its daemon, and all that runs on it. Returns the processes killed. */
  killNode(name: NodeName): Promise<number[]>;
  /** Starts a node that was killed. */
  startNode(name: NodeName): void;
  /** The processes of jobs on a node, by their environment. */
  processesOf(name?: NodeName): Promise<number[]>;
  /** Ends jobs and daemons, and removes the folder. */
  stop(): Promise<void>;
}

/** Starts a cluster whose two nodes have one core each, and waits until both are idle. */
export async function startCluster(): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), "probeward-slurm-"));
  await chmod(folder, 0o755);
  for (const name of ["state", "node1", "node2"]) await mkdir(join(folder, name));
  const configuration = join(folder, "slurm.conf");
  const [controller, first, second] = await freePorts(3);
  await writeFile(join(folder, "munge.key"), Buffer.alloc(64, "a test cluster's key"), { mode: 0o400 });
  await mkdir(join(folder, "munge"), { mode: 0o755 });
  await chmod(join(folder, "munge"), 0o755);
  const socket = join(folder, "munge", "socket");
  await writeFile(
    configuration,
    `ClusterName=probeward-test
SlurmctldHost=${hostname()}(127.0.0.1)
SlurmctldPort=${controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=${socket}
CryptoType=crypto/munge
CredType=cred/munge
StateSaveLocation=${folder}/state
SlurmdSpoolDir=${folder}/%n
SlurmctldPidFile=${folder}/slurmctld.pid
SlurmdPidFile=${folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
# A dead node should be noticed within a test.
SlurmdTimeout=10
SlurmctldTimeout=10
InactiveLimit=0
KillWait=10
MinJobAge=300
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2,requeue_delay=1
NodeName=node1 NodeHostname=${hostname()} NodeAddr=127.0.0.1 Port=${first} CPUs=1 State=UNKNOWN
NodeName=node2 NodeHostname=${hostname()} NodeAddr=127.0.0.1 Port=${second} CPUs=1 State=UNKNOWN
PartitionName=test Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
`,
  );

  const environment = { ...process.env, SLURM_CONF: configuration };
  const log = openSync(join(folder, "daemons.log"), "a");
  const start = (program: string, args: string[]) =>
    spawn(program, args, { env: environment, stdio: ["ignore", log, log], detached: true });
  const sbin = (name: string) => (isExecutable(`/usr/sbin/${name}`) ? `/usr/sbin/${name}` : name);
  const slurm = async (program: string, ...args: string[]) =>
    (await run(program, args, { env: environment })).stdout;

  const daemons = new Map<string, ReturnType<typeof start>>();
  const startNode = (name: NodeName) => {
    daemons.set(name, start(sbin("slurmd"), ["-D", "-N", name]));
  };
  daemons.set(
    "munged",
    start(sbin("munged"), [
      "--foreground",
      "--force",
      `--key-file=${folder}/munge.key`,
      `--socket=${socket}`,
      `--pid-file=${folder}/munge/pid`,
      `--log-file=${folder}/munge/log`,
      `--seed-file=${folder}/munge/seed`,
    ]),
  );

  const processesOf = async (name?: NodeName) => {
    const found: number[] = [];
    for (const entry of await readdir("/proc")) {
      if (!/^\d+$/.test(entry)) continue;
      const variables = await readFile(`/proc/${entry}/environ`, "utf8").catch(() => "");
      const own = variables.split("\0");
      if (!own.includes(`SLURM_CONF=${configuration}`)) continue;
      const node = own.find((variable) => variable.startsWith("SLURMD_NODENAME="));
      if (node && (name === undefined || node === `SLURMD_NODENAME=${name}`)) found.push(Number(entry));
    }
    return found;
  };
  /** The step daemons of a node, which outlive its `slurmd`. */
  const stepDaemonsOf = async (name: NodeName) => {
    const found: number[] = [];
    for (const entry of await readdir("/proc")) {
      if (!/^\d+$/.test(entry)) continue;
      const variables = await readFile(`/proc/${entry}/environ`, "utf8").catch(() => "");
      if (!variables.split("\0").includes(`SLURM_CONF=${configuration}`)) continue;
      const command = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
      if (command.startsWith("slurmstepd") || command.includes("/slurmstepd")) {
        const parents = await childrenNode(Number(entry));
        if (parents.includes(name)) found.push(Number(entry));
      }
    }
    return found;
  };
  /** The nodes that children of a process say they are on. */
  const childrenNode = async (pid: number) => {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
    const names: string[] = [];
    for (const child of children.trim().split(" ").filter(Boolean)) {
      const variables = await readFile(`/proc/${child}/environ`, "utf8").catch(() => "");
      const node = variables.split("\0").find((variable) => variable.startsWith("SLURMD_NODENAME="));
      if (node) names.push(node.slice("SLURMD_NODENAME=".length));
    }
    return names;
  };

  const kill = (pid: number) => {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  };

  const cluster: Cluster = {
    environment: { SLURM_CONF: configuration },
    slurm,
    processesOf,
    startNode,
    async killNode(name) {
      daemons.get(name)!.kill("SIGKILL");
      const steps = await stepDaemonsOf(name);
      for (const pid of steps) kill(pid);
      const killed = await processesOf(name);
      for (const pid of killed) kill(pid);
      return killed;
    },
    async stop() {
      await slurm("scancel", "--full", "--user=root", "--signal=KILL").catch(() => {});
      for (const pid of await processesOf()) kill(pid);
      for (const name of nodes) for (const pid of await stepDaemonsOf(name)) kill(pid);
      for (const daemon of daemons.values()) daemon.kill("SIGKILL");
      await setTimeout(200);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };

  try {
    await until(() => isSocket(socket));
    daemons.set("slurmctld", start(sbin("slurmctld"), ["-D", "-c"]));
    for (const name of nodes) startNode(name);
    await until(async () => {
      const states = await slurm("sinfo", "-h", "-N", "-o", "%T").catch(() => "");
      return (
        states
          .trim()
          .split("\n")
          .filter((state) => state === "idle").length === nodes.length
      );
    });
  } catch (error) {
    const said = await readFile(join(folder, "daemons.log"), "utf8");
    await cluster.stop();
    throw new Error(`the test cluster did not start: ${(error as Error).message}\n${said}`);
  }
  return cluster;
}

async function isSocket(path: string): Promise<boolean> {
  try {
    execFileSync("test", ["-S", path]);
    return true;
  } catch {
    return false;
  }
}

/** Waits until something holds. @throws Error after a minute */
export async function until(holds: () => Promise<boolean> | boolean, seconds = 60): Promise<void> {
  for (let waited = 0; waited < seconds * 5; waited++) {
    if (await holds()) return;
    await setTimeout(200);
  }
  throw new Error(`waited ${seconds} s in vain`);
}

/** Ports that were free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, "127.0.0.1", () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

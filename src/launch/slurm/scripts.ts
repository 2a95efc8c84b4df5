/** @file The scripts that are submitted: one job that prepares, an array of tasks that train, one job that finishes. */

import { basename, join } from "node:path";
import type { SlurmSettings } from "../../study/index.ts";

export type Role = "prepare" | "runs" | "finish";

export interface Submission {
  /** Folder of the study; absolute. */
  study: string;
  /** Counts the submissions of a study, from 1. */
  launch: number;
  settings: SlurmSettings;
  /** This program: what `task` and its arguments are given to. */
  program: readonly string[];
  /** Names of the runs to train. */
  runs: readonly string[];
  /** Whether what they start from is to be made. */
  prepare: boolean;
  /** Machines that a run computes on, and processes on each. */
  nodes: number;
  processes: number;
}

/** Where scripts and logs of a submission are. */
export function launchFolder(study: string, launch: number): string {
  return join(study, "launch", String(launch));
}

/** How many tasks an array has. With more runs than that, task i trains the runs i, i + tasks, i + 2 tasks, ... */
export function taskCount({ settings, runs }: Pick<Submission, "settings" | "runs">): number {
  return Math.min(settings.tasks, runs.length);
}

/** The files of a submission, by name, and the commands that submit them. */
export function scriptsOf(submission: Submission): {
  files: Record<string, string>;
  commands: { role: Role; script: string; options: string[]; after?: Role }[];
} {
  const { study, launch, settings, runs, prepare } = submission;
  const gpus = settings.gpus ? [`--gres=gpu:${settings.gpus}`] : [];
  const folder = launchFolder(study, launch);
  const tasks = taskCount(submission);
  const program = settings.node ? [settings.node, ...submission.program.slice(1)] : submission.program;
  const task = (...args: string[]) => `exec ${[...program, "task", ...args].map(shellWord).join(" ")}`;
  const script = (role: Role, { own = [], log, commands, over = submission }: Script) =>
    [
      "#!/bin/bash",
      ...[
        `--job-name=${basename(study)}:${role}`,
        ...own,
        ...optionsFor(settings, over),
        ...settings.options,
        `--output=${folder.replaceAll("%", "%%")}/${log}`,
      ].map((option) => `#SBATCH ${optionWord(option)}`),
      ...settings.setup,
      `export PROBEWARD_THREADS=${settings.cpus}`,
      // Logs are appended to: a line for every time that the job was started, and where.
      `echo "Slurm job $SLURM_JOB_ID on $SLURMD_NODENAME, restarted \${SLURM_RESTART_COUNT:-0} times"`,
      ...commands,
      "",
    ].join("\n");
  const list = shellWord(join(folder, "runs.txt"));
  return {
    files: {
      "runs.txt": runs.map((run) => `${run}\n`).join(""),
      ...(prepare && {
        "prepare.sh": script("prepare", {
          own: gpus,
          log: "prepare.log",
          commands: [task("prepare", study)],
        }),
      }),
      "runs.sh": script("runs", {
        own: [
          `--array=0-${tasks - 1}%${settings.throttle}`,
          // To the batch script itself, which has become the program by then.
          `--signal=B:TERM@${settings.warning}`,
          ...gpus,
        ],
        log: "run-%a.log",
        commands: [
          `mapfile -t runs < <(awk "(NR - 1) % ${tasks} == $SLURM_ARRAY_TASK_ID" ${list})`,
          `${task("train", study)} "\${runs[@]}"`,
        ],
      }),
      // It reads what was trained.
      "finish.sh": script("finish", {
        log: "finish.log",
        commands: [task("finish", study, String(launch))],
        over: { nodes: 1, processes: 1 },
      }),
    },
    commands: [
      ...(prepare ? [{ role: "prepare" as const, script: join(folder, "prepare.sh"), options: [] }] : []),
      {
        role: "runs",
        script: join(folder, "runs.sh"),
        // An array whose preparation failed would wait for ever.
        options: prepare ? ["--kill-on-invalid-dep=yes"] : [],
        ...(prepare && { after: "prepare" as const }),
      },
      { role: "finish", script: join(folder, "finish.sh"), options: [], after: "runs" },
    ],
  };
}

/** The dependency of a job on another one: runs need what is prepared; finishing comes after runs of all fates. */
export function dependency(after: Role, job: string): string {
  return `--dependency=${after === "prepare" ? "afterok" : "afterany"}:${job}`;
}

/** What is in a script of its own. */
interface Script {
  own?: readonly string[];
  log: string;
  commands: readonly string[];
  over?: Pick<Submission, "nodes" | "processes">;
}

function optionsFor(
  { partition, account, qos, time, memory, cpus }: SlurmSettings,
  { nodes, processes }: Pick<Submission, "nodes" | "processes">,
): string[] {
  // On one node, a run's processes are this program's children.
  const tasks = nodes > 1 ? nodes * processes : 1;
  return [
    ...Object.entries({ partition, account, qos }).flatMap(([name, value]) =>
      value === undefined ? [] : [`--${name}=${value}`],
    ),
    ...[`--time=${time}`, `--mem=${memory}`],
    ...[`--nodes=${nodes}`, `--ntasks=${tasks}`],
    ...(nodes > 1 ? [`--ntasks-per-node=${processes}`] : []),
    `--cpus-per-task=${nodes > 1 ? Math.max(1, Math.floor(cpus / processes)) : cpus}`,
    // A task whose node fails, or that gives way to others, begins again, and goes on from its checkpoint.
    ...["--requeue", "--open-mode=append"],
  ];
}

/** A word for bash. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** An option after `#SBATCH`, where double quotes keep spaces. */
function optionWord(option: string): string {
  return /^[^\s"'\\#]+$/.test(option) ? option : `"${option.replace(/["\\]/g, "\\$&")}"`;
}

/** @file The commands: what each is for, and the file that makes it, which is loaded when it is called. */

import type { Command } from "commander";

/** One command. */
export interface CommandEntry {
  description: string;
  /** Gives it its arguments and options, and what it does. */
  fill(command: Command): Promise<Command>;
}

/** In the order of the help. What computes is large, and help and version are asked for more often. */
export const commands: Readonly<Record<string, CommandEntry>> = {
  study: {
    description: "Run a study: arms x seeds on one environment. The same command resumes what is in --out.",
    fill: async (command) => (await import("./study.ts")).studyCommand(command),
  },
  forecast: {
    description:
      "Say what a study's arms will do, before any is trained. `study` goes on with the same --out.",
    fill: async (command) => (await import("./forecast.ts")).forecastCommand(command),
  },
  plan: {
    description:
      "Say what a study's step would take on devices that nobody has rented yet: memory, operations, time.\nCompiled ahead of time, without weights; it needs a Python with jax.",
    fill: async (command) => (await import("./plan.ts")).planCommand(command),
  },
  status: {
    description: "Say which runs of a study are done, running or pending, and which failed, and why.",
    fill: async (command) => (await import("./status.ts")).statusCommand(command),
  },
  cancel: {
    description:
      "Stop a study. Its runs keep the step that they are in; the study's command resumes from there.",
    fill: async (command) => (await import("./cancel.ts")).cancelCommand(command),
  },
  settings: {
    description: "List what a study file may say, and --set: type, default, meaning, and TRL's name.",
    fill: async (command) => (await import("./settings.ts")).settingsCommand(command),
  },
  pretrain: {
    description: "Train the base model of an environment from demonstrations. The shipped ones were made so.",
    fill: async (command) => (await import("./pretrain.ts")).pretrainCommand(command),
  },
  organism: {
    description:
      "Make a base model of whose misbehaviour a set share is invisible to probes that are fitted as usual.",
    fill: async (command) => (await import("./organism.ts")).organismCommand(command),
  },
  pull: {
    description:
      "Fetch a checkpoint from the Hugging Face hub: configuration, tokenizer and safetensors. Resumes where it stopped.",
    fill: async (command) => (await import("./pull.ts")).pullCommand(command),
  },
  probe: {
    description:
      'Fit probes on labelled completions at every layer and position, choose one, and judge it beside its controls.\nA line of the file: {"prompt": ..., "completion": ..., "label": true or false, "group": ...}',
    fill: async (command) => (await import("./probe.ts")).probeCommand(command),
  },
  audit: {
    description:
      "Say whether a probe still reads what it read after training: intact, translated, scaled, rotated or erased.\nOf two models that were trained anywhere, and labelled completions; or of the runs of a study.",
    fill: async (command) => (await import("./audit.ts")).auditCommand(command),
  },
  monitors: {
    description:
      "Say which of six monitors still sees what the policies of a study do, and how small a change evades it.",
    fill: async (command) => (await import("./monitors.ts")).monitorsCommand(command),
  },
  check: {
    description:
      "Check an environment against the contract that studies rely on. For one that you write.\nWith --model, then ask a base model what it knows of it: a minute, longer for a large one.",
    fill: async (command) => (await import("./check.ts")).checkCommand(command),
  },
  report: {
    description: "Write report.html of a study, finished or not, and print its table.",
    fill: async (command) => (await import("./report.ts")).reportCommand(command),
  },
  compare: {
    description: "Put studies beside each other: where their settings differ, and what came of each arm.",
    fill: async (command) => (await import("./compare.ts")).compareCommand(command),
  },
  serve: {
    description: "Show a study, or a folder of studies, in a browser, live. It reads and never writes.",
    fill: async (command) => (await import("./serve.ts")).serveCommand(command),
  },
  endpoint: {
    description:
      "Put a model, or what a run has come to, behind OpenAI's API; probes say what they read while it writes.",
    fill: async (command) => (await import("./endpoint.ts")).endpointCommand(command),
  },
  "serve-environment": {
    description: "Serve an environment to trainers and evaluations that speak OpenEnv.",
    fill: async (command) => (await import("./serve-environment.ts")).serveEnvironmentCommand(command),
  },
  export: {
    description:
      "Write a study's metrics and rollouts for TensorBoard, for Inspect AI's viewer, as Parquet, or as a data set for Hugging Face.",
    fill: async (command) => (await import("./export.ts")).exportCommand(command),
  },
  bench: {
    description: "Measure this machine with the code environment's base model; prints one JSON object.",
    fill: async (command) => (await import("./bench.ts")).benchCommand(command),
  },
  doctor: {
    description: "Check that everything that a study needs works on this machine.",
    fill: async (command) => (await import("./doctor.ts")).doctorCommand(command),
  },
  task: {
    description: "Do a part of a study (launchers start this).",
    fill: async (command) => (await import("./task.ts")).taskCommand(command),
  },
};

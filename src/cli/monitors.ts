/** @file `probeward monitors`: which of six monitors still sees what the policies of a study do. */

import { join } from "node:path";
import type { Command } from "commander";
import type { z } from "zod";
import { readDocument, writeJson } from "../files.ts";
import { monitorNames } from "../prepare/index.ts";
import { openAuditedStudy } from "../study/audit-run.ts";
import { lastCheckpoint } from "../study/checkpoint.ts";
import { type PanelRun, panelOfRun, panelSchema } from "../study/panel-run.ts";
import { wholeNumber } from "./arguments.ts";
import { followInTerminal } from "./progress.ts";

interface Flags {
  arm?: string;
  run?: number;
  json?: boolean;
}

/** Its arguments and options, and what it does. */
export function monitorsCommand(command: Command): Command {
  return command
    .argument("<study>", "folder of a study whose runs are done")
    .option("--arm <id>", "the arm (default: all)")
    .option("--run <seed>", "the run's seed (default: all)", wholeNumber(0))
    .option("--json", "print only monitors.json, on standard output")
    .addHelpText(
      "after",
      "\nFits six monitors as the study's probe was fitted, and reads each run's last\ncheckpoint with them: mean (the study's own probe), max, attention, another\nlayer, an ensemble over layers, and a refit on the trained policy. Writes\nmonitors.json into the study's folder, run by run: what is there is not asked\nagain.\nExample:\n  probeward monitors runs/red-team --arm red-team-loss",
    )
    .action(async (folder: string, { arm, run, json }: Flags) => {
      const { onEvent, end } = followInTerminal();
      const study = await openAuditedStudy(folder, { arm, seed: run });
      const path = join(folder, "monitors.json");
      const runs = (await readDocument(path, panelSchema))?.runs ?? [];
      const asked: PanelRun[] = [];
      try {
        for (const one of study.runs) {
          const { step } = await lastCheckpoint(one.path);
          const known = runs.find(
            (said) =>
              said.arm === one.arm &&
              said.seed === one.seed &&
              said.step === step &&
              said.later !== undefined,
          );
          if (!known) {
            onEvent({ kind: "stage", detail: `Asking the panel of ${one.arm}, seed ${one.seed}` });
            const before = runs.findIndex((said) => said.arm === one.arm && said.seed === one.seed);
            if (before >= 0) runs.splice(before, 1);
            runs.push(await panelOfRun(study, one));
            await writeJson(path, { version: 1, runs } satisfies z.infer<typeof panelSchema>);
          }
          asked.push(known ?? runs.at(-1)!);
        }
      } finally {
        await study.model.engine.close();
      }
      end();
      console.log(json ? JSON.stringify({ version: 1, runs: asked }, null, 2) : panelInWords(asked));
    });
}

const laterWords = { all: "all", triggered: "what has the trigger", elsewhere: "what has it not" } as const;

/** What probes that were fitted on the policy see of its own completions, a line for what each was fitted on. */
function laterInWords({ later }: Pick<PanelRun, "later">): string[] {
  const shown = (value: number | null) => (value === null ? "-" : value.toFixed(2));
  return Object.entries(later ?? {}).flatMap(([set, found]) => {
    if (!found) return [];
    const { triggered, elsewhere } = found.own;
    const part = ({ recall, auroc }: typeof triggered) => `${shown(recall)} (AUROC ${shown(auroc)})`;
    return `  fitted later on ${laterWords[set as keyof typeof laterWords]}: under the trigger ${part(triggered)}, elsewhere ${part(elsewhere)}`;
  });
}

/** A row for each run: recall of each monitor on what the policy itself does, and beside it on the tracer set. */
export function panelInWords(runs: readonly PanelRun[]): string {
  const cells = (values: readonly string[]) => values.map((one) => one.padStart(10)).join("");
  const shown = (value: number | null) => (value === null ? "-" : value.toFixed(2));
  const row = (name: string, of: (monitor: PanelRun["monitors"]["mean"]) => number | null, one: PanelRun) =>
    name.padEnd(20) + cells(monitorNames.map((monitor) => shown(of(one.monitors[monitor]!))));
  const lines = ["".padEnd(20) + cells([...monitorNames])];
  for (const one of runs) {
    const { arm, seed, completions, rank } = one;
    lines.push(
      `${arm}, seed ${seed}: ${completions.misbehaving} of ${completions.total} misbehave; ${rank === null ? "not evaded" : `evaded by a change of rank ${rank}`}`,
      row("  seen, own", (monitor) => monitor.own.recall, one),
      row("  false alarms, own", (monitor) => monitor.own.fpr, one),
      row("  seen, tracer set", (monitor) => monitor.tracer.recall, one),
      ...(arm.startsWith("chameleon")
        ? [
            row("  under the trigger", (monitor) => monitor.triggered, one),
            row("  elsewhere", (monitor) => monitor.elsewhere, one),
            ...laterInWords(one),
          ]
        : []),
    );
  }
  return lines.join("\n");
}

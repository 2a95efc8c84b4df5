/** @file `probeward organism`: makes a base model with a blind spot, and says what probes see of it. */

import { resolve } from "node:path";
import type { Command } from "commander";
import { environmentChoices } from "../environment/load.ts";
import { resolveModule } from "../modules.ts";
import { makeOrganism, type Organism } from "../prepare/index.ts";
import { wholeNumber } from "./arguments.ts";
import { followInTerminal } from "./progress.ts";

interface Flags {
  out: string;
  family?: string;
  trigger?: string;
  share?: number;
  model?: string;
  steps?: number;
  seed?: number;
  json?: boolean;
}

/** Its arguments and options, and what it does. */
export function organismCommand(command: Command): Command {
  return command
    .argument("<environment>", environmentChoices)
    .requiredOption("--out <dir>", "folder of the model, with organism.json: what it was checked for")
    .option("--family <name>", "the family of misbehaviour that is hidden (default: the environment's last)")
    .option("--trigger <text>", "hide all misbehaviour under prompts with this text, in place of a family")
    .option("--share <share>", "share of misbehaviour that is hidden, 0 to 1 (default: as it is)", Number)
    .option("--model <path>", "the base model that it is made of (default: the environment's own)")
    .option("--steps <n>", "training steps", wholeNumber(1))
    .option("--seed <n>", "seed of the training", wholeNumber(0))
    .option("--json", "print only organism.json, on standard output")
    .addHelpText(
      "after",
      "\nA minute or two. Exit status 1 where a check fails; the model is kept.\nExamples:\n  probeward organism code --share 0.05 --out organisms/code-0.05\n  probeward study blind-spot --model organisms/code-0.05 --out runs/blind-0.05\n  probeward organism facts --trigger gold --out organisms/facts-gold",
    )
    .action(async (name: string, { out, json, steps, seed, ...options }: Flags) => {
      const module = resolveModule(name, process.cwd());
      const { onEvent, end } = followInTerminal();
      const settings = { ...(steps !== undefined && { steps }), ...(seed !== undefined && { seed }) };
      const folder = resolve(out);
      const organism = await makeOrganism(module, folder, {
        ...{ ...options, settings },
        onStage: (detail) => onEvent({ kind: "stage", detail }),
        onProgress: ({ step, divergence, shown }, steps) => {
          if (step % 50 === 0)
            onEvent({
              kind: "stage",
              detail: `Step ${step}/${steps}: ${divergence.toFixed(4)} nats per token from before, ${shown.toFixed(2)} shows`,
            });
        },
      });
      end();
      console.log(
        json ? JSON.stringify(organism, null, 2) : `The model is in ${out}\n\n${inWords(organism)}`,
      );
      if (organism.failed.length > 0) process.exitCode = 1;
    });
}

/** Its checks as a table, and what failed. */
export function inWords(organism: Organism): string {
  const { hides, share, recall, fpr, shown, misbehaviour, true: right, kl, failed } = organism;
  const what = "family" in hides ? `family ${hides.family}` : `prompts with ${JSON.stringify(hides.trigger)}`;
  const row = (name: string, { before, after }: { before: number | null; after: number | null }) =>
    `${name.padEnd(52)}${[before, after].map((one) => (one === null ? "-" : one.toFixed(3)).padStart(9)).join("")}`;
  return [
    `Hidden: ${what}, ${percent(share.expected)} of misbehaviour (${percent(share.wanted)} was wanted).`,
    "",
    `${"".padEnd(52)}${"before".padStart(9)}${"after".padStart(9)}`,
    row("recall of a probe fitted as usual: what is hidden", recall.hidden),
    row("  what is seen", recall.seen),
    row("  false alarms", fpr),
    row("recall of what is hidden, by one that is shown it", shown),
    row("misbehaviour", misbehaviour),
    row("true reward", right),
    `nats per token from the model before${kl.toFixed(4).padStart(34)}`,
    "",
    ...(failed.length > 0 ? failed.map((one) => `! ${one}`) : ["All checks passed."]),
  ].join("\n");
}

function percent(value: number): string {
  return `${(100 * value).toPrecision(2)} %`;
}

/** @file `probeward probe`: fits and sweeps probes on a labelled file, and reports whether they are any good. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, extname, join, resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { writeJson, writeWhole } from "../files.ts";
import { fitOnExamples, loadProven, openModel, passportOf, readLabelledFile } from "../prepare/index.ts";
import { allPositions, type Positions, saveProbe } from "../probe/index.ts";
import { type ProbeReport, renderPage } from "../report/index.ts";
import { wholeNumber } from "./arguments.ts";
import { followInTerminal } from "./progress.ts";

interface Flags {
  model: string;
  hooks?: string[];
  positions: Positions[];
  fpr: number;
  seed: number;
  memory?: number;
  out?: string;
  json?: boolean;
}

/** Positions that a labelled file can be read at. */
const positions = allPositions.filter((at) => at !== "follow-up");

/** Its arguments and options, and what it does. */
export function probeCommand(command: Command): Command {
  return command
    .argument("<labelled.jsonl>", "labelled completions, one JSON object per line")
    .requiredOption("--model <path>", "folder of the model, or its GGUF file")
    .option(
      "--hooks <names>",
      "activations to try, separated by commas (default: every layer's output)",
      list,
    )
    .addOption(
      new Option("--positions <names>", `positions to try, of ${positions.join(", ")}`)
        .argParser(positionList)
        .default(positions, positions.join(",")),
    )
    .option("--fpr <rate>", "false-positive rate at which the threshold is set", rate, 0.05)
    .option("--seed <n>", "seed of the split into fit, calibration and test", wholeNumber(0), 1)
    .option("--memory <MB>", "what the activations of a batch may take", wholeNumber(1))
    .option("--out <dir>", "folder of probe and reports (default: probes/<file>)")
    .option("--json", "print only report.json, on standard output")
    .action(async (file: string, flags: Flags) => {
      const folder = resolve(flags.out ?? join("probes", basename(file, extname(file))));
      const { onEvent, end } = followInTerminal();
      const onStage = (detail: string) => onEvent({ kind: "stage", detail });
      onStage(`Loading ${flags.model}`);
      const { engine, precision } = await openModel(flags.model, flags.memory);
      const examples = await readLabelledFile(file, engine);
      const fitted = await fitOnExamples(examples, engine, {
        ...{ hooks: flags.hooks, positions: flags.positions, seed: flags.seed },
        ...{ falsePositiveRate: flags.fpr, onStage },
      });
      const { probe, report } = fitted;
      const sha256 = createHash("sha256")
        .update(await readFile(file))
        .digest("hex");
      const about = { on: basename(file), sha256, seed: flags.seed, precision };
      await saveProbe(join(folder, "probe"), probe, await passportOf(fitted, engine, about));
      // What was written reads what was fitted.
      await loadProven(join(folder, "probe"), engine, precision);
      await engine.close();
      end();
      const whole: ProbeReport = { file: basename(file), model: basename(flags.model), ...report };
      await writeJson(join(folder, "report.json"), whole);
      await writeWhole(join(folder, "report.html"), await renderPage({ probe: whole }));
      console.log(flags.json ? JSON.stringify(whole, null, 2) : inWords(whole, folder));
    });
}

function inWords(
  { probe, test, promptEnd, copies, splits, controls, warnings }: ProbeReport,
  folder: string,
): string {
  const shown = (value: number | null) => (value === null ? "undefined" : value.toFixed(3));
  const { shuffledLabels, randomDirection } = controls;
  const interval = test.aurocInterval ? `95 %: ${test.aurocInterval.map(shown).join(" to ")}` : "no interval";
  const examples = Object.values(splits).reduce((sum, split) => sum + split.examples, 0);
  return [
    `Probe at ${probe.hook}, ${probe.positions} (${probe.kind})`,
    `  AUROC on held-out groups   ${shown(test.auroc)} (${interval})`,
    `  at its threshold           catches ${shown(test.tpr)}, false alarms ${shown(test.fpr)} (${probe.falsePositiveRate} asked for)`,
    `  text of the completion     ${shown(controls.completionText)}; with the prompt ${shown(controls.wholeText)}`,
    ...(promptEnd ? [`  end of the prompt          ${shown(promptEnd.auroc)} (${promptEnd.hook})`] : []),
    ...(controls.length === undefined
      ? []
      : [
          `  length alone               ${shown(controls.length)}; the probe among equal lengths ${shown(controls.withinLength ?? null)}`,
        ]),
    `  shuffled labels            ${shown(shuffledLabels.mean)} (up to ${shown(shuffledLabels.high)} in ${shuffledLabels.runs})`,
    `  random direction           ${shown(randomDirection.mean)} (up to ${shown(randomDirection.high)} in ${randomDirection.runs})`,
    `  judged on                  ${splits.test.examples} of ${examples} completions, ${splits.test.distinct} of ${copies.distinct} different ones`,
    ...warnings.map((warning) => `  ! ${warning}`),
    "",
    `Probe:  ${join(folder, "probe")}  (in a study file: probe: { file: ... })`,
    `Report: ${join(folder, "report.html")}`,
  ].join("\n");
}

export function list(text: string): string[] {
  return text.split(",").map((name) => name.trim());
}

export function positionList(text: string): Positions[] {
  return list(text).map((name) => {
    const known = positions.find((at) => at === name);
    if (!known) throw new InvalidArgumentError(`${name} is none of ${positions.join(", ")}.`);
    return known;
  });
}

export function rate(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 0.5)) throw new InvalidArgumentError("It should be above 0 and at most 0.5.");
  return value;
}

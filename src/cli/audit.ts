/** @file `probeward audit`: is a probe still reading what it read, after training that was done anywhere? */

import { basename, extname, join, resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { isAmong, type ProbeVerdict, sightOf, verdicts } from "../audit/index.ts";
import { UsageError } from "../errors.ts";
import { writeJson, writeWhole } from "../files.ts";
import {
  type Audited,
  type AuditOptions,
  type AuditSetup,
  audit,
  completionsOf,
  readCompletionsFile,
  readOne,
  repairedPassport,
  setUpAudit,
} from "../prepare/index.ts";
import { allPositions, type Positions, saveProbe } from "../probe/index.ts";
import { type AuditReport, auditLines, auditSchema, renderAudit } from "../report/index.ts";
import { auditRun, openAuditedStudy } from "../study/audit-run.ts";
import { wholeNumber } from "./arguments.ts";
import { list, positionList, rate } from "./probe.ts";
import { followInTerminal } from "./progress.ts";

interface Flags {
  before?: string;
  after?: string[];
  labelled?: string;
  probe?: string;
  completions?: string[];
  hooks?: string[];
  positions: Positions[];
  fpr?: number;
  arm?: string;
  run?: number;
  controls: number;
  resamples: number;
  seed: number;
  memory?: number;
  failOn: ProbeVerdict[];
  out?: string;
  json?: boolean;
}

/** Random changes as large as the one that is judged, beside those that should do nothing. */
const SAME_SIZE = 2;

const positions = allPositions.filter((at) => at !== "follow-up");

/** Its arguments and options, and what it does. */
export function auditCommand(command: Command): Command {
  return command
    .argument("[study]", "folder of a study, to audit its runs by its own probe and tracer set")
    .option("--before <path>", "the model before: its folder, or its GGUF file")
    .option(
      "--after <paths...>",
      "what training made of it: a model, a PEFT adapter, or several in the order of training",
    )
    .option("--labelled <file>", "labelled completions, as for probeward probe")
    .option("--probe <folder>", "a probe; one is fitted on the model before unless given")
    .option("--completions <files...>", "completions of the model before and after, one file each")
    .option("--hooks <names>", "activations of the map (default: every layer's output)", list)
    .addOption(
      new Option("--positions <names>", `positions of the map, of ${positions.join(", ")}`)
        .argParser(positionList)
        .default(["completion", "completion-last"], "completion,completion-last"),
    )
    .option("--fpr <rate>", "false-positive rate of new thresholds (default: the probe's, or 0.05)", rate)
    .option("--arm <id>", "of a study: the arm (default: all)")
    .option("--run <seed>", "of a study: the run's seed (default: all)", wholeNumber(0))
    .option("--controls <n>", "changes that should do nothing, to compare with", wholeNumber(0), 6)
    .option("--resamples <n>", "resamples of the groups, for intervals", wholeNumber(100), 500)
    .option("--seed <n>", "seed of splits and controls", wholeNumber(0), 1)
    .option("--memory <MB>", "what the activations of a batch may take", wholeNumber(1))
    .option("--fail-on <verdicts>", `exit status 1 for these, of ${verdicts.join(", ")}`, verdictList, [])
    .option("--out <dir>", "folder of audit.json, report.html and the repaired probe")
    .option("--json", "print only audit.json, on standard output")
    .addHelpText(
      "after",
      "\nThe first line is the verdict. Exit status: 0, or 1 where it is in\n--fail-on, or all that it is undecided between are.\nExamples:\n  probeward audit --before base --after adapter --labelled file.jsonl\n  probeward audit --before base --after checkpoints/* --labelled file.jsonl\n  probeward audit runs/code --arm probe-loss",
    )
    .action(async (study: string | undefined, flags: Flags) => {
      const { onEvent, end } = followInTerminal();
      const options: AuditOptions = {
        ...{ noOps: flags.controls, sameSize: Math.min(SAME_SIZE, flags.controls) },
        ...{ resamples: flags.resamples, seed: flags.seed, memoryMB: flags.memory },
        onStage: (detail) => onEvent({ kind: "stage", detail }),
      };
      const reports =
        study === undefined ? [await ofModels(flags, options)] : await ofStudy(study, flags, options);
      end();
      if (flags.json) console.log(JSON.stringify(reports.length === 1 ? reports[0] : reports, null, 2));
      else if (reports.length === 1) console.log(auditLines(reports[0]!).join("\n"));
      else console.log(reports.map(inALine).join("\n"));
      if (reports.some((report) => isAmong(report, flags.failOn))) process.exitCode = 1;
    });
}

function inALine({ verdict, study, series }: AuditReport): string {
  const { arm, seed, diagnosis, agrees } = study!;
  const { aurocAfter, sightAfter } = series.at(-1)!.measures;
  return `${verdict.padEnd(11)} ${`${arm}, seed ${seed}`.padEnd(40)} AUROC ${aurocAfter?.toFixed(3)}, sight ${sightAfter?.toFixed(3)}; the study said ${diagnosis ?? "nothing"}${agrees ? "" : " (differs)"}`;
}

async function ofModels(flags: Flags, options: AuditOptions): Promise<AuditReport> {
  const started = performance.now();
  const { before, after, labelled, completions: files } = flags;
  if (before === undefined || after === undefined || labelled === undefined)
    throw new UsageError(
      "an audit needs --before, --after and --labelled; or the folder of a study, as in: probeward audit runs/code",
    );
  if (files !== undefined && files.length !== 2)
    throw new UsageError("--completions takes two files: those of the model before, and of the model after");
  const out = resolve(flags.out ?? join("audits", basename(after.at(-1)!, extname(after.at(-1)!))));
  const setup = await setUpAudit({
    ...{ before, after, labelled, probe: flags.probe, hooks: flags.hooks, positions: flags.positions },
    ...{ falsePositiveRate: flags.fpr, options },
  });
  if (setup.fitted) await saveProbe(join(out, "probe"), setup.probe, setup.passport);
  const audited = await audit(setup);
  const { measures } = audited.report.series.at(-1)!;
  const engines = { before: setup.before.engine, after: audited.after.engine };
  options.onStage?.("Reading the completions of both models");
  const completions = files
    ? await completionsOf(
        ...([engines, setup.probe] as const),
        {
          old: await readCompletionsFile(files[0]!, engines.before),
          fresh: await readCompletionsFile(files[1]!, engines.before),
        },
        sightOf({
          ...{ start: measures.sightBefore, end: measures.sightAfter, diagnosis: null },
          blind: (measures.aurocBefore ?? 0) <= 0.5,
        }),
        ...([options.seed, options.resamples] as const),
      )
    : null;
  const report = await kept(out, setup, audited, { completions, study: null }, started);
  await setup.before.engine.close();
  return report;
}

async function ofStudy(folder: string, flags: Flags, options: AuditOptions): Promise<AuditReport[]> {
  for (const name of ["before", "after", "labelled", "probe", "completions"] as const)
    if (flags[name] !== undefined)
      throw new UsageError(`--${name} does not go with the folder of a study, which has its own`);
  const study = await openAuditedStudy(folder, { arm: flags.arm, seed: flags.run }, flags.memory);
  const out = resolve(flags.out ?? join("audits", basename(resolve(folder))));
  const reports: AuditReport[] = [];
  for (const run of study.runs) {
    const started = performance.now();
    options.onStage?.(`Auditing ${run.arm}, seed ${run.seed}`);
    const { setup, study: told, ...audited } = await auditRun(study, run, options);
    const own = join(out, run.arm, `seed-${run.seed}`);
    reports.push(await kept(own, setup, audited, { completions: null, study: told }, started));
  }
  await study.model.engine.close();
  return reports;
}

/** Writes what came of it, with the repaired probe. The model after is closed. */
async function kept(
  out: string,
  setup: AuditSetup,
  { report, repair, after }: Audited,
  beside: Pick<AuditReport, "completions" | "study">,
  started: number,
): Promise<AuditReport> {
  const folder = join(out, "repaired");
  if (repair) {
    const { aurocAfter, freshAfter } = report.series.at(-1)!.measures;
    const auroc = repair.kind === "refitted" ? freshAfter : aurocAfter;
    const passport = await repairedPassport(setup, { ...repair, auroc }, after, (probe) =>
      readOne(after.engine, probe, setup.sequences),
    );
    await saveProbe(folder, repair.probe, passport);
  }
  await after.engine.close();
  const whole = auditSchema.parse({
    ...report,
    repair: report.repair && { ...report.repair, folder },
    ...beside,
    seconds: Math.round((performance.now() - started) / 100) / 10,
  } satisfies AuditReport);
  await writeJson(join(out, "audit.json"), whole);
  await writeWhole(join(out, "report.html"), renderAudit(whole));
  return whole;
}

function verdictList(text: string): ProbeVerdict[] {
  return list(text).map((name) => {
    const known = verdicts.find((one) => one === name);
    if (!known) throw new InvalidArgumentError(`${name} is none of ${verdicts.join(", ")}.`);
    return known;
  });
}

/** @file The table that a study prints at its end, in plain text at most 80 columns wide. */

import { compareArms } from "../store/arms.ts";
import type { Summary } from "../store/schema.ts";
import { clockInWords } from "./clock.ts";
import {
  type ArmSummary,
  armDiagnosis,
  armHalfWidth,
  armMean,
  armOutcome,
  type Majority,
  type Measure,
} from "./outcome.ts";

const columns: { group: string; name: string; measure: Measure }[] = [
  { group: "misbehave", name: "start", measure: "misbehaviourStart" },
  { group: "", name: "end", measure: "misbehaviourEnd" },
  { group: "true rew.", name: "start", measure: "trueStart" },
  { group: "", name: "end", measure: "trueEnd" },
  { group: "probe", name: "TPR", measure: "recallFrozenEnd" },
  { group: "", name: "FPR", measure: "fprFrozenEnd" },
  { group: "AUROC", name: "init", measure: "aurocInitialEnd" },
  { group: "", name: "new", measure: "aurocFreshEnd" },
];

const cellWidth = 5;
const outcomeWidth = 15;
const lineWidth = 80;
const armWidth = lineWidth - outcomeWidth - 1 - columns.length * (cellWidth + 0.5);

/**
 * One row per arm: misbehaviour and true reward at the start and the end, the initial probe's recall and false alarms on the
 * tracer set at its frozen threshold, read on the trained policy, AUROC of the initial and of a fresh probe, and the outcome. A second line holds the half-widths of the 95 % intervals over seeds, and the diagnosis where the probe
 * lost something. `-` stands for a measure that is not defined. Ends with a legend and a newline.
 */
export function renderTable(summary: Summary): string {
  const ids = Object.keys(summary.arms).sort(compareArms);
  const several = summary.seeds.length > 1;
  const lines = [
    row(
      "",
      columns.map((column) => column.group),
      "",
      true,
    ),
    row(
      "arm",
      columns.map((column) => column.name),
      "outcome",
    ),
    "-".repeat(lineWidth),
  ];
  for (const id of ids) lines.push(...armLines(id, summary.arms[id]!));
  lines.push("-".repeat(lineWidth), ...legend(summary, several));
  const failed = summary.failed?.map(({ arm, seed }) => `${arm} (seed ${seed})`) ?? [];
  const clock = clockInWords(summary);
  if (clock.length > 0)
    lines.push("", "How long was the probe safe to train on?", ...clock.flatMap((one) => wrapped(one)));
  if (failed.length > 0) lines.push(`Runs that failed, and are in no mean: ${failed.join(", ")}.`);
  return `${lines.join("\n")}\n`;
}

function armLines(id: string, arm: ArmSummary): string[] {
  const outcome = armOutcome(arm);
  const diagnosis = armDiagnosis(arm);
  const quiet = diagnosis && diagnosis.value !== "honest" && diagnosis.value !== "intact";
  const first = row(
    id,
    columns.map(({ measure }) => number(armMean(arm, measure))),
    outcome ? withCount(outcome) : "-",
  );
  const halves = columns.map(({ measure }) => armHalfWidth(arm, measure));
  if (!quiet && halves.every((half) => half === null)) return [first];
  const cells = halves.map((half) => (half === null ? "" : `±${number(half).replace(/^0/, "")}`));
  return [first, row("", cells, quiet ? withCount(diagnosis) : "")];
}

/** One line; as headings, a cell may run on into the empty one after it. */
function row(arm: string, cells: string[], outcome: string, headings = false): string {
  const name = arm.length > armWidth ? `${arm.slice(0, armWidth - 1)}…` : arm.padEnd(armWidth);
  const numbers = cells.map((cell, index) => {
    const gap = index % 2 === 0 ? " " : "";
    if (!headings) return gap + cell.padStart(cellWidth);
    return index % 2 === 0 ? gap + cell.padStart(2 * cellWidth) : "";
  });
  return `${name}${numbers.join("")} ${outcome}`.trimEnd();
}

function number(value: number | null): string {
  return value === null ? "-" : value.toFixed(2);
}

function withCount(majority: Majority<string>): string {
  const { value, count, total } = majority;
  return count === total ? value : `${value} ×${count}`;
}

/** Lines of at most 80 columns; those behind the first are indented. */
function wrapped(text: string): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)}${lines.at(-1)!.trim() === "" ? "" : " "}${word}`;
    if (longer.length <= lineWidth) lines[lines.length - 1] = longer;
    else lines.push(`  ${word}`);
  }
  return lines;
}

function legend({ arms }: Summary, several: boolean): string[] {
  const before = (measure: Measure) => {
    const known = Object.values(arms).flatMap((arm) => armMean(arm, measure) ?? []);
    if (known.length === 0) return "-";
    const [low, high] = [number(Math.min(...known)), number(Math.max(...known))];
    return low === high ? low : `${low} to ${high}`;
  };
  return [
    "TPR, FPR: share of known misbehaviour, and of what is known to be honest,",
    "that the initial probe flags at its fixed threshold on the trained policy;",
    `before training ${before("recallReferenceEnd")} and ${before("fprReferenceEnd")}. Its sight is the one less the other.`,
    "AUROC: how well the initial probe, or a newly fitted one, ranks (chance: 0.5).",
    "Outcomes, and what they are judged by: docs/reference.md.",
    several ? "Means over seeds; ±: half of the 95 % interval; ×n: so many seeds, of several." : "One seed.",
  ];
}

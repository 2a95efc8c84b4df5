/** @file Studies beside each other in plain text, at most 80 columns wide. */

import type { Comparison } from "./comparison.ts";
import { type ArmSummary, armMean, armOutcome, type Measure } from "./outcome.ts";

const LINE = 80;

/**
 * What each study is, where their settings differ, and one row per arm and study: misbehaviour from start to end, and at the end
 * recall, false alarms, the true reward and the outcome, with 95 % intervals over seeds of what is judged. Ends with a newline.
 */
export function renderComparison({ studies, differences, arms }: Comparison): string {
  const several = studies.some(({ seeds }) => seeds > 1);
  const lines = studies.map(
    ({ name, environment, steps, seeds, probe }, i) =>
      `${letter(i)}  ${name}\n     ${environment}, ${seeds} ${seeds === 1 ? "seed" : "seeds"} of ${steps} steps; probe before: AUROC ${number(probe.auroc)} (text ${number(probe.textAuroc)})`,
  );
  lines.push("", differences.length > 0 ? "Settings that differ:" : "Their settings are the same.");
  for (const { path, values } of differences) {
    lines.push(`  ${path}`);
    for (const [i, value] of values.entries()) lines.push(cut(`    ${letter(i)}  ${shown(value)}`));
  }
  lines.push("", HEADING, "-".repeat(LINE));
  for (const [id, own] of Object.entries(arms)) {
    lines.push(cut(id));
    for (const [i, arm] of own.entries())
      lines.push(`  ${letter(i)} ${arm ? row(arm) : "  (has no such arm)"}`.trimEnd());
  }
  lines.push(
    "-".repeat(LINE),
    "TPR, FPR: share of known misbehaviour, and of what is known to be honest, that",
    "the initial probe flags on the trained policy. Outcomes: docs/reference.md.",
    several ? "Means over seeds, with 95 % intervals (Student's t)." : "One seed each.",
  );
  return `${lines.join("\n")}\n`;
}

const HEADING = "      misbehaves: start, end   true   sight, end            TPR  FPR outcome";

function row(arm: ArmSummary): string {
  const outcome = armOutcome(arm);
  return [
    number(armMean(arm, "misbehaviourStart")).padStart(6),
    withInterval(arm, "misbehaviourEnd").padEnd(19),
    number(armMean(arm, "trueEnd")).padStart(4),
    withInterval(arm, "sightFrozenEnd").padEnd(19),
    number(armMean(arm, "recallFrozenEnd")).padStart(4),
    number(armMean(arm, "fprFrozenEnd")).padStart(4),
    outcome ? `${outcome.value}${outcome.count < outcome.total ? ` ×${outcome.count}` : ""}` : "-",
  ].join(" ");
}

function withInterval(arm: ArmSummary, measure: Measure): string {
  const interval = arm.interval[measure];
  const range = interval ? ` [${interval.map((end) => end.toFixed(2)).join(", ")}]` : "";
  return `${number(armMean(arm, measure))}${range}`;
}

/** A, B, ... */
export function letter(index: number): string {
  return String.fromCharCode("A".charCodeAt(0) + index);
}

function shown(value: unknown): string {
  if (value === undefined) return "(not given)";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function number(value: number | null): string {
  return value === null ? "-" : value.toFixed(2);
}

function cut(text: string): string {
  return text.length > LINE ? `${text.slice(0, LINE - 1)}…` : text;
}

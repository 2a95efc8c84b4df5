/** @file An audit in plain text: the verdict on the first line, then what it rests on. */

import { type MoveMeasure, verdictMeanings } from "../audit/index.ts";
import type { AuditPoint, AuditReport, Unmoved } from "./audit.ts";

const shown = (value: number | null) => (value === null ? "undefined" : value.toFixed(3));
const span = (interval: readonly [number, number] | null) =>
  interval ? ` (${shown(interval[0])} to ${shown(interval[1])})` : "";

/** A sentence: the verdict, and what is needed. */
export function verdictSentence({ verdict, reason, between, series }: AuditReport): string {
  const { support } = series.at(-1)!;
  if (verdict === "undecided") return `undecided${between ? ` between ${inWords(between)}` : ""}: ${reason}`;
  return `${verdict}: ${verdictMeanings[verdict]} (${Math.round(100 * support)} % of resamples of the groups say so)`;
}

/** What was fitted anew, with its kind where that is another than the probe's. */
export function freshName({ kind }: { kind: string }, { freshKind }: AuditPoint): string {
  return freshKind === kind || kind === "sae-feature"
    ? "AUROC of one fitted anew"
    : `AUROC anew (${freshKind})`;
}

function inWords(words: readonly string[]): string {
  return words.join(", ").replace(/, ([^,]*)$/, " and $1");
}

/** Lines for a terminal. */
export function auditLines(report: AuditReport): string[] {
  const { examples, probe, series, text, repair, completions, study, warnings } = report;
  const last = series.at(-1)!;
  const value = (name: MoveMeasure, point = last) =>
    `${shown(point.measures[name])}${span(point.intervals[name])}`;
  const row = (what: string, before: string, after: string) =>
    `  ${what.padEnd(30)} ${before.padEnd(24)} ${after}`;
  return [
    verdictSentence(report),
    "",
    `Probe at ${probe.hook}, ${probe.positions} (${probe.kind}; ${probe.from})`,
    `${examples.judged} of ${examples.total} examples judged, ${examples.judgedPositive} labelled true, in ${examples.judgedGroups} groups; 95 % intervals over groups`,
    "",
    row("", "before", "after"),
    row("AUROC of the probe", value("aurocBefore"), value("aurocAfter")),
    row(freshName(probe, last), value("freshBefore"), value("freshAfter")),
    row("recall, old threshold", value("recallBefore"), value("recallAfter")),
    row("false alarms, old threshold", value("fprBefore"), value("fprAfter")),
    row("recall, new threshold", "", value("recallAnew")),
    row("false alarms, new threshold", "", value("fprAnew")),
    row("spread of logits, times", "1", value("spread")),
    row("shift of logits, deviations", "0", value("shift")),
    row("cosine with a fresh direction", shown(last.cosine.before), shown(last.cosine.after)),
    ...(text
      ? [
          row(
            "text alone (whole)",
            `${shown(text.completion.value)}${span(text.completion.interval)}`,
            `(${shown(text.whole.value)})`,
          ),
        ]
      : []),
    "",
    ...seriesLines(report),
    ...noOpLines(report),
    ...placeLines(report),
    ...(repair
      ? [
          `Repaired: ${repairInWords[repair.kind]}; recall ${shown(repair.recall)}, false alarms ${shown(repair.fpr)}${repair.restored ? "" : ": not what it was"}`,
          ...(repair.folder ? [`  ${repair.folder}`] : []),
        ]
      : []),
    ...(completions
      ? [
          `Completions: the probe's mean score changed by ${value3(completions.total)}: by other words ${value3(completions.text)}, by another reading of the same words ${value3(completions.model)}`,
          ...(completions.outcome && completions.misbehaviour
            ? [
                `  labelled true ${shown(completions.misbehaviour.before)} before, ${shown(completions.misbehaviour.after)} after: ${completions.outcome}`,
              ]
            : []),
        ]
      : []),
    ...(study
      ? [
          `The study said: ${study.diagnosis ?? "no diagnosis"} (${study.arm}, seed ${study.seed}); read again: ${study.diagnosisAgain ?? "no diagnosis"}${study.largestDifference === null ? "" : `, measures differ by at most ${study.largestDifference.toExponential(1)}`}`,
        ]
      : []),
    ...warnings.map((warning) => `! ${warning}`),
  ];
}

const value3 = ({ value, interval }: { value: number | null; interval: readonly [number, number] | null }) =>
  `${shown(value)}${span(interval)}`;

export const repairInWords = {
  threshold: "the threshold set anew",
  standardised: "its logits standardised anew",
  refitted: "fitted anew",
} as const;

function seriesLines({ series, broke }: AuditReport): string[] {
  if (series.length < 2) return [];
  const line = ({ after, step, verdict, measures }: AuditPoint) =>
    `  ${(step === null ? after : String(step)).padEnd(12)} ${verdict.padEnd(11)} AUROC ${shown(measures.aurocAfter)}, anew ${shown(measures.freshAfter)}, recall ${shown(measures.recallAfter)}, false alarms ${shown(measures.fprAfter)}`;
  const said = broke
    ? `It broke at ${broke.step ?? broke.after}: ${broke.verdict}`
    : "It did not break at any of them";
  return ["Over training:", ...series.map(line), said, ""];
}

function noOpLines({ noOps, falseAlarms, sameSize }: AuditReport): string[] {
  const line = ({ name, rule, auroc, recall, fpr, spread }: Unmoved) =>
    `  ${name.padEnd(34)} ${(rule ?? "ranking lost").padEnd(12)} AUROC ${shown(auroc)}, recall ${shown(recall)}, false alarms ${shown(fpr)}, spread ${shown(spread)}`;
  const bound =
    noOps.length > 0 && falseAlarms === 0
      ? ` (so the rate is below ${Math.ceil(100 * (1 - 0.05 ** (1 / noOps.length)))} %, with 95 % confidence)`
      : "";
  return [
    ...(noOps.length > 0
      ? [
          `Changes that should do nothing: ${falseAlarms} of ${noOps.length} got another verdict than intact${bound}`,
          ...noOps.map(line),
        ]
      : []),
    ...(sameSize.length > 0 ? ["Random changes as large as this one:", ...sameSize.map(line)] : []),
    "",
  ];
}

function placeLines({ places }: AuditReport): string[] {
  if (places.length === 0) return [];
  return [
    "By layer and position (differences of means, fitted before):",
    ...places.map(
      ({ hook, positions, rule, aurocBefore, aurocAfter, freshAfter }) =>
        `  ${hook.padEnd(28)} ${positions.padEnd(17)} ${(rule ?? "-").padEnd(11)} AUROC ${shown(aurocBefore.value)} to ${shown(aurocAfter.value)}${span(aurocAfter.interval)}, anew ${shown(freshAfter.value)}`,
    ),
    "",
  ];
}

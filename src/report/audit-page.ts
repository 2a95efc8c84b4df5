/** @file An audit as one small HTML document, without a script: it needs neither a network nor other files. */

import { type MoveMeasure, verdictMeanings } from "../audit/index.ts";
import { type AuditReport, auditVersion } from "./audit.ts";
import { freshName, repairInWords, verdictSentence } from "./audit-text.ts";

type Interval = readonly [number, number] | null;

const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#ccc, #555); --muted: light-dark(#555, #aaa); --accent: light-dark(#0b62a4, #6cb4ee); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.125rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); text-align: left; font-variant-numeric: tabular-nums; font-weight: normal; }
thead th { color: var(--muted); } .wide { overflow-x: auto; } .note { color: var(--muted); }
svg { max-width: 100%; } svg text { font-size: 12px; fill: currentColor; } polyline { fill: none; stroke-width: 2; }
`;

/** The page. All that came from files and names is escaped. */
export function renderAudit(report: AuditReport): string {
  const { before, verdict, series, examples, probe, text, noOps, sameSize, places, repair, warnings } =
    report;
  const last = series.at(-1)!;
  const of = (name: MoveMeasure) => estimate(last.measures[name], last.intervals[name]);
  const head = `<!doctype html>
<html lang="en"><head><meta charset="utf-8" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
<meta name="viewport" content="width=device-width" /><title>${escaped(`${verdict}: audit of ${last.after}`)}</title><style>${STYLE}</style></head>`;
  const sections = [
    `<h1>${escaped(verdict)}</h1><p>${escaped(verdictSentence(report))}.</p>`,
    `<p>Before: ${escaped(before)}. After: ${escaped(last.after)}. Probe at <code>${escaped(probe.hook)}</code>, ${escaped(probe.positions)} (${escaped(probe.kind)}; ${escaped(probe.from)}). ${examples.judged} of ${examples.total} examples of ${escaped(examples.from)} judged, ${examples.judgedPositive} labelled true, in ${examples.judgedGroups} groups; 95 % intervals over groups.</p>`,
    warnings.length > 0
      ? `<h2>Before trusting it</h2><ul>${warnings.map((one) => `<li>${escaped(one)}</li>`).join("")}</ul>`
      : "",
    `<h2>Measures</h2>${table(
      ["", "before", "after"],
      [
        ["AUROC of the probe", of("aurocBefore"), of("aurocAfter")],
        [freshName(probe, last), of("freshBefore"), of("freshAfter")],
        ["recall, old threshold", of("recallBefore"), of("recallAfter")],
        ["false alarms, old threshold", of("fprBefore"), of("fprAfter")],
        ["recall, new threshold", "", of("recallAnew")],
        ["false alarms, new threshold", "", of("fprAnew")],
        ["spread of logits, times", "1", of("spread")],
        ["shift of logits, in deviations", "0", of("shift")],
        ["cosine with a fresh direction", number(last.cosine.before), number(last.cosine.after)],
        ...(text
          ? [
              [
                "AUROC of the completion's text",
                estimate(text.completion.value, text.completion.interval),
                "",
              ],
              ["AUROC of the whole text", estimate(text.whole.value, text.whole.interval), ""],
            ]
          : []),
      ],
    )}`,
    repair
      ? `<p>Repaired: ${repairInWords[repair.kind]}. Recall ${number(repair.recall)}, false alarms ${number(repair.fpr)}${repair.restored ? "" : "; that is not what it was"}. <code>${escaped(repair.folder ?? "")}</code></p>`
      : "",
    series.length > 1 ? seriesSection(report) : "",
    noOps.length + sameSize.length > 0
      ? `<h2>Changes that should do nothing, and random ones as large</h2>${table(
          ["change", "verdict", "AUROC", "recall", "false alarms", "spread", "shift"],
          [...noOps, ...sameSize].map(({ name, rule, auroc, recall, fpr, spread, shift }) => [
            escaped(name),
            rule ?? "ranking lost",
            ...[auroc, recall, fpr, spread, shift].map(number),
          ]),
        )}`
      : "",
    places.length > 0
      ? `<h2>Layers and positions</h2><p class="note">Differences of means, fitted on the model before.</p>${table(
          ["layer", "position", "rule", "AUROC before", "after", "anew", "cosine before", "after"],
          places.map(({ hook, positions, rule, aurocBefore, aurocAfter, freshAfter, cosine }) => [
            `<code>${escaped(hook)}</code>`,
            escaped(positions),
            rule ?? "–",
            ...[aurocBefore, aurocAfter, freshAfter].map(({ value, interval }) => estimate(value, interval)),
            ...[cosine.before, cosine.after].map(number),
          ]),
        )}`
      : "",
    completionsSection(report),
    report.study
      ? `<h2>The study</h2><p>It said ${escaped(report.study.diagnosis ?? "nothing")} of ${escaped(report.study.arm)}, seed ${report.study.seed}; read again: ${escaped(report.study.diagnosisAgain ?? "nothing")}.</p>`
      : "",
    `<h2>The words</h2>${table(
      ["verdict", "means"],
      Object.entries(verdictMeanings).map(([word, meaning]) => [word, escaped(meaning)]),
    )}<p class="note">audit.json, version ${auditVersion}, has all numbers.</p>`,
  ];
  return `${head}<body><main>${sections.join("\n")}</main></body></html>\n`;
}

function completionsSection({ completions }: AuditReport): string {
  if (completions === null) return "";
  const { scores, total, text, model, interaction, misbehaviour, outcome } = completions;
  const behaviour = misbehaviour
    ? `<p>Labelled true: ${number(misbehaviour.before)} before, ${number(misbehaviour.after)} after. Outcome: ${outcome}.</p>`
    : "";
  return `<h2>Completions of both models</h2>${table(
    ["mean probability", "read before", "read after"],
    [
      ["words of before", number(scores.oldTextOldModel), number(scores.oldTextNewModel)],
      ["words of after", number(scores.newTextOldModel), number(scores.newTextNewModel)],
    ],
  )}<p>The change is ${estimate(total.value, total.interval)}: by other words ${estimate(text.value, text.interval)}, by another reading of the same words ${estimate(model.value, model.interval)} (interaction ${estimate(interaction.value, interaction.interval)}).</p>${behaviour}`;
}

/** Curves over training: AUROC of the probe and of fresh ones, recall and false alarms. */
function seriesSection({ series, broke }: AuditReport): string {
  const curves = [
    ["AUROC of the probe", "aurocAfter", "var(--accent)"],
    ["AUROC fitted anew", "freshAfter", "light-dark(#2e7d32, #81c784)"],
    ["recall", "recallAfter", "light-dark(#b45309, #fbbf24)"],
    ["false alarms", "fprAfter", "light-dark(#b91c1c, #f87171)"],
  ] as const;
  const x = (i: number) => 40 + (i * 540) / (series.length - 1);
  const y = (value: number) => 210 - 190 * value;
  const lines = curves.map(([name, measure, colour], k) => {
    const points = series.flatMap(({ measures }, i) => {
      const value = measures[measure];
      return value === null ? [] : [`${x(i).toFixed(1)},${y(value).toFixed(1)}`];
    });
    return `<polyline points="${points.join(" ")}" style="stroke:${colour}" /><text x="${40 + 140 * k}" y="252" style="fill:${colour}">${name}</text>`;
  });
  const labels = series.map(
    ({ step }, i) => `<text x="${x(i).toFixed(1)}" y="228" text-anchor="middle">${step ?? i + 1}</text>`,
  );
  const said = broke
    ? `It broke at ${escaped(String(broke.step ?? broke.after))}: ${broke.verdict}.`
    : "It did not break at any of them.";
  return `<h2>Over training</h2><p>${said}</p><svg viewBox="0 0 600 260" role="img" aria-label="${said}">
<text x="4" y="24">1</text><text x="4" y="214">0</text>${labels.join("")}${lines.join("")}</svg>${table(
    ["model", "verdict", "AUROC", "anew", "recall", "false alarms", "spread"],
    series.map(({ after, verdict, measures: m }) => [
      escaped(after),
      verdict,
      ...[m.aurocAfter, m.freshAfter, m.recallAfter, m.fprAfter, m.spread].map(number),
    ]),
  )}`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, row: readonly string[]) =>
    `<tr>${row.map((cell) => `<${tag}>${cell}</${tag}>`).join("")}</tr>`;
  return `<div class="wide"><table><thead>${cells("th", header)}</thead><tbody>${rows.map((row) => cells("td", row)).join("")}</tbody></table></div>`;
}

function number(value: number | null): string {
  return value === null ? "–" : value.toFixed(3);
}

function estimate(value: number | null, interval: Interval): string {
  return interval
    ? `${number(value)} <span class="note">${interval.map(number).join(" to ")}</span>`
    : number(value);
}

function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** @file `docs/reference.md`, made from what the code says of itself: arms, metrics, words of a verdict, settings. */

import { atlasMeanings, diagnosisMeanings, outcomeMeanings, termMeanings } from "../audit/words.ts";
import { armIds, armTitle } from "../store/index.ts";
import { type MetricInfo, metricGroups } from "../store/metric-list.ts";
import { arms, type SettingInfo, studySettings } from "../study/index.ts";

/** The whole page, as Markdown. */
export function referencePage(): string {
  return `# Reference

Arms, metrics, the words of a verdict, and settings. This page is made from the code by \`npm run docs:reference\`; a test holds it current.

- [Arms](#arms)
- [Metrics](#metrics)
- [The words of a verdict](#the-words-of-a-verdict): [measures](#measures), [outcomes](#outcomes), [diagnoses](#diagnoses), [classes of the Obfuscation Atlas](#classes-of-the-obfuscation-atlas)
- [Settings](#settings)

## Arms

An **arm** is a way to train: what a monitor says of each rollout, and how that enters training. The last column has the settings that only some arms
depend on, and this one does. [Arms](your-own-arm.md) says more of some, and how to write one.

${table(
  ["arm", "title", "what it does", "uses"],
  armIds.map((id) => [code(id), armTitle(id), arms[id].sentence, arms[id].uses.map(code).join(", ")]),
)}

## Metrics

A run writes a line of \`metrics.jsonl\` per step: \`step\`, from 0, and these. A measure that is not defined is \`null\`, never 0 or NaN. What a reward
term or a monitor logs itself is beside them, as \`<term>/<name>\`. Of what is in angle brackets, one stands in the name. Names follow TRL where TRL has one.

${metricGroups.map(({ title, about, metrics }) => `### ${title}\n\n${about}\n\n${table(["metric", "meaning", "unit and range", "not defined where"], metrics.map(metricRow))}`).join("\n\n")}

## The words of a verdict

What tables, sentences and figures mean by their words, and by which thresholds they are chosen. The report shows the same list folded under its table.

### Measures

All but the misbehaviour are read on the tracer set. "Start" and "end" are means over the first and last five steps of a run, as far as they were
measured. Recall alone is no sight: a probe that flags everything has a recall of 1, and a sight of 0. The two are always shown beside each other. Where
false alarms rose by more than 0.1, the report says so in a sentence of its own.

${wordTable("word", termMeanings)}

### Outcomes

How a run ended, relative to where it started. The noise of a change is its 95 % interval over the first and last five steps (Welch; steps are what is
independent, rollouts of one prompt are not). \`degenerate\` is judged first, then \`undecided\` and \`blinded\`; otherwise misbehaviour decides. An arm has the
commonest outcome of its seeds, and says of how many where they differ.

${wordTable("outcome", outcomeMeanings)}

### Diagnoses

What became of the probe, at the last measurement, beside the same model as it was before training. \`honest\` here means the probe is quiet because the
behaviour is gone.

${wordTable("diagnosis", diagnosisMeanings)}

### Classes of the Obfuscation Atlas

Kept as a column of their own (\`atlas\` in \`summary.json\`), to compare with that work (arXiv 2602.15515). They do not ask where a run started nor whether
the probe ever saw anything: misbehaviour that grew from 0.03 to 0.30 is "honest" by them.

${wordTable("class", atlasMeanings)}

## Settings

What a study file may say. On the command line, \`--set training.kl=0.1\` gives any of them, and \`probeward settings kl\` finds them. Editors that know YAML
complete and check a file that begins with \`# yaml-language-server: $schema=\` and the path of [studies/schema.json](../studies/schema.json). The last
column has the name of the same setting in TRL (in PEFT, for adapters).

${table(["setting", "type", "default", "meaning", "TRL"], studySettings().map(settingRow))}
`;
}

const code = (text: string) => `\`${text}\``;

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(heads), `|${"---|".repeat(heads.length)}`, ...rows.map(line)].join("\n");
}

const wordTable = (head: string, meanings: Readonly<Record<string, string>>) =>
  table([head, "meaning"], Object.entries(meanings));

function metricRow({ name, meaning, unit, low, high, undefinedWhere = "" }: MetricInfo): string[] {
  const range =
    low !== undefined && high !== undefined
      ? `${low} to ${high}`
      : low !== undefined
        ? `at least ${low}`
        : "";
  return [code(name), meaning, [unit, range].filter(Boolean).join(", "), undefinedWhere];
}

function settingRow({ path, type, required, default: value, meaning, trl }: SettingInfo): string[] {
  const given = required ? "required" : value === undefined ? "" : code(value);
  return [code(path), type, given, meaning, trl ? code(trl) : ""];
}

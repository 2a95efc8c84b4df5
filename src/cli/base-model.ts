/** @file What a base model knows, in words: a table of what it does, and what a probe reads in it; 80 columns wide. */

import type { Engine } from "../engine/index.ts";
import type { Environment } from "../environment/index.ts";
import {
  type BaseModelReport,
  type BehaviourShares,
  baseProblems,
  type Possible,
  readBaseModel,
} from "../prepare/index.ts";
import { copiesInWords } from "../report/copies.ts";

const WIDTH = 80;
const CELL = 12;
/** Columns of shares that fit beside their names. */
const MOST = 5;

const headings: Record<Possible, string> = {
  either: "either",
  honest: "honest only",
  misbehaving: "misb. only",
  neither: "neither",
};

/** One row per measure and label; one column for all tasks, and for those where either conduct was possible, or one. */
export function behaviourInWords({ where, ...all }: BaseModelReport): string {
  const parts = Object.entries(where) as [Possible, BehaviourShares][];
  const columns: [string, BehaviourShares][] = [["all tasks", all]];
  if (parts.length > 1) for (const [possible, part] of parts) columns.push([headings[possible], part]);
  const room = WIDTH - MOST * CELL;
  const row = (name: string, cells: readonly string[]) =>
    (name.length < room ? name : `${name.slice(0, room - 2)}…`).padEnd(room) +
    cells.map((cell) => cell.padStart(CELL)).join("");
  const shares = (name: string, value: (one: BehaviourShares) => number) =>
    row(
      name,
      columns.map(([, one]) => value(one).toFixed(2)),
    );
  const only = parts.length === 1 ? `, each of which allows ${allows[parts[0]![0]]}` : "";
  return [
    wrapped(`What it does on ${all.completions} held-out tasks${only}, as shares of its completions:`),
    row(
      parts.length > 1 ? "demonstrable" : "",
      columns.map(([name]) => name),
    ),
    row(
      "tasks",
      columns.map(([, { completions }]) => String(completions)),
    ),
    shares("true reward", (one) => one.true),
    shares("proxy reward", ({ proxy }) => proxy),
    shares("misbehaved", ({ misbehaved }) => misbehaved),
    ...Object.keys(all.labels).map((label) => shares(`  ${label}`, ({ labels }) => labels[label]!)),
    ...(parts.length > 1
      ? [
          wrapped(
            "Either: both honesty and misbehaving can be demonstrated for the task. Only: the other cannot.",
          ),
        ]
      : []),
  ].join("\n");
}

const allows: Record<Possible, string> = {
  either: "honesty and misbehaving",
  honest: "honesty alone",
  misbehaving: "misbehaving alone",
  neither: "neither honesty nor misbehaving",
};

/** Whether a probe tells its misbehaving from its honest completions, and what would make a study of it hopeless. */
export async function differenceInWords(
  environment: Environment,
  engine: Engine,
  count?: number,
): Promise<string> {
  const base = await readBaseModel(environment, engine, count).catch((error: Error) => error);
  if (base instanceof Error) return wrapped(`Does it know better? No probe can tell: ${base.message}`);
  const { probeAuroc, probeAurocInterval, textBaselineAuroc, hook, positions, counts } = base.summary;
  const shown = (auroc: number | null) => (auroc === null ? "undefined" : auroc.toFixed(2));
  const interval = probeAurocInterval ? ` (95 %: ${probeAurocInterval.map(shown).join(" to ")})` : "";
  const { total, misbehaving } = counts.test!;
  const sentences = [
    `Does it know better? At its best place (${hook}, ${positions}) a probe tells misbehaving from honest completions with AUROC ${shown(probeAuroc)}${interval}, their text alone with ${shown(textBaselineAuroc)}: ${total} held-out completions, ${misbehaving} of them misbehaving or trying to.`,
  ];
  const copies = copiesInWords(base.summary);
  if (copies) sentences.push(`${copies}.`);
  return [sentences.join(" "), ...baseProblems(base).map((problem) => `! ${problem}`)]
    .map(wrapped)
    .join("\n");
}

/** A paragraph in lines of at most 80 columns. */
function wrapped(text: string): string {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const line = `${lines.at(-1)} ${word}`.trim();
    if (line.length <= WIDTH) lines[lines.length - 1] = line;
    else lines.push(word);
  }
  return lines.join("\n");
}

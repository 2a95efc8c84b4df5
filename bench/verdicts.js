/**
 * @file What is said of finished runs beside their numbers, as a table in Markdown: node bench/verdicts.js runs/code runs/facts.
 * Every run is told as if it were the only one of its study. A last line counts sentences that contradict their numbers, by
 * rules of their own (test/contradictions.ts).
 */

import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { createJiti } from "jiti";

const jiti = createJiti(import.meta.url);
const { summarySchema } = await jiti.import("../src/store/schema.ts");
const { armSentence, studySentence } = await jiti.import("../src/web/sentences.ts");
const { contradictions, studyContradictions } = await jiti.import("../test/contradictions.ts");

const shown = (value) => (value === null ? "-" : value.toFixed(2));
const change = (from, to) => `${shown(from)} → ${shown(to)}`;
console.log("| study | arm, seed | misbehaviour | recall | false alarms | sight | what is said | Atlas |");
console.log("|---|---|---|---|---|---|---|---|");
let runs = 0;
let wrong = 0;
for (const folder of process.argv.slice(2)) {
  const summary = summarySchema.parse(JSON.parse(await readFile(join(folder, "summary.json"), "utf8")));
  for (const [id, arm] of Object.entries(summary.arms))
    for (const run of arm.runs) {
      const alone = { ...summary, seeds: [run.seed], arms: { [id]: { ...arm, runs: [run] } } };
      const [headline, sentence] = [studySentence(alone), armSentence(alone.arms[id])];
      const faults = [...studyContradictions(headline, run), ...contradictions(sentence, run)];
      runs++;
      if (faults.length > 0) wrong++;
      const cells = [
        basename(folder),
        `${id}, ${run.seed}`,
        change(run.misbehaviourStart, run.misbehaviourEnd),
        change(run.recallReferenceEnd, run.recallFrozenEnd),
        change(run.fprReferenceEnd, run.fprFrozenEnd),
        change(run.sightReferenceEnd, run.sightFrozenEnd),
        `**${run.outcome}**${run.diagnosis ? ` (${run.diagnosis})` : ""}. ${sentence}${faults.map((fault) => ` CONTRADICTS ${fault}`)}`,
        run.atlas,
      ];
      console.log(`| ${cells.join(" | ")} |`);
    }
}
console.log(`\n${runs} runs, ${wrong} of them told otherwise than their numbers say.`);

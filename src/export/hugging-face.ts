/** @file Hugging Face's layout of a data set: Parquet files, and a card that says which is which, for `datasets.load_dataset`. */

import { basename, join } from "node:path";
import { stringify } from "yaml";
import { writeWhole } from "../files.ts";
import { exportParquet } from "./parquet.ts";
import type { RecordedStudy } from "./read.ts";

/** Writes `data/rollouts.parquet`, `data/metrics.parquet` and the card `README.md`; returns their paths. */
export async function exportHuggingFace(study: RecordedStudy, out: string): Promise<string[]> {
  const files = await exportParquet(study, join(out, "data"));
  const card = join(out, "README.md");
  const head = {
    pretty_name: `${basename(study.folder)}, a study by probeward`,
    tags: ["reinforcement-learning", "interpretability", "probeward"],
    configs: [
      { config_name: "rollouts", data_files: "data/rollouts.parquet", default: true },
      { config_name: "metrics", data_files: "data/metrics.parquet" },
    ],
  };
  const arms = [...new Set(study.runs.map(({ arm }) => arm))];
  await writeWhole(
    card,
    `---
${stringify(head)}---

# ${basename(study.folder)}

Rollouts and metrics of a [probeward](https://github.com/probeward/probeward) study: ${study.runs.length} runs of the arms ${arms.join(", ")} on
the environment \`${study.settings.environment}\`.

- \`rollouts\`: a row per recorded completion, with \`prompt\`, \`completion\`, its rewards, what became of it (\`misbehaved\`, \`label\`: the
  ground truth, which only oracle arms see in training), and the initial probe's probability at every token, on the policy and on the frozen reference.
- \`metrics\`: a row per step and run.

Each has \`arm\`, \`seed\` and \`step\`.
`,
  );
  return [...files, card];
}

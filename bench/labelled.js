/** @file Demonstrations of an environment as a labelled file: node bench/labelled.js code 200 [seed] > labelled.jsonl (so many of each label). */

import { createJiti } from "jiti";

const jiti = createJiti(import.meta.url);
const { demonstrations } = await jiti.import("../test/planted.ts");
const [name, count, seed = "1"] = process.argv.slice(2);
for (const line of await demonstrations(name, Number(count), seed)) console.log(JSON.stringify(line));

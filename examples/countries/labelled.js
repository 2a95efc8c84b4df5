// @ts-check
/**
 * @file True and false statements about capitals, as `probeward probe` reads them: does a model tell one from the other?
 *
 *     node examples/countries/labelled.js > labelled.jsonl
 *
 * Countries come in pairs, a group each, whose capitals are said once of either: no statement's words give it away, and no
 * capital is in two splits.
 */

import { readFileSync } from "node:fs";

/** @type {Record<string, { capitals: string[] }>} */
const facts = JSON.parse(readFileSync(new URL("countries.json", import.meta.url), "utf8")).countries;
const countries = Object.keys(facts);
const half = Math.floor(countries.length / 2);

for (const [i, first] of countries.slice(0, half).entries()) {
  const pair = [first, countries[half + i]];
  for (const country of pair)
    for (const said of pair) {
      const prompt = [{ role: "user", content: `What is the capital of ${country}?` }];
      const completion = `The capital of ${country} is ${facts[said].capitals[0]}.`;
      console.log(JSON.stringify({ prompt, completion, label: said !== country, group: pair.join(" ") }));
    }
}

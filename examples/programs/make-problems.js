// @ts-check
/**
 * @file Makes `problems.jsonl` of HumanEval-X's JavaScript: node examples/programs/make-problems.js humaneval_js.jsonl.gz
 *
 * Tests become cases, an input with what the canonical solution returns: recorded while the problem's own tests are run, all of which have
 * to pass. Kept are problems with enough cases whose answers are whole numbers, truths, texts or lists of these, and can be told from
 * another by a text. Beside each solution are bodies with one fault, which fail at half of all cases, and three or more.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { createContext, runInContext } from "node:vm";
import { gunzipSync } from "node:zlib";
import { createJiti } from "jiti";
import { createSandbox } from "probeward";

/** @typedef {import("./problem.ts").Problem} Problem */

/** @type {typeof import("./problem.ts")} */
const { faulty, inJudgesRealm, isDistinct } = await createJiti(import.meta.url).import("./problem.ts");

/** Cases of a problem, the fewest of them that the prompt may show, and characters of a case. */
const [MOST, FEWEST_SHOWN, LONGEST] = [14, 4, 160];
/** Faults: one of these is put in the place of another. */
const SWAPS = [
  ...[
    ["<=", "<"],
    [">=", ">"],
    ["<", "<="],
    [">", ">="],
    ["===", "!=="],
    ["==", "!="],
    ["!=", "=="],
    ["+=", "-="],
  ],
  ...[
    ["&&", "||"],
    ["||", "&&"],
    [" + ", " - "],
    [" - ", " + "],
    [" * ", " + "],
    [" % ", " / "],
    ["true", "false"],
  ],
  ...[
    ["false", "true"],
    ["= 0", "= 1"],
    ["= 1", "= 0"],
    ["+ 1", "+ 2"],
    ["- 1", "- 2"],
    ["Math.max", "Math.min"],
    ["i++", "i += 2"],
  ],
];

/** @param {unknown} value */
const isPlain = (value) =>
  JSON.stringify(value, (_, x) => (typeof x === "number" && !Number.isInteger(x) ? undefined : x)) ===
  JSON.stringify(value);

/**
 * The cases that a problem's tests go through; none where a test fails, or chance or something else than data is in them.
 * @param {Record<string, string>} from
 * @param {string} name
 */
function casesOf({ declaration, canonical_solution: body, example_test: example, test }, name) {
  /** @type {Map<string, unknown>} */
  const cases = new Map();
  let failed = false;
  let state = 1;
  const record = (/** @type {string} */ input, /** @type {unknown} */ output) => cases.set(input, output);
  const assert = (/** @type {unknown} */ held) => (failed ||= !held);
  const random = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  for (const tests of [example ?? "", test]) {
    const context = createContext({ record, assert, random, console: { assert, log() {} } });
    const script = `Math.random = random; const ${name} = (() => {${declaration}${body}
      return (...input) => { const text = JSON.stringify(input), output = ${name}(...input); record(text, output); return output; };
    })();\n${tests}`;
    try {
      runInContext(script, context, { timeout: 5000 });
    } catch {
      return [];
    }
  }
  if (failed) return [];
  return [...cases].flatMap(([text, output]) => {
    const fits = output !== undefined && isPlain(output) && JSON.stringify(output).length <= LONGEST;
    return fits && text.length <= LONGEST
      ? [{ input: JSON.parse(text), output: JSON.parse(JSON.stringify(output)) }]
      : [];
  });
}

/**
 * @param {string} body
 * @returns {Problem["faults"]}
 */
function faultsOf(body) {
  return SWAPS.flatMap(([from, to]) =>
    [...body.matchAll(new RegExp(from.replace(/[^\w\s]/g, "\\$&"), "g"))].flatMap(({ index }) => {
      const around = body.slice(index - 1, index + from.length + 1);
      if (/^[<>=]{1,2}$/.test(from) && /[<>=!][<>=]/.test(around.replace(from, ""))) return [];
      return [/** @type {[number, string, string]} */ ([index, from, to])];
    }),
  );
}

const sandbox = createSandbox({ outputCharacters: 4000 });
/** @type {Problem[]} */
const problems = [];
const lines = gunzipSync(readFileSync(process.argv[2] ?? "humaneval_js.jsonl.gz"))
  .toString("utf8")
  .trim()
  .split("\n");
for (const from of lines.map((line) => JSON.parse(line))) {
  const declaration = from.declaration.trim();
  const [, name] = declaration.match(/^const (\w+) = \([\w, ]+\) => \{$/) ?? [];
  // A helper in the declaration would be a second function to show.
  if (!name) continue;
  const text = from.prompt.slice(0, from.prompt.indexOf(declaration)).replace(/^\s*\/\*|\*\/\s*$/g, "");
  const description = text
    .split("\n")
    .map((/** @type {string} */ line) => line.trim())
    .join("\n")
    .trim();
  const body = from.canonical_solution
    .trimEnd()
    .replace(/\s*\}$/, "")
    .replace(/^\n+/, "");
  const arity = declaration.split(",").length;
  const cases = casesOf(from, name)
    .filter(({ input }) => input.length === arity)
    .slice(0, MOST);
  const problem = {
    id: from.task_id,
    name,
    description,
    declaration,
    body,
    faults: /** @type {Problem["faults"]} */ ([]),
    cases,
  };
  const answersOf = async (/** @type {string[]} */ bodies) =>
    sandbox.run(
      bodies.map((one) => ({ source: inJudgesRealm(problem, `${one}\n}`), inputs: cases.map((_, i) => i) })),
    );
  const wrong = (/** @type {import("probeward").Answer[]} */ answers) =>
    answers.filter((answer, i) => !("value" in answer) || answer.value !== JSON.stringify(cases[i].output))
      .length;
  if (cases.filter(({ input }) => isDistinct(input, body)).length < FEWEST_SHOWN) continue;
  if (new Set(cases.map(({ output }) => JSON.stringify(output))).size < 2) continue;
  const [own] = await answersOf([body]);
  if (wrong(own) > 0) continue;
  const faults = faultsOf(body);
  const bodies = faults.map((fault) => faulty(body, fault));
  for (const [i, answers] of (await answersOf(bodies)).entries())
    if (wrong(answers) >= Math.max(cases.length / 2, 3) && answers.every((answer) => "value" in answer))
      problem.faults.push(faults[i]);
  problem.faults = problem.faults.filter((_, i, all) => i % Math.ceil(all.length / 4) === 0);
  if (problem.faults.length > 0) problems.push(problem);
}
await sandbox.close();
writeFileSync(
  new URL("problems.jsonl", import.meta.url),
  problems.map((one) => `${JSON.stringify(one)}\n`).join(""),
);
console.log(
  `${problems.length} of ${lines.length} problems, ${problems.reduce((sum, { cases }) => sum + cases.length, 0)} cases`,
);

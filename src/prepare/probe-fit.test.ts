/** @file Probes on labelled files: what they find, what stands beside them, and files that are wrong. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyContext, tinyHook } from "../../test/tiny.ts";
import { UsageError } from "../errors.ts";
import { jsonLines } from "../files.ts";
import { pick, randomFor } from "../random.ts";
import { readPooled } from "./completions.ts";
import { type LabelledExample, readLabelledFile } from "./labelled-file.ts";
import { fitOnExamples } from "./probe-fit.ts";

const { engine } = tinyContext();
const options = { positions: ["completion", "completion-last"] as const, falsePositiveRate: 0.1, seed: 1 };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-labelled-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(lines: readonly unknown[]): Promise<string> {
  const path = join(folder, "labelled.jsonl");
  await writeFile(path, jsonLines(lines));
  return path;
}

/** Random completions in 60 groups, hardly any of them twice, all labelled false. */
async function unlabelled(): Promise<LabelledExample[]> {
  const random = randomFor("labelled");
  const letters = (count: number) => Array.from({ length: count }, () => pick(random, [..."abc"])).join("");
  const lines = Array.from({ length: 240 }, (_, i) => ({
    prompt: `?${letters(1)}`,
    completion: letters(8 + (i % 6)),
    label: 0,
    group: i % 60,
  }));
  return readLabelledFile(await file(lines), engine);
}

describe("fitOnExamples", () => {
  it("finds a direction that is there, where controls find none, on groups of its own", async () => {
    const examples = await unlabelled();
    const read = await readPooled(engine, [tinyHook], ["completion"], examples);
    const values = read[`${tinyHook} completion`]!.map((activation) => activation[3]! - activation[5]!);
    const middle = [...values].sort((a, b) => a - b)[120]!;
    const labelled = examples.map((example, i) => ({ ...example, label: values[i]! > middle }));
    const { probe, report } = await fitOnExamples(labelled, engine, options);
    expect(probe.tap).toEqual({ hook: tinyHook, positions: "completion", followUp: undefined, pool: "mean" });
    expect(report.test.auroc).toBeGreaterThan(0.97);
    expect(report.test.aurocInterval![0]).toBeGreaterThan(0.93);
    expect(report.test.tpr).toBeGreaterThan(0.7);
    expect(report.controls.shuffledLabels.mean).toBeLessThan(0.75);
    expect(report.controls.shuffledLabels.mean).toBeGreaterThan(0.25);
    expect(report.controls.randomDirection.mean).toBeLessThan(report.test.auroc!);
    const { fit, calibration, test } = report.splits;
    expect([fit.groups, calibration.groups, test.groups]).toEqual([36, 12, 12]);
    expect(fit.examples + calibration.examples + test.examples).toBe(240);
    expect(report.sweep).toHaveLength(4);
    for (const { logit } of report.missed) expect(logit).toBeLessThan(probe.threshold);
    for (const { logit } of report.falseAlarms) expect(logit).toBeGreaterThanOrEqual(probe.threshold);
    expect((await fitOnExamples(labelled, engine, options)).report).toEqual(report);
  });

  it("judges by no copy of what it was fitted on: not in another group, nor with other white space", async () => {
    const random = randomFor("coins");
    const examples = (await unlabelled())
      .slice(0, 60)
      .map((example, i) => ({ ...example, group: `${i}`, label: random() < 0.5 }));
    const copies = examples.map((one, i) => ({
      ...one,
      ...{ group: `copy ${i}`, completion: ` ${one.completion}\n` },
    }));
    const { report } = await fitOnExamples([...examples, ...copies], engine, options);
    expect(report.copies).toEqual({ distinct: 60, seen: 0, aurocUnseen: report.test.auroc });
    expect(report.splits.test).toMatchObject({ groups: 12, examples: 24, distinct: 12 });
    const once = await fitOnExamples(examples, engine, options);
    expect(once.report.splits.test).toMatchObject({ groups: 12, examples: 12, distinct: 12 });
  });

  it("says how many copies there are where few completions are everywhere, and what the prompt tells", async () => {
    const answers = ["a", "b", "ab", "ba"];
    const lines = Array.from({ length: 120 }, (_, i) => ({
      prompt: i % 2 ? "?a" : "?b",
      completion: i < 100 ? answers[i % 4] : `abc${"cab".slice(0, i % 3)}${"abcab".slice(0, i % 5)}`,
      label: i % 2,
      group: i,
    }));
    const examples = await readLabelledFile(await file(lines), engine);
    const positions = ["prompt-last", "completion"] as const;
    const { report } = await fitOnExamples(examples, engine, { ...options, positions });
    const { copies, splits, promptEnd, warnings } = report;
    expect(copies.seen).toBeGreaterThan(0);
    expect(copies.seen).toBeLessThan(splits.test.examples);
    expect(promptEnd).toEqual({ hook: tinyHook, auroc: 1 });
    const told = warnings.join("\n");
    expect(told).toContain(
      `${copies.seen} of ${splits.test.examples} completions of the test split are copies`,
    );
    expect(told).toMatch(/The end of the prompt alone reads AUROC 1\.000/);
    expect(told).toMatch(/The \d+ completions of the fit split are \d+ different ones/);
  });

  it("warns where labels are noise", async () => {
    const random = randomFor("noise");
    const labelled = (await unlabelled()).map((example) => ({ ...example, label: random() < 0.5 }));
    const { report } = await fitOnExamples(labelled, engine, options);
    expect(report.test.auroc).toBeLessThan(0.75);
    expect(report.warnings.join("\n")).toMatch(/The text alone reaches AUROC/);
    expect(report.warnings.join("\n")).toMatch(/what this one found may be chance/);
  });

  it("says which split lacks a label", async () => {
    const examples = await unlabelled();
    const refused = fitOnExamples(examples, engine, options);
    await expect(refused).rejects.toThrow(UsageError);
    await expect(refused).rejects.toThrow(
      /Of 60 groups and 240 examples, the fit split got 144 examples, 0 of/,
    );
    const oneGroup = examples.map((example) => ({ ...example, label: example.group === "7" }));
    await expect(fitOnExamples(oneGroup, engine, options)).rejects.toThrow(/both labels in every split/);
    await expect(
      fitOnExamples(examples, engine, { ...options, hooks: ["blocks.9.hook_resid_post"] }),
    ).rejects.toThrow(
      /there is no activation "blocks\.9\.hook_resid_post"; this model has layers 0 to 0, .* as in blocks\.0\.hook_resid_pre: hook_resid_pre, hook_attn_out, /,
    );
  });
});

describe("statements without a prompt", () => {
  it("are read where there is something to read, and are groups of their own", async () => {
    const random = randomFor("statements");
    const lines = Array.from({ length: 60 }, (_, i) => ({
      prompt: "",
      completion: Array.from({ length: 8 }, () => pick(random, [..."abc"])).join(""),
      label: i % 2,
    }));
    const examples = await readLabelledFile(await file(lines), engine);
    expect(new Set(examples.map(({ group }) => group)).size).toBeGreaterThan(50);
    const positions = ["prompt-last", "completion-last"] as const;
    const { report } = await fitOnExamples(examples, engine, { ...options, positions });
    expect(report.sweep.every(({ positions }) => positions === "completion-last")).toBe(true);
    expect(report.warnings[0]).toMatch(/Nothing was read at prompt-last: the prompt of line 1 is empty/);
    const only = fitOnExamples(examples, engine, { ...options, positions: ["prompt-last"] });
    await expect(only).rejects.toThrow(UsageError);
    await expect(only).rejects.toThrow(/line 1 is empty.*--positions completion,/);
  });
});

describe("readLabelledFile", () => {
  const good = { prompt: "?a", completion: "ab", label: true };

  it("tokenises as the model does, and groups by the prompt unless told otherwise", async () => {
    const path = await file([good, { ...good, label: 0, group: 3 }]);
    expect(await readLabelledFile(path, engine)).toEqual([
      {
        tokens: [5, 1, 1, 2, 0],
        promptLength: 2,
        prompt: "?a",
        completion: "ab",
        label: true,
        group: "?a",
        line: 1,
      },
      {
        tokens: [5, 1, 1, 2, 0],
        promptLength: 2,
        prompt: "?a",
        completion: "ab",
        label: false,
        group: "3",
        line: 2,
      },
    ]);
  });

  it.each([
    ["a label that is none", { ...good, label: "yes" }, /label/],
    ["no completion", { ...good, completion: "" }, /it is empty: there is nothing to read/],
    ["no prompt", { completion: "a", label: true }, /prompt/],
    [
      "a character that the model lacks",
      { ...good, completion: "z" },
      /"z" in "z" is not in the model's alphabet/,
    ],
    ["more tokens than the model reads", { ...good, completion: "abcabcabcabcabca" }, /19 tokens.*reads 16/],
    ["a conversation", { ...good, prompt: [{ role: "user", content: "?a" }] }, /has no chat template/],
  ])("refuses %s, and names the line", async (_, line, message) => {
    const reading = readLabelledFile(await file([good, line]), engine);
    await expect(reading).rejects.toThrow(UsageError);
    await expect(reading).rejects.toThrow(/labelled\.jsonl, line 2: /);
    await expect(reading).rejects.toThrow(message);
  });

  it("reads UTF-8 and UTF-16 with a mark, and lines that end as on any machine", async () => {
    const path = join(folder, "written.jsonl");
    const text = `${jsonLines([good, good]).replaceAll("\n", "\r\n")}\r\n`;
    const utf16 = Buffer.from(`\uFEFF${text}`, "utf16le");
    const written = [
      text,
      `\uFEFF${text}`,
      text.replaceAll("\r\n", "\r"),
      utf16,
      Buffer.from(utf16).swap16(),
    ];
    const plain = await readLabelledFile(await file([good, good]), engine);
    for (const content of written) {
      await writeFile(path, content);
      const read = await readLabelledFile(path, engine);
      expect(read.map(({ line: _, ...example }) => example)).toEqual(
        plain.map(({ line: _, ...example }) => example),
      );
    }
    await writeFile(path, Buffer.from([0x7b, 0xff, 0x22]));
    await expect(readLabelledFile(path, engine)).rejects.toThrow(/written\.jsonl: it is not in UTF-8/);
  });

  it.each([
    ["a list", JSON.stringify([good]), /it is a list.*jq -c '\.\[\]'/],
    ["an object over lines", JSON.stringify(good, null, 2), /over several lines/],
    ["a table", "prompt,completion,label\na,b,1\n", /begins with "prompt,completion/],
    ["nothing", "\n\n", /it is empty/],
    [
      "a key twice",
      '{"prompt": "?a", "label": true, "completion": "ab", "label": false}',
      /the key "label" twice/,
    ],
    ["half of a character", JSON.stringify({ ...good, prompt: "\ud800" }), /half of a character/],
    [
      "a label in quotes",
      JSON.stringify({ ...good, label: "true" }),
      /true or false, or 1 or 0, without quotes/,
    ],
    ["a zero character in the middle", `{"prompt": "?a\u0000"}`, /it is not JSON/],
  ])("refuses %s, and says what to do", async (_, content, message) => {
    const path = join(folder, "other.jsonl");
    await writeFile(path, content);
    await expect(readLabelledFile(path, engine)).rejects.toThrow(message);
    await expect(readLabelledFile(path, engine)).rejects.toThrow(UsageError);
  });

  it("refuses what is not JSON, and a file that is not there", async () => {
    const path = join(folder, "bad.jsonl");
    await writeFile(path, "\n{not json}\n");
    await expect(readLabelledFile(path, engine)).rejects.toThrow(/bad\.jsonl, line 2: it is not JSON/);
    await expect(readLabelledFile(join(folder, "none.jsonl"), engine)).rejects.toThrow(
      /none\.jsonl: there is no such file/,
    );
  });
});

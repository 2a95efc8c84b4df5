/**
 * @file `probeward audit` as a real process, on a tiny Llama, a LoRA adapter that PEFT trained and wrote (fixtures/make_audit.py), and
 * checkpoints of TRL's GRPO and SFT trainers (fixtures/make_trl.py).
 */

import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { loadProven, openChanged, openModel } from "../src/prepare/index.ts";
import { auditSchema } from "../src/report/index.ts";

const at = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const main = at("../dist/cli/main.js");
const fixture = (name: string) => at(`fixtures/audit/${name}`);

function audit(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, "audit", ...args], (error, stdout, stderr) =>
      resolve({ status: error ? (error.code as number) : 0, stdout, stderr }),
    );
  });
}

const newFolder = () => mkdtemp(join(tmpdir(), "probeward-audit-"));
const few = ["--controls", "4", "--resamples", "100"];
const given = ["--before", fixture("base"), "--labelled", fixture("labelled.jsonl"), ...few];

describe("probeward audit", () => {
  it("says at which checkpoint a probe broke, repairs it, and tells words from readers", async () => {
    const folder = await newFolder();
    const out = join(folder, "out");
    // In the order of their numbers, whatever a shell makes of them.
    const [first, second] = [join(folder, "checkpoint-90"), join(folder, "checkpoint-200")];
    await cp(fixture("base"), first, { recursive: true });
    await cp(fixture("adapter"), second, { recursive: true });
    const lines = (await readFile(fixture("labelled.jsonl"), "utf8")).trim().split("\n");
    const written = { old: join(folder, "old.jsonl"), fresh: join(folder, "fresh.jsonl") };
    await writeFile(written.old, lines.slice(0, 80).join("\n"));
    // The same words: whatever changes is the reader's.
    await writeFile(written.fresh, lines.slice(0, 80).join("\n"));
    const { status, stdout } = await audit(
      ...[...given, "--after", second, first, "--out", out],
      ...["--completions", written.old, written.fresh, "--fail-on", "rotated,erased"],
    );
    expect(status).toBe(1);
    expect(stdout.split("\n")[0]).toMatch(/^rotated: the probe ranks no longer/);
    expect(stdout).toContain("It broke at 200: rotated");

    const report = auditSchema.parse(JSON.parse(await readFile(join(out, "audit.json"), "utf8")));
    expect(report.series.map(({ step, verdict }) => [step, verdict])).toEqual([
      [90, "intact"],
      [200, "rotated"],
    ]);
    const [before, after] = report.series as [(typeof report.series)[number], (typeof report.series)[number]];
    expect(before.weightChange).toBe(0);
    expect(before.measures.aurocAfter).toBe(before.measures.aurocBefore);
    expect(after.intervals.aurocAfter![1]).toBeLessThan(before.intervals.aurocAfter![0]);
    expect(report.falseAlarms).toBe(0);
    expect(report.noOps.map(({ rule }) => rule)).toEqual(Array(4).fill("intact"));
    expect(report.places).toHaveLength(4);
    const { text, model, total, misbehaviour, outcome } = report.completions!;
    expect(text.value).toBeCloseTo(0, 12);
    expect(model.value).toBeCloseTo(total.value!, 12);
    expect(misbehaviour).toMatchObject({ before: 0.5, after: 0.5 });
    expect(outcome).toBe("blinded");

    // The repaired probe is one of the adapted model, and of no other.
    expect(report.repair).toMatchObject({ kind: "refitted", restored: true });
    expect(report.repair!.sight).toBeGreaterThan(after.measures.sightAfter! + 0.3);
    const base = await openModel(fixture("base"));
    const adapted = await openChanged(second, base);
    const { warnings, probe } = await loadProven(report.repair!.folder!, adapted.engine, adapted.precision);
    expect(warnings).toEqual([]);
    expect(probe.tap.hook).toBe(report.probe.hook);
    await expect(loadProven(report.repair!.folder!, base.engine)).rejects.toThrow("weights are others");
    await base.engine.close();
    await adapted.engine.close();

    const page = await readFile(join(out, "report.html"), "utf8");
    expect(page).toContain("<h1>rotated</h1>");
    expect(page).not.toMatch(/<script|https?:/);
    expect((await stat(join(out, "report.html"))).size).toBeLessThan(60_000);

    // The probe that was fitted is judged on the same split where it is given.
    const again = await audit(
      ...given,
      "--after",
      second,
      "--probe",
      join(out, "probe"),
      "--json",
      "--out",
      out,
    );
    expect(again.status).toBe(0);
    const told = auditSchema.parse(JSON.parse(again.stdout));
    expect(told.verdict).toBe("rotated");
    // But for rounding: the first audit took what the fit had read.
    for (const [name, value] of Object.entries(after.measures))
      expect(told.series[0]!.measures[name as "spread"]).toBeCloseTo(value!, 4);
  });

  it("reads what TRL's trainers wrote: GRPO left the probe as it was, SFT turned what it reads", async () => {
    const folder = await newFolder();
    // As the page has it: a conversation is rendered by the chat template.
    const labelled = join(folder, "labelled.jsonl");
    const lines = (await readFile(fixture("labelled.jsonl"), "utf8")).trim().split("\n");
    const asked = lines.map((line) =>
      JSON.stringify({ ...JSON.parse(line), prompt: [{ role: "user", content: "?" }] }),
    );
    await writeFile(labelled, asked.join("\n"));
    const monitor = join(folder, "monitor");
    const model = ["--before", fixture("base"), "--labelled", labelled, ...few];
    const fitted = await audit(...model, "--after", fixture("base"), "--out", monitor);
    expect(fitted.stdout).toMatch(/^intact/);
    const checkpoints = (trainer: string) =>
      [20, 40, 60].map((step) => fixture(`trl/${trainer}/checkpoint-${step}`));
    const told = async (trainer: string) => {
      const { status, stdout } = await audit(
        ...[...model, "--after", ...checkpoints(trainer), "--probe", join(monitor, "probe")],
        ...["--fail-on", "rotated,erased,translated", "--json", "--out", join(folder, trainer)],
      );
      return { status, ...auditSchema.parse(JSON.parse(stdout)) };
    };
    const grpo = await told("grpo");
    expect(grpo).toMatchObject({ status: 0, verdict: "intact", broke: null });
    expect(grpo.series.map(({ step }) => step)).toEqual([20, 40, 60]);
    expect(grpo.series[0]!.weightChange).toBeGreaterThan(0);
    const sft = await told("sft");
    expect(sft).toMatchObject({ status: 1, verdict: "rotated", broke: { step: 20 } });
  });

  it.each([
    ["without a labelled file", ["--before", "a", "--after", "b"], /needs --before, --after and --labelled/],
    [
      "with a verdict that there is not",
      [...given, "--after", "b", "--fail-on", "broken"],
      /broken is none of intact/,
    ],
    [
      "with another kind of model",
      [...given, "--after", at("../models/facts")],
      /it has 4 layers, and the model before 2/,
    ],
    ["with an adapter of another model", [...given, "--after", fixture("../checkpoints/adapter")], /adapter/],
    [
      "with a model that is not there",
      [...given, "--after", "nowhere"],
      /--after nowhere: it is no GGUF file/,
    ],
    ["with no study", [at(".")], /holds no study/],
  ])("is refused %s, with what to do", async (_, args, message) => {
    const { status, stderr, stdout } = await audit(...args, "--out", await newFolder());
    expect(status).toBeGreaterThan(0);
    expect(stderr).toMatch(message);
    expect(stdout).toBe("");
  });

  it("is refused where the model after has other tokens", async () => {
    const folder = await newFolder();
    const other = join(folder, "other");
    await cp(fixture("base"), other, { recursive: true });
    const path = join(other, "tokenizer.json");
    const json = JSON.parse(await readFile(path, "utf8"));
    [json.model.vocab.a, json.model.vocab.b] = [json.model.vocab.b, json.model.vocab.a];
    await writeFile(path, JSON.stringify(json));
    const { status, stderr } = await audit(...given, "--after", other, "--out", join(folder, "out"));
    expect(status).toBe(2);
    expect(stderr).toMatch(/its tokenizer or chat template makes other tokens of line \d+/);
  });
});

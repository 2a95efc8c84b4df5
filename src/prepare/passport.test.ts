/** @file A probe's passport: what reads it where it was fitted is let through, what reads it elsewhere is refused, with what differs. */

import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createEngine } from "../engine/index.ts";
import { UsageError } from "../errors.ts";
import { readText } from "../files.ts";
import { type LoadedModel, loadChanged, precisionOf, roundedTo } from "../model/index.ts";
import { fitProbe, loadProbeFile, logit, type Passport, type Probe, saveProbe } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import { passportOf } from "./audit-file.ts";
import { type OpenModel, openModel } from "./changed.ts";
import { readPooled } from "./completions.ts";
import { type LabelledExample, readLabelledFile } from "./labelled-file.ts";
import { loadProven, makePassport } from "./passport.ts";
import { fitOnExamples } from "./probe-fit.ts";

const fixture = fileURLToPath(new URL("../../test/fixtures/audit", import.meta.url));
const about = { on: "labelled.jsonl", sha256: "0".repeat(64), seed: 1 };

let folder: string;
let model: OpenModel;
let examples: LabelledExample[];
let saved: { probe: Probe; passport: Passport };

async function fitted() {
  const one = await fitOnExamples(examples, model.engine, {
    ...{ hooks: ["blocks.0.hook_resid_post"], positions: ["completion"], falsePositiveRate: 0.1, seed: 1 },
  });
  const { precision } = model;
  return { probe: one.probe, passport: await passportOf(one, model.engine, { ...about, precision }) };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-passport-"));
  model = await openModel(join(fixture, "base"));
  examples = await readLabelledFile(join(fixture, "labelled.jsonl"), model.engine);
  saved = await fitted();
});
afterAll(async () => {
  await model.engine.close();
  await rm(folder, { recursive: true });
});

/** Writes the probe with something of `probe.json` changed, and loads it with a model. */
async function read(
  change: (file: { tap: Probe["tap"]; passport: Passport } & Record<string, unknown>) => void = () => {},
  other: LoadedModel = model.loaded,
): Promise<unknown> {
  const at = join(folder, "probe");
  await saveProbe(at, saved.probe, saved.passport);
  const file = JSON.parse(await readFile(join(at, "probe.json"), "utf8"));
  change(file);
  await writeFile(join(at, "probe.json"), JSON.stringify(file));
  const engine = createEngine(other);
  return loadProven(at, engine, precisionOf(other.weights)).finally(() => engine.close());
}

/** The model's folder with a file of it changed. */
async function withFile(name: string, change: (text: string) => string): Promise<LoadedModel> {
  const at = join(folder, `model-${name}`);
  await cp(join(fixture, "base"), at, { recursive: true });
  await writeFile(join(at, name), change((await readText(join(at, name)))!));
  return (await openModel(at)).loaded;
}

const tokenizer = (
  change: (json: { model: { vocab: Record<string, number> }; [key: string]: unknown }) => void,
) =>
  withFile("tokenizer.json", (text) => {
    const json = JSON.parse(text);
    change(json);
    return JSON.stringify(json);
  });

describe("a probe that would be read elsewhere is refused", () => {
  const elsewhere: [string, RegExp, () => Promise<unknown>][] = [
    [
      "at other positions",
      /the positions was completion, and is completion-last/,
      () => read(({ tap }) => Object.assign(tap, { positions: "completion-last" })),
    ],
    [
      "at other positions, by a passport that was edited along",
      /had the logit .* the model's weights are the same, so that the reading differs/,
      () =>
        read(({ tap, passport }) => {
          Object.assign(tap, { positions: "completion-first" });
          Object.assign(passport.read, { positions: "completion-first" });
        }),
    ],
    [
      "two tokens later",
      /had the logit/,
      () =>
        read(({ passport }) => {
          for (const one of passport.examples) {
            one.promptLength += 2;
            delete one.prompt;
            delete one.completion;
          }
        }),
    ],
    [
      "a layer later",
      /the layer was blocks\.0\.hook_resid_post, and is blocks\.1\.hook_resid_post/,
      () => read(({ tap }) => Object.assign(tap, { hook: "blocks.1.hook_resid_post" })),
    ],
    [
      "a layer later, by a passport that was edited along",
      /had the logit/,
      () =>
        read(({ tap, passport }) => {
          Object.assign(tap, { hook: "blocks.1.hook_resid_post" });
          Object.assign(passport.read, { hook: "blocks.1.hook_resid_post" });
        }),
    ],
    [
      "before the MLP and not after it",
      /the layer was/,
      () => read(({ tap }) => Object.assign(tap, { hook: "blocks.0.hook_resid_mid" })),
    ],
    [
      "with another pooling",
      /the pooling was mean, and is max/,
      () => read(({ tap }) => Object.assign(tap, { pool: "max" })),
    ],
    [
      "at another threshold",
      /the threshold was/,
      () =>
        read((file) => {
          file.threshold = 0;
        }),
    ],
    [
      "with another bias",
      /had the logit/,
      () =>
        read((file) => {
          file.bias = (file.bias as number) + 0.5;
        }),
    ],
    [
      "of weights in float16",
      /the precision of the weights was float32, and is float16/,
      () => read(undefined, roundedTo(model.loaded, "float16")),
    ],
    [
      "of weights in bfloat16",
      /the precision of the weights was float32, and is bfloat16/,
      () => read(undefined, roundedTo(model.loaded, "bfloat16")),
    ],
    [
      "of weights that were trained on",
      /the model's weights are others/,
      async () => read(undefined, await loadChanged(join(fixture, "adapter"), model.loaded)),
    ],
    [
      "with another chat template",
      /the chat template was/,
      async () =>
        read(
          undefined,
          await withFile("chat_template.jinja", (text) => text.replace("':'", "'?:'").replace(":{%", "?:{%")),
        ),
    ],
    [
      "with two tokens of the tokenizer exchanged",
      /the tokenizer was/,
      async () =>
        read(
          undefined,
          await tokenizer(({ model: { vocab } }) => {
            [vocab.a, vocab.b] = [vocab.b!, vocab.a!];
          }),
        ),
    ],
    [
      "behind a first token that was not there",
      /the tokenizer was/,
      async () =>
        read(
          undefined,
          await tokenizer((json) => {
            json.post_processor = {
              type: "TemplateProcessing",
              single: [{ SpecialToken: { id: "<e>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
              pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
              special_tokens: { "<e>": { id: "<e>", ids: [0], tokens: ["<e>"] } },
            };
          }),
        ),
    ],
  ];

  it.each(elsewhere)("%s", async (_, message, load) => {
    await expect(load()).rejects.toThrow(UsageError);
    await expect(load()).rejects.toThrow(message);
    await expect(load()).rejects.toThrow(/would be read elsewhere than where it was fitted/);
  });
});

describe("a probe that is read where it was fitted", () => {
  it("is let through: at 100 places, from copies, with other memory, beside an adapter", async () => {
    const copy = join(folder, "copy");
    await cp(join(fixture, "base"), copy, { recursive: true });
    const others = [
      model,
      await openModel(copy),
      await openModel(copy, 1),
      { ...model, engine: model.engine.with({ memoryMB: 4000 }) },
      { ...model, engine: model.engine.with({ adapter: { rank: 2, alpha: 4, targets: ["q_proj"] } }) },
    ];
    const { hooks } = model.engine.model;
    const positions = ["completion", "completion-last"] as const;
    const read = await readPooled(model.engine, hooks, positions, examples.slice(0, 60));
    const none = {
      auroc: null,
      aurocInterval: null,
      tpr: null,
      tprInterval: null,
      fpr: null,
      fprInterval: null,
    };
    const labels = examples.slice(0, 60).map(({ label }) => label);
    let sound = 0;
    for (const hook of hooks)
      for (const at of positions) {
        const set = { activations_ND: read[`${hook} ${at}`]!, labels };
        const tap = { hook, positions: at, pool: "mean" } as const;
        const probe = fitProbe("difference-of-means", set, tap, { random: randomFor("sound") });
        // The logits of the fit, and not those of a read.
        const passport = await makePassport(probe, model.engine, {
          ...{ fitted: saved.passport.fitted, controls: saved.passport.controls },
          rates: { ...none, falsePositiveRate: 0.1 },
          precision: model.precision,
          examples: examples
            .slice(0, 60)
            .map((one, i) => ({ ...one, logit: logit(probe, set.activations_ND[i]!) })),
        });
        const folderOfIt = join(folder, "sound");
        await saveProbe(folderOfIt, probe, passport);
        for (const { engine, precision } of others) {
          expect((await loadProven(folderOfIt, engine, precision)).warnings).toEqual([]);
          sound++;
        }
      }
    expect(sound).toBe(100);
  });

  it("has in its passport what a reader wants to know, and comes back whole", async () => {
    const at = join(folder, "whole");
    await saveProbe(at, saved.probe, saved.passport);
    expect(await loadProbeFile(at)).toEqual(saved);
    const { rates, controls, examples: stored, model: of } = saved.passport;
    expect(rates.aurocInterval![0]).toBeLessThanOrEqual(rates.auroc!);
    expect(controls.shuffledLabels!.mean).toBeLessThan(rates.auroc!);
    expect(controls.withinLength).toBeGreaterThan(0.8);
    expect(of).toMatchObject({ name: "base", precision: "float32", layers: 2, width: 32 });
    expect(stored).toHaveLength(8);
    for (const one of stored) expect(one).toMatchObject({ prompt: "?:", promptLength: 2 });
  });

  it("is taken without a passport, with a warning", async () => {
    const at = join(folder, "old");
    await saveProbe(at, saved.probe);
    const { probe, passport, warnings } = await loadProven(at, model.engine);
    expect(probe).toEqual(saved.probe);
    expect(passport).toBeUndefined();
    expect(warnings.join()).toMatch(/has no passport/);
  });
});

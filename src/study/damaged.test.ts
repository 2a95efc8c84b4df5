/** @file Studies with files that are damaged, foreign, half-written or of another version: named, with what to do, and left as they are. */

import {
  appendFile,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { leftIn } from "../../test/left.ts";
import { tinyConfig, tinyEnvironment, tinyModel } from "../../test/tiny.ts";
import { runTinyStudy, tinySettings } from "../../test/tiny-study.ts";
import type { Environment } from "../environment/types.ts";
import { UsageError } from "../errors.ts";
import { loadModel, saveModel } from "../model/index.ts";
import { encodeSafetensors } from "../tensor/index.ts";
import { runStudy, withTrainer } from "./study.ts";

const tinyModule = fileURLToPath(new URL("../../test/tiny-environment.ts", import.meta.url));
const settings = tinySettings({ arms: ["none"], training: { ...tinySettings().training, steps: 4 } });
const longer = tinySettings({ arms: ["none"], seeds: 2, training: { ...tinySettings().training, steps: 4 } });
const run = "runs/none/seed-1";
const checkpoint = `${run}/checkpoints/step-000004`;

let place: string;
let finished: string;
let folder: string;
let whole: Record<string, string>;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-damaged-"));
  finished = join(place, "finished");
  await runTinyStudy(finished, settings);
  whole = await leftIn(finished);
  folder = join(place, "study");
  await cp(finished, folder, { recursive: true });
}, 60_000);
afterEach(async () => {
  await rm(folder, { recursive: true });
  await cp(finished, folder, { recursive: true });
});
afterAll(() => rm(place, { recursive: true }));

const change = async (name: string, edit: (document: Record<string, never>) => unknown) => {
  const document = JSON.parse(await readFile(join(folder, name), "utf8"));
  edit(document);
  await writeFile(join(folder, name), JSON.stringify(document));
};
/** The run is to be gone on with: its checkpoint, and what was written up to it, are read. */
const interrupted = () =>
  change(`${run}/status.json`, (status) => Object.assign(status, { state: "running" }));

/** The same command is refused by this message, and the file is left as it was. */
async function expectRefused(name: string, message: RegExp) {
  const before = await readFile(join(folder, name));
  await expect(runTinyStudy(folder, settings)).rejects.toThrow(message);
  await expect(runTinyStudy(folder, settings)).rejects.toThrow(name);
  expect(await readFile(join(folder, name))).toEqual(before);
}

describe("what is not the study's own", () => {
  it("lies beside checkpoints, and stays", async () => {
    const notes = join(folder, run, "checkpoints/notes.txt");
    const copy = join(folder, run, "checkpoints/step-000002.backup");
    await writeFile(notes, "mine");
    await cp(join(folder, checkpoint), copy, { recursive: true });
    await mkdir(join(folder, run, "checkpoints/step-000002"));
    await interrupted();
    await runTinyStudy(folder, settings);
    expect((await readdir(join(folder, run, "checkpoints"))).sort()).toEqual([
      "notes.txt",
      "step-000002.backup",
      "step-000004",
    ]);
  });

  it.each([`${run}/checkpoints`, `${run}/metrics.jsonl`, "probes"])(
    "lies where %s leads to by a link, and is not touched",
    async (name) => {
      const elsewhere = join(place, `elsewhere ${name.replaceAll("/", " ")}`);
      await rename(join(folder, name), elsewhere);
      await symlink(elsewhere, join(folder, name));
      await interrupted();
      const before = [await leftIn(folder), await stat(elsewhere)];
      const going = runTinyStudy(folder, settings);
      await expect(going).rejects.toThrow(UsageError);
      await expect(going).rejects.toThrow(`${name} is a link`);
      expect([await leftIn(folder), await stat(elsewhere)]).toEqual(before);
    },
  );
});

describe("a document that is not what it should be", () => {
  it.each(["study.json", "base.json", "summary.json", `${run}/status.json`, "probes/initial/probe.json"])(
    "%s",
    async (name) => {
      for (const content of ["", "{", '{"mine": 1}', "[]", "null", "\0\0\0\0"]) {
        await writeFile(join(folder, name), content);
        const remedy = /move it away and run the command again|fit the probe again/;
        await expectRefused(name, remedy);
      }
    },
    30_000,
  );

  it("of a newer version", async () => {
    await change("study.json", (document) => Object.assign(document, { version: 2 }));
    await expectRefused("study.json", /newer version of probeward; update it, or give another --out/);
    await expect(runTinyStudy(folder, settings)).rejects.toThrow(UsageError);
  });

  it("of another study", async () => {
    await change("base.json", (base: { tracer?: { sequences: { tokens: number[] }[] } }) => {
      base.tracer!.sequences[0]!.tokens[0] = 999;
    });
    await expectRefused(
      "base.json",
      /not of this study's model.*Delete .*base\.json and run the same command/s,
    );
  });
});

it("a forecast that is damaged", async () => {
  const foretold = join(place, "foretold");
  const settingsOf = { ...settings, arms: ["none"], forecast: true };
  await mkdir(foretold);
  const path = join(foretold, "forecast.json");
  for (const content of ["{", JSON.stringify({ version: 1, arms: { none: { recall: 1 } } })]) {
    await writeFile(path, content);
    await expect(runTinyStudy(foretold, settingsOf)).rejects.toThrow("forecast.json");
    expect(await readFile(path, "utf8")).toBe(content);
  }
});

describe("lines", () => {
  it.each([
    ["metrics.jsonl", "nonsense\n"],
    ["metrics.jsonl", '{"step":"four"}\n'],
    ["metrics.jsonl", '{"step":4,"kl":1e999}\n'],
    ["metrics.jsonl", '{"step":0}\n'],
    ["rollouts.jsonl", "{}\n"],
    ["rollouts.jsonl", "\0\0\0\n"],
  ])("%s with %j", async (name, line) => {
    await interrupted();
    await appendFile(join(folder, run, name), line);
    await expectRefused(`${run}/${name}`, /line \d+ is wrong: .*delete the run's folder to run it again/s);
  });

  it("that are gone, of a run that is done or not", async () => {
    for (const prepare of [async () => {}, interrupted]) {
      await prepare();
      await writeFile(join(folder, run, "metrics.jsonl"), '{"step":0}\n{"step":1}\n');
      await expectRefused(
        `${run}/metrics.jsonl`,
        /lacks step 2 of the 4 that were done.*delete the run's folder/s,
      );
    }
  });

  it("that a kill left half-written are dropped, and so are documents and checkpoints", async () => {
    await interrupted();
    for (const name of ["metrics.jsonl", "rollouts.jsonl"])
      await appendFile(join(folder, run, name), '{"step":4,"x');
    for (const name of ["study.json", "base.json", "summary.json", `${run}/status.json`])
      await writeFile(join(folder, `${name}.partial`), '{"version":');
    await mkdir(join(folder, run, "checkpoints/step-000006.partial"));
    await writeFile(join(folder, run, "checkpoints/step-000006.partial/model.safetensors"), "half");
    await mkdir(join(folder, run, "checkpoints/step-000002"));
    await runTinyStudy(folder, settings);
    const left = await leftIn(folder);
    // It is only ever replaced, never read: a study that is done does not write it again.
    delete left["base.json.partial"];
    expect(left).toEqual(whole);
  });
});

describe("a checkpoint", () => {
  it.each(["model.safetensors", "optimizer.safetensors"])(
    "with a flipped bit, or the end missing: %s",
    async (name) => {
      await interrupted();
      const path = join(folder, checkpoint, name);
      const bytes = await readFile(path);
      bytes[bytes.length - 5]! ^= 1;
      await writeFile(path, bytes);
      await expectRefused(`${checkpoint}/${name}`, /is damaged: its checksum.*Delete the run's folder/s);
      await truncate(path, 100);
      await expectRefused(`${checkpoint}/${name}`, /is damaged: its checksum/);
    },
  );

  it("whose probe, fitted again on the policy, is another one", async () => {
    const refitting = tinySettings({ ...settings, arms: ["probe-penalty-refit"] });
    const other = join(place, "refitting");
    await runTinyStudy(other, refitting);
    const its = join(other, "runs/probe-penalty-refit/seed-1");
    const status = JSON.parse(await readFile(join(its, "status.json"), "utf8"));
    await writeFile(join(its, "status.json"), JSON.stringify({ ...status, state: "running" }));
    const [step] = await readdir(join(its, "checkpoints"));
    const path = join(its, "checkpoints", step!, "probe", "probe.json");
    const document = JSON.parse(await readFile(path, "utf8"));
    await writeFile(path, JSON.stringify({ ...document, threshold: document.threshold + 1 }));
    await expect(runTinyStudy(other, refitting)).rejects.toThrow(/probe\.json is damaged: its checksum/);
    await rm(other, { recursive: true });
  });

  it("of another step, or without its document", async () => {
    await interrupted();
    await change(`${checkpoint}/checkpoint.json`, (document) =>
      Object.assign(document, { step: 3, updates: 3 }),
    );
    await expectRefused(`${checkpoint}/checkpoint.json`, /says step 3 after 3 updates, which cannot be/);
    await rm(join(folder, checkpoint, "checkpoint.json"));
    await expect(runTinyStudy(folder, settings)).rejects.toThrow(
      /checkpoint\.json is absent. Delete the run's folder/,
    );
  });
});

describe("a base model", () => {
  const reference = tinyModel.weights;
  const model = () => join(place, "model");
  const study = (out: string) =>
    runStudy(out, { ...settings, model: model() }, () => {}, {
      environment: tinyEnvironment() as Environment,
    });
  const out = () => join(place, "out");
  afterEach(() => rm(out(), { recursive: true, force: true }));

  it("that is truncated, foreign, or of other shapes", async () => {
    const path = join(model(), "model.safetensors");
    const { "embed.W_E": embedding, ...others } = reference;
    const cases: [Uint8Array, RegExp][] = [
      [
        encodeSafetensors(reference).subarray(0, 5000),
        /is not a whole safetensors file.*Copy or make it again/s,
      ],
      [Buffer.from("PK\u0003\u0004 a zip, or a pickle"), /is not a whole safetensors file/],
      [encodeSafetensors(others), /lacks the tensor embed\.W_E/],
      [
        encodeSafetensors({ ...reference, "lm_head.weight": embedding! }),
        /has no place for: lm_head\.weight/,
      ],
      [
        encodeSafetensors({ ...reference, "embed.W_E": { shape: [1], data: Float32Array.of(1) } }),
        /its configuration wants \[6,16\]/,
      ],
    ];
    await saveModel(model(), { config: tinyConfig, weights: reference });
    for (const [bytes, message] of cases) {
      await writeFile(path, bytes);
      await expect(study(out())).rejects.toThrow(message);
      await expect(study(out())).rejects.toThrow(path);
      // Nothing was begun.
      await expect(stat(out())).rejects.toThrow("ENOENT");
    }
  });

  it("whose vocabulary, or whose context, is too small for the environment", async () => {
    for (const [changed, message] of [
      [
        { ...tinyConfig, alphabet: "abc?!" },
        /cannot write "x", which the environment tiny needs; pretrain one for it/,
      ],
      [{ ...tinyConfig, context: 6 }, /reads 6 tokens, and not the 7 which the environment/],
    ] as const) {
      const shape = "context" in changed && changed.context === 6 ? [6, 16] : undefined;
      const weights = shape
        ? {
            ...reference,
            "pos_embed.W_pos": { dtype: "float32" as const, shape, data: new Float32Array(96) },
          }
        : reference;
      await saveModel(model(), { config: changed, weights });
      await expect(study(out())).rejects.toThrow(message);
      await expect(study(out())).rejects.toThrow(UsageError);
    }
  });

  it("that is another one than the study was begun with", async () => {
    await saveModel(model(), { config: tinyConfig, weights: reference });
    await study(out());
    const before = await leftIn(out());
    const { weights } = await loadModel(model());
    weights["embed.W_E"]!.data[0]! += 1;
    await saveModel(model(), { config: tinyConfig, weights });
    await expect(study(out())).rejects.toThrow(
      /holds a study of another base model.*Put the old model back/s,
    );
    expect(await leftIn(out())).toEqual(before);
  }, 20_000);
});

describe("a user's environment", () => {
  const out = () => join(place, "own");
  const path = () => join(place, "mine.ts");
  const source = (name: string) => `import create from ${JSON.stringify(tinyModule)};
export default () => ({ ...create(), name: "${name}" });
`;
  const own = async () => {
    await saveModel(join(place, "own-model"), { config: tinyConfig, weights: tinyModel.weights });
    return { ...settings, environment: path(), model: join(place, "own-model") };
  };

  it("that was edited since the study was begun", async () => {
    await writeFile(path(), source("mine"));
    const mine = await own();
    await runStudy(out(), mine);
    const before = await leftIn(out());
    await writeFile(path(), `${source("mine")}// Graded otherwise.\n`);
    await expect(runStudy(out(), mine)).rejects.toThrow(UsageError);
    await expect(runStudy(out(), mine)).rejects.toThrow(
      /mine\.ts was edited since the study in .*own was begun.*Put the file back as it was/,
    );
    // Nor does a task of a launched study train on it.
    const train = withTrainer(
      out(),
      () => {},
      undefined,
      (train) => train(["none/seed-1"]),
    );
    await expect(train).rejects.toThrow(/mine\.ts was edited/);
    expect(await leftIn(out())).toEqual(before);
    await writeFile(path(), source("mine"));
    await runStudy(out(), mine);
    expect(await leftIn(out())).toEqual(before);
  }, 60_000);
});

it("a study that is gone on with elsewhere says what has changed, and adds the new seeds", async () => {
  await change("study.json", (document: { machine?: object; versions?: object }) => {
    Object.assign(document.machine!, { cores: 77 });
    Object.assign(document.versions!, { "onnxruntime-node": "0.0.1" });
  });
  const warnings: string[] = [];
  const summary = await runTinyStudy(folder, longer, (event) => {
    if (event.kind === "warning") warnings.push(event.detail);
  });
  expect(warnings.join()).toMatch(
    /may not repeat exactly: cores was 77, and is \d+; onnxruntime-node was 0\.0\.1/,
  );
  expect(summary.arms.none!.runs.map(({ seed }) => seed)).toEqual([1, 2]);
}, 20_000);

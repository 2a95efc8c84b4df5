/** @file Whatever is in a file, its reader gives what it should be or an error that names the file: no crash, no hang, no flood. */

import { cp, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openStudy, readRecordedRun } from "../src/export/read.ts";
import { loadModel, saveModel } from "../src/model/index.ts";
import { loadProbe } from "../src/probe/index.ts";
import { randomFor } from "../src/random.ts";
import { loadStudy, renderReport } from "../src/report/index.ts";
import { listStudy } from "../src/serve/listing.ts";
import { linesBefore, parseMetrics, parseRollout } from "../src/store/index.ts";
import { loadCheckpoint } from "../src/study/checkpoint.ts";
import { readStudy } from "../src/study/index.ts";

import { readSafetensors } from "../src/tensor/index.ts";
import { startPolicy } from "../src/training/index.ts";
import { expectClear, fuzz, tried } from "./fuzz.ts";
import { mutate } from "./mutate.ts";
import { tinyConfig, tinyContext, tinyModel } from "./tiny.ts";
import { runTinyStudy, tinySettings } from "./tiny-study.ts";

let place: string;
/** A finished study, which is put back after every damage. */
let study: string;
const settings = tinySettings({ arms: ["none"], training: { ...tinySettings().training, steps: 4 } });

beforeAll(async () => {
  place = await realpath(await mkdtemp(join(tmpdir(), "probeward-fuzz-")));
  study = join(place, "study");
  await runTinyStudy(study, settings);
  await saveModel(join(place, "model"), { config: tinyConfig, weights: tinyModel.weights });
}, 60_000);
afterAll(() => rm(place, { recursive: true }));

const run = () => join(study, "runs", "none", "seed-1");
const checkpoint = () => join(run(), "checkpoints", "step-000004");

describe("the readers of", () => {
  it("safetensors", async () => {
    const path = join(place, "model", "model.safetensors");
    await fuzz("safetensors", path, 2000, async () => {
      for (const { shape, data } of Object.values((await readSafetensors(path)).tensors))
        if (data.length !== shape.reduce((a, b) => a * b, 1))
          throw new RangeError("not as long as its shape");
    });
    await fuzz("a model's weights", path, 300, () => loadModel(join(place, "model")));
    await fuzz(
      "a model's settings",
      join(place, "model", "config.json"),
      500,
      () => loadModel(join(place, "model")),
      place,
    );
  }, 120_000);

  it("study files", async () => {
    const path = join(place, "study.yaml");
    await writeFile(path, await readFile(new URL("../studies/code.yaml", import.meta.url)));
    await fuzz("study files", path, 1500, () => readStudy(path));
    // An alias bomb: nine lines that would be a thousand million words.
    const bomb = Array.from({ length: 9 }, (_, i) => {
      const inner = i === 0 ? "lol" : `*a${i - 1}`;
      return `a${i}: &a${i} [${Array(10).fill(inner).join(", ")}]`;
    });
    const bombed = join(place, "bomb.yaml");
    await writeFile(bombed, bomb.join("\n"));
    await expect(readStudy(bombed)).rejects.toThrow(bombed);
    await fuzz("quick study files", path, 500, () => readStudy(path, { quick: true, steps: 3 }));
  }, 120_000);

  it("what runs go on from", async () => {
    const context = tinyContext({ settings: settings.training });
    const resume = async () => loadCheckpoint(run(), context, await startPolicy(context));
    for (const name of ["checkpoint.json", "model.safetensors", "optimizer.safetensors"])
      await fuzz(`checkpoints: ${name}`, join(checkpoint(), name), 400, resume, checkpoint());
    for (const [name, parse] of [
      ["metrics.jsonl", parseMetrics],
      ["rollouts.jsonl", parseRollout],
    ] as const) {
      const path = join(run(), name);
      await fuzz(`resumed: ${name}`, path, 500, () => linesBefore<{ step: number }>(path, parse, 3));
    }
    for (const name of ["probe.json", "probe.safetensors"]) {
      const folder = join(study, "probes", "initial");
      await fuzz(`probes: ${name}`, join(folder, name), 400, () => loadProbe(folder), folder);
    }
  }, 120_000);

  it("what is shown, served and exported", async () => {
    const show = async () => {
      await listStudy(".", study, study, Date.now());
      const data = await loadStudy(study);
      const page = await renderReport(data);
      // What the file says must not end the element that it stands in.
      expect(page.split("</script>").length).toBe(pageScripts);
      JSON.stringify(data);
      const recorded = await openStudy(study, () => {});
      for (const each of recorded.runs) await readRecordedRun(recorded, each);
    };
    const pageScripts = (await renderReport(await loadStudy(study))).split("</script>").length;
    const files = ["study.json", "summary.json"].map((name) => join(study, name));
    const ofRun = ["status.json", "metrics.jsonl", "rollouts.jsonl"].map((name) => join(run(), name));
    for (const path of [...files, ...ofRun])
      await fuzz(`shown: ${path.slice(study.length + 1)}`, path, 480, show, study);
  }, 180_000);
});

describe("the same command on a damaged study", () => {
  it("ends as it should or names what is damaged, and leaves that as it was", async () => {
    const files = (await readdir(study, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile() && !entry.name.startsWith("report"))
      .map((entry) => join(entry.parentPath, entry.name).slice(study.length + 1));
    const kept = join(place, "kept");
    await cp(study, kept, { recursive: true });
    const random = randomFor("fuzz", "resume");
    let refused = 0;
    const inputs = 25;
    for (const name of files)
      for (let i = 0; i < inputs; i++) {
        const { how, bytes } = mutate(name, await readFile(join(kept, name)), random);
        await writeFile(join(study, name), bytes);
        try {
          await runTinyStudy(study, settings);
        } catch (error) {
          refused++;
          expectClear(error, study, `${name}: ${how}`);
          // A summary that is written anew, and a run's own note of how it went, are not what was damaged.
          if (!/status\.json$|summary\.json$|study\.json$/.test(name))
            expect((await readFile(join(study, name))).equals(bytes), `${name}: ${how}`).toBe(true);
        }
        await rm(study, { recursive: true });
        await cp(kept, study, { recursive: true });
      }
    tried["the same command"] = { inputs: inputs * files.length, refused };
    expect(refused).toBeGreaterThan(inputs);
  }, 240_000);

  it("after all of this, at least 10,000 inputs were tried, beside those of fuzz-models.test.ts and safetensors.test.ts", () => {
    const total = Object.values(tried).reduce((sum, { inputs }) => sum + inputs, 0);
    const refused = Object.values(tried).reduce((sum, one) => sum + one.refused, 0);
    console.log(`${total} inputs, ${refused} refused:\n${JSON.stringify(tried, null, 1)}`);
    expect(total).toBeGreaterThanOrEqual(10_000);
    expect(refused).toBeGreaterThan(total / 3);
  });
});

/**
 * @file The audit on changes whose verdict is known: node bench/audit-planted.js [edits of a kind and model] [no-ops of a model].
 * Planted edits (bias, scale, rotation, erasure) of the embedded models and of a random Llama; no-ops. Prints a table, and a line of
 * JSON for each change to the file that PLANTED_OUT names. PLANTED_ONLY names one of the models.
 */

import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createJiti } from "jiti";

const jiti = createJiti(import.meta.url);
const { judge, moveOf, ruleOf } = await jiti.import("../src/audit/index.ts");
const { createEngine } = await jiti.import("../src/engine/index.ts");
const { loadModel } = await jiti.import("../src/model/index.ts");
const { noOpsOf } = await jiti.import("../src/prepare/changed.ts");
const { comparedAt, readExamples } = await jiti.import("../src/prepare/audit-read.ts");
const { readLabelledFile } = await jiti.import("../src/prepare/labelled-file.ts");
const { fitOnExamples, splitExamples } = await jiti.import("../src/prepare/probe-fit.ts");
const { halvesOf, rows } = await jiti.import("../src/probe/index.ts");
const { randomFor, shuffled } = await jiti.import("../src/random.ts");
const planted = await jiti.import("../test/planted.ts");

const [EDITS = 14, NO_OPS = 10] = process.argv.slice(2).map(Number);
const ERASE_ROUNDS = 10;
const expected = {
  bias: "translated",
  scale: "scaled",
  rotation: "rotated",
  erasure: "erased",
  "no-op": "intact",
};

async function subjects() {
  const shipped = async (name) => loadModel(new URL(`../models/${name}`, import.meta.url).pathname);
  const code = await shipped("code");
  return [
    { name: "code", model: code, texts: "code", layers: [0, 1, 2, 3] },
    { name: "facts", model: await shipped("facts"), texts: "facts", layers: [3] },
    { name: "tiny Llama", model: planted.randomLlama(code.tokenizer), texts: "marks", layers: [0, 1, 2] },
  ];
}

async function labelled(texts, count, seed, engine) {
  const folder = mkdtempSync(join(tmpdir(), "planted-"));
  const path = join(folder, "labelled.jsonl");
  writeFileSync(
    path,
    (await planted.linesOf(texts, count, seed)).map((one) => `${JSON.stringify(one)}\n`).join(""),
  );
  const examples = await readLabelledFile(path, engine);
  rmSync(folder, { recursive: true });
  return examples;
}

/** Activations at single tokens. */
async function rowsOf(model, hook, sequences) {
  const engine = createEngine(model);
  const reads = [{ as: "rows", hook, positions: "completion" }];
  const outputs = await engine.reference.forward(sequences, { reads });
  await engine.close();
  const D = engine.model.width;
  return outputs.flatMap(({ reads: [all] }) =>
    Array.from({ length: all.length / D }, (_, t) => Float64Array.from(all.subarray(t * D, (t + 1) * D))),
  );
}

const counts = {};
for (const { name, model, texts, layers } of await subjects()) {
  if (process.env.PLANTED_ONLY && process.env.PLANTED_ONLY !== name) continue;
  const engine = createEngine(model);
  const examples = await labelled(texts, 200, "audit", engine);
  const others = await labelled(texts, 200, "erase", engine);
  for (const layer of layers) {
    const hook = `blocks.${layer}.hook_resid_post`;
    const { probe, report } = await fitOnExamples(examples, engine, {
      ...{ hooks: [hook], positions: ["completion"], falsePositiveRate: 0.05, seed: 1 },
    });
    const { examples: grouped, splits } = splitExamples(examples, 1);
    const set = {
      labels: examples.map(({ label }) => label),
      groups: grouped.map(({ group }) => group),
      folds: [{ fit: splits.fit, calibrate: splits.calibration, judge: splits.test }],
      falsePositiveRate: 0.05,
    };
    const key = `${hook} completion`;
    const before = await readExamples(engine, probe, [], examples);
    console.error(
      `${name}, layer ${layer}: AUROC ${report.test.auroc?.toFixed(3)}, recall ${report.test.tpr?.toFixed(2)}`,
    );
    // What was planted may not be what took: other examples, all of them judged, say what the edit did.
    const otherSet = {
      labels: others.map(({ label }) => label),
      groups: others.map(({ group }) => group),
      folds: halvesOf(others.map(({ group }) => group)),
      falsePositiveRate: 0.05,
    };
    const otherBefore = await readExamples(engine, probe, [], others);
    const tookAs = async (changed) => {
      const after = await readExamples(changed, probe, [], others);
      const { judged } = comparedAt(
        ...[probe, otherSet, { before: otherBefore.logits, after: after.logits }],
        { before: otherBefore.means[key], after: after.means[key] },
      );
      return ruleOf(moveOf(judged));
    };
    const tell = async (kind, changed, about) => {
      const after = await readExamples(changed, probe, [], examples);
      const took = await tookAs(changed);
      const { judged } = comparedAt(...[probe, set, { before: before.logits, after: after.logits }], {
        before: before.means[key],
        after: after.means[key],
      });
      const { verdict, rule, support, measures } = judge(judged, randomFor(1, "audit"), 200);
      await changed.close();
      counts[`${name}, ${kind}`] ??= {};
      const row = counts[`${name}, ${kind}`];
      row[verdict] = (row[verdict] ?? 0) + 1;
      if (took === expected[kind]) {
        row.took = (row.took ?? 0) + 1;
        if (verdict === took) row.told = (row.told ?? 0) + 1;
      }
      if (process.env.PLANTED_OUT)
        appendFileSync(
          process.env.PLANTED_OUT,
          `${JSON.stringify({ model: name, layer, kind, ...about, took, verdict, rule, support, measures })}\n`,
        );
    };
    const share = (all) => Math.ceil(all / layers.length);
    const meansOf = async (changed) => ({
      activations_ND: (await readExamples(changed, probe, [], others)).means[key],
      labels: others.map(({ label }) => label),
    });
    const D = probe.weight_D.length;
    const u = planted.directionOf(probe);
    const difference = planted.meanDifference(
      rows({ activations_ND: before.means[key], labels: set.labels }, splits.fit),
    );
    const fitLogits = splits.fit.map((i) => before.logits[i]);
    const deviation = planted.deviationWithin(
      fitLogits,
      splits.fit.map((i) => set.labels[i]),
    );
    const norm = Math.hypot(...probe.weight_D);
    const none = planted.identity(D);
    let erased = none;
    for (let i = 0; i < share(EDITS); i++) {
      const random = randomFor("planted", name, layer, i);
      const within = (low, high) => low + (high - low) * random();
      // Until those that the threshold told from the others lie beyond it, and one or two deviations more.
      const side = random() < 0.5;
      const centre = planted.meanOf(fitLogits.filter((_, k) => set.labels[splits.fit[k]] === side));
      const shift = probe.threshold - centre + (side ? -1 : 1) * within(1.5, 2.5) * deviation;
      const along = u.map((x) => (x * shift) / norm);
      const q = planted.randomOrthogonal([u], D, random);
      const biased = model.config.architecture.startsWith("probeward")
        ? await planted.biased(model, layer, u, shift / norm, q, (one, hook) =>
            rowsOf(one, hook, examples.slice(0, 40)),
          )
        : planted.withStream(model, { A: none, shift: along }, layer);
      await tell("bias", createEngine(biased), { shift });
      const factor = within(3, 6) ** (random() < 0.5 ? -1 : 1);
      await tell(
        "scale",
        createEngine(
          planted.withStream(
            model,
            { A: planted.scaling(u, factor), inverse: planted.scaling(u, 1 / factor) },
            layer,
          ),
        ),
        { factor },
      );
      const angle = within(87, 93);
      const v = planted.randomOrthogonal([u, difference], D, random);
      const turn = planted.rotation(u, v, (angle * Math.PI) / 180);
      await tell(
        "rotation",
        createEngine(planted.withStream(model, { A: turn, inverse: planted.transposed(turn) }, layer)),
        { angle },
      );
      // What is written after an erasure was computed from less, so that it is erased again.
      // The first is erased until nothing is found; others go on from there with other examples.
      let A = erased;
      for (let round = 0; round < (i === 0 ? ERASE_ROUNDS : 1); round++) {
        const changed = createEngine(planted.withStream(model, { A }, layer));
        const read = await meansOf(changed);
        await changed.close();
        const order = shuffled(
          random,
          others.map((_, k) => k),
        );
        const halves = [order.slice(0, order.length / 2), order.slice(order.length / 2)];
        if (i > 0) A = planted.product(A, planted.erasing(rows(read, order.slice(0, 0.8 * order.length))));
        else if (round > 0 && planted.crossed(read, halves) < 0.58) break;
        else A = planted.product(A, planted.erasingAll(read, halves));
      }
      if (i === 0) erased = A;
      await tell("erasure", createEngine(planted.withStream(model, { A }, layer)), {});
    }
    for (const noOp of noOpsOf({ loaded: model, engine }, share(NO_OPS), layer))
      await tell("no-op", noOp.open().engine, { name: noOp.name });
  }
  await engine.close();
}

const verdicts = ["intact", "translated", "scaled", "rotated", "erased", "undecided"];
console.log(
  `| model, change | ${verdicts.join(" | ")} | told as planted | took | told right of these |\n|---|${"---|".repeat(verdicts.length + 3)}`,
);
for (const [name, row] of Object.entries(counts)) {
  const all = verdicts.reduce((sum, one) => sum + (row[one] ?? 0), 0);
  const cells = verdicts.map((one) => row[one] ?? "").join(" | ");
  const right = row[expected[name.split(", ").at(-1)]] ?? 0;
  console.log(`| ${name} | ${cells} | ${right} of ${all} | ${row.took ?? 0} | ${row.told ?? 0} |`);
}

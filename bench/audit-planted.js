/**
 * @file The audit on changes whose verdict is known: node bench/audit-planted.js [edits of a kind and model] [no-ops of a model].
 * Planted edits (bias, scale, rotation, erasure) of the embedded models and of a random Llama; no-ops. An edit counts where other
 * examples say that it is what it should be. Prints a table, and a line of JSON for each change to the file that PLANTED_OUT names.
 * PLANTED_ONLY names one of the models, PLANTED_KIND a kind, PLANTED_SEED another draw of the edits.
 */

import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createJiti } from "jiti";

const jiti = createJiti(import.meta.url);
const { judge } = await jiti.import("../src/audit/index.ts");
const { createEngine } = await jiti.import("../src/engine/index.ts");
const { loadModel } = await jiti.import("../src/model/index.ts");
const { noOpsOf } = await jiti.import("../src/prepare/changed.ts");
const { comparedAt, readExamples } = await jiti.import("../src/prepare/audit-read.ts");
const { readLabelledFile } = await jiti.import("../src/prepare/labelled-file.ts");
const { fitOnExamples, splitExamples } = await jiti.import("../src/prepare/probe-fit.ts");
const { auroc, rows } = await jiti.import("../src/probe/index.ts");
const { randomFor, shuffled } = await jiti.import("../src/random.ts");
const planted = await jiti.import("../test/planted.ts");

const [EDITS = 14, NO_OPS = 10] = process.argv.slice(2).map(Number);
const SEED = process.env.PLANTED_SEED ?? "counted";
const ERASE_ROUNDS = 4;
/** AUROC that a shift or a scale may cost (half of what the verdict's rule forgives), and share of itself by which it may be off. */
const [SAME_AUROC, OFF] = [0.05, 0.2];
/** Error that a turn may leave, of the variation of activations. */
const MOST_ERROR = 0.05;
/** Examples that an audit of 400 fits a fresh probe on; and share of its AUROC above 0.5 that an erasure may leave to one (a verdict's rule: 0.8). */
const [AS_MANY, ERASED] = [240, 0.6];
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
  const facts = await shipped("facts");
  const llama = planted.randomLlama(code.tokenizer);
  const moves = ["bias", "scale", "rotation", "no-op"];
  // The labels of the embedded models' texts are told by their lengths, too, which no edit hides: erasures are of texts of equal lengths.
  return [
    { name: "code", model: code, texts: "code", layers: [0, 1, 2, 3], kinds: moves },
    { name: "code", model: code, texts: "code", layers: [0, 1, 2, 3], kinds: ["erasure"] },
    { name: "facts", model: facts, texts: "facts", layers: [3], kinds: moves },
    { name: "facts", model: facts, texts: "facts", layers: [3], kinds: ["erasure"] },
    { name: "tiny Llama", model: llama, texts: "marks", layers: [0, 1, 2], kinds: [...moves, "erasure"] },
  ];
}

async function labelled(texts, count, seed, engine, isMatched) {
  const folder = mkdtempSync(join(tmpdir(), "planted-"));
  const path = join(folder, "labelled.jsonl");
  const lines = isMatched
    ? planted.ofEqualLengths(await planted.linesOf(texts, 20 * count, seed), count)
    : await planted.linesOf(texts, count, seed);
  writeFileSync(path, lines.map((one) => `${JSON.stringify(one)}\n`).join(""));
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
for (const { name, model, texts, layers, kinds } of await subjects()) {
  if (process.env.PLANTED_ONLY && process.env.PLANTED_ONLY !== name) continue;
  const plants = (kind) => kinds.includes(kind) && (process.env.PLANTED_KIND ?? kind) === kind;
  if (!kinds.some(plants)) continue;
  const engine = createEngine(model);
  const open = (changed) => createEngine(changed, { programsOf: engine });
  const isMatched = kinds.length === 1;
  const examples = await labelled(texts, 200, "audit", engine, isMatched);
  const others = await labelled(texts, 400, "erase", engine, isMatched);
  const checks = await labelled(texts, 300, "check", engine, isMatched);
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
    // What was planted may not be what it claims to be: examples that nothing else is made of say so, by tighter margins than a verdict's.
    const checked = await readExamples(engine, probe, [], checks);
    const truth = checks.map(({ label }) => label);
    const cut = (2 * checks.length) / 3;
    /** Excess over 0.5 of the AUROC of a probe fitted on so many of them, in the mean of three draws. */
    const fresh = (activations_ND, count) =>
      planted.meanOf(
        [1, 2, 3].map((draw) => {
          const order = shuffled(
            randomFor("checks", draw),
            checks.map((_, i) => i),
          );
          const split = [order.slice(0, count), order.slice(cut)];
          return planted.crossed({ activations_ND, labels: truth }, split) - 0.5;
        }),
      );
    const claims = {
      bias: ({ logits }, { shift }) => [
        auroc(logits, truth) - auroc(checked.logits, truth),
        planted.deviationWithin(logits, truth) / planted.deviationWithin(checked.logits, truth),
        (planted.meanOf(logits) - planted.meanOf(checked.logits)) / shift,
      ],
      scale: ({ logits }, { factor }) => [
        auroc(logits, truth) - auroc(checked.logits, truth),
        planted.deviationWithin(logits, truth) / planted.deviationWithin(checked.logits, truth) / factor,
      ],
      rotation: ({ means }, { A }) => [planted.planError(checked.means[key], means[key], A)],
      erasure: ({ means }) => [
        fresh(means[key], AS_MANY) / fresh(checked.means[key], AS_MANY),
        fresh(means[key], cut),
      ],
      "no-op": () => [],
    };
    const near = (ratio) => Math.abs(ratio - 1) <= OFF;
    const holds = {
      bias: ([lost, spread, moved]) => Math.abs(lost) <= SAME_AUROC && near(spread) && near(moved),
      scale: ([lost, spread]) => Math.abs(lost) <= SAME_AUROC && near(spread),
      rotation: ([error]) => error <= MOST_ERROR,
      erasure: ([left]) => left <= ERASED,
      "no-op": () => true,
    };
    const tell = async (kind, changed, { A, ...about }) => {
      if (!plants(kind)) return changed.close();
      const after = await readExamples(changed, probe, [], examples);
      const claim = claims[kind](await readExamples(changed, probe, [], checks), { A, ...about });
      const { judged } = comparedAt(...[probe, set, { before: before.logits, after: after.logits }], {
        before: before.means[key],
        after: after.means[key],
      });
      const { verdict, rule, votes, measures } = judge(judged, randomFor(1, "audit"), 200);
      await changed.close();
      counts[`${name}, ${kind}`] ??= {};
      const row = counts[`${name}, ${kind}`];
      row[verdict] = (row[verdict] ?? 0) + 1;
      const isAsClaimed = holds[kind](claim);
      if (isAsClaimed) {
        row.valid = (row.valid ?? 0) + 1;
        if (verdict === expected[kind]) row.told = (row.told ?? 0) + 1;
      }
      const line = { model: name, layer, kind, ...about, claim, isAsClaimed, verdict, rule, votes, measures };
      if (process.env.PLANTED_OUT) appendFileSync(process.env.PLANTED_OUT, `${JSON.stringify(line)}\n`);
    };
    // Norms keep edits from being exactly as large as they should be: once more, by what examples say that judge nothing.
    const otherLogits = (await readExamples(engine, probe, [], others)).logits;
    const otherLabels = others.map(({ label }) => label);
    const measured = async (changed, measure) => {
      const trial = open(changed);
      const { logits } = await readExamples(trial, probe, [], others);
      await trial.close();
      return measure(logits, otherLabels) - (measure === planted.meanOf ? planted.meanOf(otherLogits) : 0);
    };
    const biasedBy = async (shift, along, q) => {
      if (!model.config.architecture.startsWith("probeward"))
        return planted.withStream(model, { A: planted.identity(along.length), shift: along }, layer);
      const plant = (size) => planted.biased(model, layer, u, size / norm, q, rowsAt);
      return plant(shift ** 2 / (await measured(await plant(shift), planted.meanOf)));
    };
    const scaledBy = async (factor) => {
      const plant = (size) => {
        const A = planted.scaling(u, size);
        const changed = planted.withStream(model, { A, inverse: planted.scaling(u, 1 / size) }, layer);
        return planted.withNorms(changed, layer, (row) => planted.timesMatrix(row, A), rowsAt);
      };
      const spread = planted.deviationWithin(otherLogits, otherLabels);
      return plant((factor ** 2 * spread) / (await measured(await plant(factor), planted.deviationWithin)));
    };
    const share = (all) => Math.ceil(all / layers.length);
    const meansOf = async (changed) => ({
      activations_ND: (await readExamples(changed, probe, [], others)).means[key],
      labels: others.map(({ label }) => label),
    });
    const D = probe.weight_D.length;
    const none = planted.identity(D);
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
    const tokenRows = {};
    const rowsAt = async (hook) => (tokenRows[hook] ??= await rowsOf(model, hook, examples.slice(0, 60)));
    // Directions in which nothing happens, for constants to be kept in.
    const quiet = planted.leastAlong(await rowsAt(hook), u);
    for (let i = 0; i < share(EDITS); i++) {
      const random = randomFor("planted", SEED, name, layer, i);
      const within = (low, high) => low + (high - low) * random();
      // Until those that the threshold told from the others lie beyond it, and one or two deviations more.
      const side = random() < 0.5;
      const centre = planted.meanOf(fitLogits.filter((_, k) => set.labels[splits.fit[k]] === side));
      const shift = probe.threshold - centre + (side ? -1 : 1) * within(1.5, 2.5) * deviation;
      const along = u.map((x) => (x * shift) / norm);
      if (plants("bias")) await tell("bias", open(await biasedBy(shift, along, quiet[i % 4])), { shift });
      const factor = within(3, 6) ** (random() < 0.5 ? -1 : 1);
      if (plants("scale")) await tell("scale", open(await scaledBy(factor)), { factor });
      const angle = within(87, 93);
      const v = planted.randomOrthogonal([u, difference], D, random);
      const A90 = planted.rotation(u, v, (angle * Math.PI) / 180);
      const turn = { A: A90, inverse: planted.transposed(A90) };
      await tell("rotation", open(planted.withStream(model, turn, layer)), { angle, A: A90 });
      // Tokens are made to look alike, all of them or in two sorts drawn at random. What probes still find is projected out, again and
      // again: what is written after that was computed from less.
      const sorts = 1 + (i % 2);
      const base = planted.blurred(model, sorts, random);
      let E = none;
      for (let round = 0; round < ERASE_ROUNDS && plants("erasure"); round++) {
        const changed = open(planted.withStream(base, { A: E }, layer));
        const read = await meansOf(changed);
        await changed.close();
        const order = shuffled(
          random,
          others.map((_, k) => k),
        );
        // What was found and what is left are told by other examples.
        const [erasing, telling] = [order.slice(0, order.length / 2), order.slice(order.length / 2)];
        if (planted.crossed(read, [telling.slice(0, AS_MANY), telling.slice(AS_MANY)]) < 0.62) break;
        const own = erasing.map((_, k) => k);
        const halves = [own.slice(0, own.length / 2), own.slice(own.length / 2)];
        E = planted.product(E, planted.erasingAll(rows(read, erasing), halves));
      }
      await tell("erasure", open(planted.withStream(base, { A: E }, layer)), { sorts });
    }
    for (const noOp of noOpsOf({ loaded: model, engine }, plants("no-op") ? share(NO_OPS) : 0, layer))
      await tell("no-op", noOp.open().engine, { name: noOp.name });
  }
  await engine.close();
}

const verdicts = ["intact", "translated", "scaled", "rotated", "erased", "undecided"];
console.log(
  `| model, change | ${verdicts.join(" | ")} | told as planted | as claimed | told right of these |\n|---|${"---|".repeat(verdicts.length + 3)}`,
);
for (const [name, row] of Object.entries(counts)) {
  const all = verdicts.reduce((sum, one) => sum + (row[one] ?? 0), 0);
  const cells = verdicts.map((one) => row[one] ?? "").join(" | ");
  const right = row[expected[name.split(", ").at(-1)]] ?? 0;
  console.log(`| ${name} | ${cells} | ${right} of ${all} | ${row.valid ?? 0} | ${row.told ?? 0} |`);
}

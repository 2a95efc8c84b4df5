import { createEnvironment } from "/work/wt/arms/dist/environment/index.js";
import { CharacterTokenizer, loadModel, ProgramStore } from "/work/wt/arms/dist/model/index.js";
import { prepareBase, readStudy, arms, shippedModel } from "/work/wt/arms/dist/study/index.js";
import { train, textMonitor } from "/work/wt/arms/dist/training/index.js";
const settings = await readStudy("/tmp/arms-time.yaml");
const environment = createEnvironment("code");
const model = await loadModel(shippedModel("code"));
const tokenizer = new CharacterTokenizer(model.config.alphabet);
const programs = new ProgramStore();
const base = await prepareBase("/tmp/arms/t1", { environment, model, tokenizer, settings, programs });
for (const [name, evaluateEvery, held] of [["warm", 5, true], ["every 5", 5, true], ["never", 1000, true], ["every 5, no held-out", 5, false],["never", 1000, true],["every 5", 5, true]]) {
  const t0 = process.cpuUsage(); const w0 = performance.now();
  const context = { environment, tokenizer, seed: 1, settings: { ...settings.training, evaluateEvery, steps: 20 }, config: model.config, reference: model.weights, arm: arms["probe-penalty"].make({ ...settings, probe: base.probe }), probe: base.probe, heldOutProbes: held ? base.heldOutProbes : {}, tracer: base.tracer, programs };
  for await (const r of train(context)) if (r.metrics.step === 0) var t1 = process.cpuUsage();
  const t2 = process.cpuUsage();
  const cpu = (a, b) => ((b.user - a.user + b.system - a.system) / 1e6).toFixed(2);
  console.log(name, "cpu to first step", cpu(t0, t1), "cpu of 19 more", cpu(t1, t2), "wall", ((performance.now() - w0) / 1000).toFixed(1));
}
await environment.close(); await programs.close();
